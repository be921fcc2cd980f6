//! Masks secrets in all that leaves the process: whoever is sent a secret may send it back, as it was or encoded.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Secrets, VARIABLES};
use crate::config::environment::Environment;
use crate::config::load::{self, Flags};
use crate::config::proxies;
use crate::config::text_file;
use crate::git::RemoteUrl;
use crate::shown;

/// What stands where a secret was.
const MASK: &str = "[masked]";
/// The shortest word that is masked, in bytes: a shorter one would be found in any text.
const SHORTEST: usize = 4;
/// The shortest line of a key, and the shortest user name, that is masked: `git` and `oauth2` are not secret.
const SHORTEST_LINE: usize = 16;
/// The shortest piece of base64 that is masked. Fewer characters stand for fewer than six bytes.
const SHORTEST_BASE64: usize = 8;

/// What stands between two lines, also where a text was made one line, or quoted.
const BREAKS: [&str; 7] = [" / ", "\\r", "\\n", "\r", "\n", "\t", " "];

/// The secrets of a process, in every form in which they are masked.
#[derive(Clone, Default)]
pub struct Mask(Option<Searchers>);

#[derive(Clone)]
struct Searchers {
    /// Finds every form.
    all: AhoCorasick,
    /// Finds base64, which mail and PEM break into lines, in a text without breaks.
    unbroken: AhoCorasick,
}

impl Mask {
    /// Collects what the environment, the flags and the configuration file hold, as far as they can be read: also the error of
    /// a configuration that cannot be used must show no secret.
    pub fn of_process(flags: &Flags, environment: &Environment) -> Self {
        let secrets = Secrets::from_environment(environment).unwrap_or_default();
        let mut raw = variables(environment);
        raw.extend(proxies::secrets(environment));
        let addresses = addresses(flags, environment);
        let addresses: Vec<&RemoteUrl> = addresses.iter().collect();
        Self::new(
            secrets
                .words(&addresses)
                .chain(raw.iter().map(String::as_str)),
        )
    }

