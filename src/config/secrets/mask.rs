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

/// The secrets of a process, in every form in which they are masked.
#[derive(Clone, Default)]
pub struct Mask(Option<AhoCorasick>);

impl Mask {
    /// Collects what the environment, the flags and the configuration file hold, as far as they can be read: also the error of
    /// a configuration that cannot be used must show no secret.
    pub fn of_process(flags: &Flags, environment: &Environment) -> Self {
        let secrets = Secrets::from_environment(environment).unwrap_or_default();
        let raw = variables(environment);
        let addresses = addresses(flags, environment);
        let addresses: Vec<&RemoteUrl> = addresses.iter().collect();
        Self::new(
            secrets
                .words(&addresses)
                .chain(raw.iter().map(String::as_str)),
        )
    }

    fn new<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let words = words.filter(|word| word.len() >= SHORTEST);
        let forms: Vec<String> = words.flat_map(forms).collect();
        // The longest first, so that no part of one stays behind where another is its beginning.
        let searcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(forms);
        Self(searcher.ok())
    }

    /// Returns the text without any of the secrets, and without characters that a terminal or a mail would obey.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &self.0 {
            Some(searcher) if searcher.is_match(text) => {
                let masks = vec![MASK; searcher.patterns_len()];
                let masked = searcher.replace_all(text, &masks);
                Cow::Owned(shown::lines(&masked).into_owned())
            }
            _ => shown::lines(text),
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
        quoted(format!("{word:?}")),
    ];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        forms.extend(
            (0..3)
                .map(|offset| base64_after(word, offset, &engine))
                .filter(|form| form.len() >= SHORTEST_BASE64),
        );
    }
    forms.sort_unstable();
    forms.dedup();
    forms
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
fn is_secret_of_aws(name: &str) -> bool {
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
    /// Returns the text without any of these secrets, and without those in the addresses.
    pub(in super::super) fn scrub(&self, urls: &[&RemoteUrl], text: &str) -> String {
        Mask::new(self.words(urls)).apply(text).into_owned()
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
            ("FERRY_MIRROR_TOKEN", "token22"),
            ("FERRY_SMTP_PASSWORD", "token22longer"),
            ("CI_JOB_TOKEN", "job-token"),
            ("CI_SERVER_HOST", "gitlab.example"),
            ("FERRY_MIRROR_URL", "https://me:in-the-url@gitlab.example/a"),
            (
                "FERRY_UPSTREAM_URL",
                "https://glpat-0123456789abcdef@upstream.example/a",
            ),
        ]);
        let config = Config::load(&Flags::default(), &environment).unwrap();
        let text = "keykeykeykeykeykeykey passphrase1 token22 token22longer job-token in-the-url glpat-0123456789abcdef me";
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
        ]);
        let mask = super::Mask::of_process(&Flags::default(), &environment);
        assert_eq!(
            mask.apply("token-123456, with\u{7}control"),
            "[masked], [masked]"
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
    fn ordinary_words_stay() {
        let environment = Environment::from_pairs([
            ("FERRY_MIRROR_URL", "https://me@gitlab.example/a"),
            ("FERRY_MIRROR_TOKEN", "abc"),
        ]);
        let config = Config::load(&Flags::default(), &environment).unwrap();
        assert_eq!(config.scrub("me, abc and you"), "me, abc and you");
    }
}