    fn new<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let words: Vec<&str> = words.filter(|word| word.len() >= SHORTEST).collect();
        let searcher = |forms: Vec<String>| {
            // The longest first, so that no part of one stays behind where another is its beginning.
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(forms)
                .ok()
        };
        let all = searcher(words.iter().flat_map(|word| forms(word)).collect());
        let unbroken = searcher(words.iter().flat_map(|word| base64_forms(word)).collect());
        let both = all.zip(unbroken);
        Self(both.map(|(all, unbroken)| Searchers { all, unbroken }))
    }

    /// Returns the text without any of the secrets, and without characters that a terminal or a mail would obey.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let masked = match &self.0 {
            Some(searchers) => searchers.apply(text),
            None => Cow::Borrowed(text),
        };
        match masked {
            Cow::Borrowed(text) => shown::lines(text),
            Cow::Owned(text) => Cow::Owned(shown::lines(&text).into_owned()),
        }
    }

    /// Applies the mask to each text of a JSON value.
    pub fn apply_to_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.apply(text) {
                    *text = masked;
                }
            }
            Value::Array(values) => values
                .iter_mut()
                .for_each(|value| self.apply_to_json(value)),
            Value::Object(fields) => fields
                .values_mut()
                .for_each(|value| self.apply_to_json(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl Searchers {
    fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        if self.all.is_match(&*text) {
            let masks = vec![MASK; self.all.patterns_len()];
            text = Cow::Owned(self.all.replace_all(&text, &masks));
        }
        match self.apply_across_breaks(&text) {
            Some(masked) => Cow::Owned(masked),
            None => text,
        }
    }

    /// Masks base64 that is broken into lines; `None` if there is none.
    fn apply_across_breaks(&self, text: &str) -> Option<String> {
        if self.unbroken.patterns_len() == 0 {
            return None;
        }
        let (mut unbroken, mut places) = (String::new(), Vec::new());
        let mut at = 0;
        while let Some(letter) = text[at..].chars().next() {
            match BREAKS.iter().find(|one| text[at..].starts_with(**one)) {
                Some(one) => at += one.len(),
                None => {
                    unbroken.push(letter);
                    places.extend(at..at + letter.len_utf8());
                    at += letter.len_utf8();
                }
            }
        }
        if unbroken.len() == text.len() {
            return None;
        }
        let mut masked = String::new();
        let mut rest = 0;
        for found in self.unbroken.find_iter(&unbroken) {
            masked.push_str(&text[rest..places[found.start()]]);
            masked.push_str(MASK);
            // Base64 is ASCII: its last letter is one byte.
            rest = places[found.end() - 1] + 1;
        }
        (rest > 0).then(|| masked + &text[rest..])
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask")
    }
}

/// Returns the forms in which a secret is found.
fn forms(word: &str) -> Vec<String> {
    let quoted = |text: String| {
        text.get(1..text.len().saturating_sub(1))
            .unwrap_or_default()
            .to_owned()
    };
    let mut forms = vec![
        word.to_owned(),
        // As it stands in an error.
        shown::printable(word.trim()).into_owned(),
        utf8_percent_encode(word, NON_ALPHANUMERIC).to_string(),
        url::form_urlencoded::byte_serialize(word.as_bytes()).collect(),
        quoted(Value::from(word).to_string()),
        hex::encode(word),
        hex::encode_upper(word),
        // As a page shows it.
        word.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;"),
        // As some languages write JSON.
        quoted(Value::from(word).to_string()).replace('/', "\\/"),
        quoted(format!("{word:?}")),
    ];
    // Digits of either case stand for the same byte.
    forms.extend([lower_digits(&forms[2]), lower_digits(&forms[3])]);
    forms.extend(base64_forms(word));
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Returns a percent-encoded text with its hexadecimal digits in lower case.
fn lower_digits(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(2.min(part.len()));
        lower.push('%');
        lower.push_str(&digits.to_lowercase());
        lower.push_str(rest);
    }
    lower
}

/// Returns the forms in which a secret is found in base64.
fn base64_forms(word: &str) -> impl Iterator<Item = String> {
    let engines = [STANDARD_NO_PAD, URL_SAFE_NO_PAD];
    let forms = engines
        .into_iter()
        .flat_map(move |engine| (0..3).map(move |offset| base64_after(word, offset, &engine)));
    forms.filter(|form| form.len() >= SHORTEST_BASE64)
}

/// Returns the part of a word's base64 that does not depend on what stands before and after it, where `offset` bytes,
/// modulo 3, stand before: `Basic` credentials and SMTP's `AUTH PLAIN` encode the user along with the password.
fn base64_after(word: &str, offset: usize, engine: &GeneralPurpose) -> String {
    let bytes = [&vec![0; offset], word.as_bytes()].concat();
    let encoded = engine.encode(&bytes);
    // A character has 6 bits: the first ones mix with the bytes before, and the last one with the byte after.
    let (first, end) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
    encoded.get(first..end).unwrap_or_default().to_owned()
}

/// Returns the values of all variables that hold secrets, and what the files hold that they name.
fn variables(environment: &Environment) -> Vec<String> {
    let aws = environment
        .names_that_begin_with("AWS_")
        .filter(|name| is_secret_of_aws(name));
    let names = VARIABLES
        .into_iter()
        .filter(|name| *name != "SSH_KNOWN_HOSTS")
        .chain(aws);
    let mut found = Vec::new();
    for name in names {
        let Ok(Some(value)) = environment.raw(name) else {
            continue;
        };
        let path = std::path::Path::new(value.trim());
        let file = path.is_file().then(|| text_file::read(path).ok()).flatten();
        let text = match &file {
            Some(text) => text,
            // The path of a file that is not there: its error has to name it.
            None if path.is_absolute() => continue,
            None => value,
        };
        // A key has many lines; of the others the line break at the end is no part.
        found.extend(
            text.lines()
                .map(|line| line.trim_end().to_owned())
                .filter(|line| !line.starts_with("-----")),
        );
    }
    found
}

/// The others (region, endpoint, the key's id) are no secrets, and messages need them.
pub(super) fn is_secret_of_aws(name: &str) -> bool {
    name.contains("SECRET") || name.contains("TOKEN")
}

/// Returns the addresses of repositories that are configured.
fn addresses(flags: &Flags, environment: &Environment) -> Vec<RemoteUrl> {
    let Ok(loaded) = load::load(flags, environment) else {
        return Vec::new();
    };
    let keys = ["upstream.url", "mirror.url", "serve.index"];
    let given = keys.iter().filter_map(|key| loaded.settings.given(key));
    given
        .flat_map(|(texts, _)| texts)
        .filter_map(|text| text.parse().ok())
        .collect()
}

impl Secrets {
    /// Returns these secrets and those in the addresses, in every form.
    pub(in super::super) fn mask(&self, urls: &[&RemoteUrl]) -> Mask {
        Mask::new(self.words(urls))
    }

    /// Returns the text without any of these secrets, and without those in the addresses.
    pub(in super::super) fn scrub(&self, urls: &[&RemoteUrl], text: &str) -> String {
        self.mask(urls).apply(text).into_owned()
    }

    fn words<'s>(&'s self, urls: &'s [&RemoteUrl]) -> impl Iterator<Item = &'s str> {
        let words = [
            self.ssh_key_passphrase.as_ref(),
            self.mirror_token.as_ref(),
            self.smtp_password.as_ref(),
            self.gitlab_trigger_token.as_ref(),
            self.gitlab_read_token.as_ref(),
            self.trigger_token.as_ref(),
            self.hook_token.as_ref(),
            self.job_token.as_ref().map(|job| &job.token),
        ];
        let aws = self.aws.iter().filter(|(name, _)| is_secret_of_aws(name));
        words
            .into_iter()
            .chain(urls.iter().map(|url| password(url)))
            .flatten()
            .map(ExposeSecret::expose_secret)
            .chain(urls.iter().filter_map(|url| user(url)))
            .chain(key_lines(self.ssh_private_key.as_ref()))
            .chain(aws.map(|(_, value)| value.expose_secret()))
    }
}

fn password(url: &RemoteUrl) -> Option<&SecretString> {
    match url {
        RemoteUrl::Http { password, .. } => password.as_ref(),
        _ => None,
    }
}

/// Returns the user of an address without a password: some hosts accept a token in the user's place.
fn user(url: &RemoteUrl) -> Option<&str> {
    match url {
        RemoteUrl::Http {
            user,
            password: None,
            ..
        } => user.as_deref().filter(|user| user.len() >= SHORTEST_LINE),
        _ => None,
    }
}

/// Returns the lines between a key's first and last.
fn key_lines(key: Option<&SecretString>) -> impl Iterator<Item = &str> {
    let text = key.map_or("", |key| key.expose_secret());
    let lines = text.lines().map(str::trim);
    lines.filter(|line| line.len() >= SHORTEST_LINE && !line.starts_with("-----"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::config::{Config, Environment, Flags};

    #[test]
    fn every_secret_is_taken_out_of_a_text() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nkeykeykeykeykeykeykey\n-----END OPENSSH PRIVATE KEY-----\n";
        let environment = Environment::from_pairs([
            ("SSH_PRIVATE_KEY", key),
            ("SSH_KEY_PASSPHRASE", "passphrase1"),
            ("FERRY_MIRROR_TOKEN", "token-22"),
            ("FERRY_SMTP_PASSWORD", "token-22longer"),
            ("CI_JOB_TOKEN", "job-token"),
            ("CI_SERVER_HOST", "gitlab.example"),
            ("FERRY_MIRROR_URL", "https://me:in-the-url@gitlab.example/a"),
            (
                "FERRY_UPSTREAM_URL",
                "https://glpat-0123456789abcdef@upstream.example/a",
            ),
        ]);
        let config = Config::load(&Flags::default(), &environment).unwrap();
        let text = "keykeykeykeykeykeykey passphrase1 token-22 token-22longer job-token in-the-url glpat-0123456789abcdef me";
        let masked = format!("{}me", "[masked] ".repeat(7));
        assert_eq!(config.scrub(text), masked);
    }

    #[test]
    fn a_secret_is_masked_in_every_encoding_and_at_every_alignment() {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        let secret = "s3cr&t \"wörd\"/\\>?~";
        let mask = super::Mask::new([secret].into_iter());
        let mut shown = vec![
            secret.to_owned(),
            serde_json::to_string(secret).unwrap(),
            format!("{secret:?}"),
            percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC)
                .to_string(),
            url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        ];
        for before in ["", "u:", "me:", "oauth2:", "\0user\0"] {
            for after in ["", "a", "ab", "abc"] {
                let text = format!("{before}{secret}{after}");
                shown.extend([STANDARD.encode(&text), URL_SAFE.encode(&text)]);
            }
        }
        for text in shown {
            let masked = mask.apply(&text);
            assert!(masked.contains("[masked]"), "{text}");
            // What is left of an encoding are the characters at its ends, which stand for a byte of the secret at most.
            let left = masked.replace("[masked]", "");
            assert!(left.len() <= 16, "{text}: {left}");
        }
    }

    #[test]
    fn what_cannot_be_loaded_is_masked_all_the_same() {
        let environment = Environment::from_pairs([
            ("FERRY_MIRROR_TOKEN", "token-123456"),
            ("FERRY_SMTP_PASSWORD", "with\u{7}control"),
            ("FERRY_NO_SUCH_KEY", "x"),
            ("HTTPS_PROXY", "http://me:pr%23xyword@proxy.example"),
        ]);
        let mask = super::Mask::of_process(&Flags::default(), &environment);
        assert_eq!(
            mask.apply("token-123456, with\u{7}control, pr#xyword, pr%23xyword"),
            "[masked], [masked], [masked], [masked]"
        );
        let mut value =
            serde_json::json!({ "a": ["token-123456", 1], "b": { "c": "x token-123456" } });
        mask.apply_to_json(&mut value);
        assert_eq!(
            value,
            serde_json::json!({ "a": ["[masked]", 1], "b": { "c": "x [masked]" } })
        );
    }

    #[test]
    fn base64_that_is_broken_into_lines_is_masked() {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let secret = "glpat-0123456789abcdef";
        let mask = super::Mask::new([secret].into_iter());
        for before in ["", "u:", "me:", "\0user\0"] {
            let encoded = STANDARD.encode(format!("{before}{secret} and more"));
            for separator in ["\n", "\r\n", "\n    ", " / ", "\\n", "\\r\\n"] {
                for width in [1, 4, 19] {
                    let lines: Vec<&str> = (0..encoded.len())
                        .step_by(width)
                        .map(|at| &encoded[at..encoded.len().min(at + width)])
                        .collect();
                    let text = format!("it says\n{}\nat the end", lines.join(separator));
                    let masked = mask.apply(&text).into_owned();
                    assert!(masked.contains("[masked]"), "{text}: {masked}");
                    let left: String = masked.split(separator).collect();
                    let wanted = STANDARD.encode(secret);
                    assert!(!left.contains(&wanted[4..12]), "{masked}");
                    assert!(masked.starts_with("it says\n") && masked.ends_with("\nat the end"));
                }
            }
        }
        let plain = "many words / on two\nlines";
        assert_eq!(mask.apply(plain), plain);
    }

    #[test]
    fn ordinary_words_stay() {
        let environment = Environment::from_pairs([
            ("FERRY_MIRROR_URL", "https://me@gitlab.example/a"),
            ("FERRY_MIRROR_TOKEN", "abcdefgh"),
        ]);
        let config = Config::load(&Flags::default(), &environment).unwrap();
        assert_eq!(config.scrub("me, abc and you"), "me, abc and you");
    }
}
