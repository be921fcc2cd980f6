//! Masks secrets in all that leaves the process: whoever is sent a secret may send it back, as it was or encoded.
//!
//! The texts are decoded and not the secrets encoded: any character of a secret may be escaped, or none, and its base64 may
//! begin anywhere, so that its forms could not be listed. A part of a secret is not known as one: a server that sends it in two
//! pieces, with words of its own between, or cut off, is shown as it speaks.

mod reading;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use super::Secrets;
use crate::config::environment::Environment;
use crate::config::load::Flags;
use crate::git::RemoteUrl;
use crate::shown;
use words::addresses;
pub(super) use words::{is_secret_of_aws, others};

/// What stands where a secret was.
const MASK: &str = "[masked]";
/// The shortest word that is masked, in bytes: a shorter one would be found in any text.
const SHORTEST: usize = 4;
/// How much of a text is read at once, in bytes, if no secret is longer.
const WINDOW: usize = 1 << 16;
/// How many bytes a byte of a secret becomes in the longest encodings: `\u0041` in base64, and that in lines.
const LONGEST_ENCODING: usize = 16;

/// The secrets of a process, in every form in which they are masked.
#[derive(Clone, Default)]
pub struct Mask(Option<AhoCorasick>);

impl Mask {
    /// Collects what the environment, the flags and the configuration file hold, as far as they can be read: also the error of
    /// a configuration that cannot be used must show no secret.
    pub fn of_process(flags: &Flags, environment: &Environment) -> Self {
        let secrets = Secrets::from_environment(environment).unwrap_or_else(|_| Secrets {
            others: others(environment),
            ..Secrets::default()
        });
        let addresses = addresses(flags, environment);
        let addresses: Vec<&RemoteUrl> = addresses.iter().collect();
        secrets.mask(&addresses)
    }

    fn new<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let words = words.filter(|word| word.len() >= SHORTEST);
        let forms: Vec<String> = words.flat_map(forms).collect();
        // The longest first, so that no part of one stays behind where another is its beginning.
        let searcher = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&forms);
        Self(searcher.ok().filter(|_| !forms.is_empty()))
    }

    /// Returns the text without any of the secrets, and without characters that a terminal or a mail would obey.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match masked(text, &self.places(text)) {
            Some(masked) => Cow::Owned(shown::lines(&masked).into_owned()),
            None => shown::lines(text),
        }
    }

    /// Returns the parts of a text that stand for a secret, in order.
    ///
    /// Windows of the text are read one after the other, so that a long list does not cost a multiple of its memory.
    fn places(&self, text: &str) -> Vec<Range<usize>> {
        let Some(searcher) = &self.0 else {
            return Vec::new();
        };
        let overlap = LONGEST_ENCODING * searcher.max_pattern_len();
        let step = WINDOW.max(overlap);
        let mut places = Vec::new();
        for start in (0..text.len()).step_by(step) {
            let start = text.floor_char_boundary(start);
            let end = text.ceil_char_boundary((start + step + overlap).min(text.len()));
            reading::each(&text[start..end], &mut |reading| {
                let found = searcher.find_iter(&reading.bytes);
                let found = found.map(|found| reading.place(&found.range()));
                places.extend(found.map(|place| {
                    text.floor_char_boundary(start + place.start)
                        ..text.ceil_char_boundary(start + place.end)
                }));
            });
        }
        places.sort_unstable_by_key(|place| place.start);
        places
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

/// Replaces these parts of a text, of which some may overlap; `None` if there are none.
fn masked(text: &str, places: &[Range<usize>]) -> Option<String> {
    let mut masked = String::new();
    let mut rest = 0;
    for place in places {
        if place.start >= rest {
            masked.push_str(&text[rest..place.start]);
            masked.push_str(MASK);
        }
        rest = rest.max(place.end);
    }
    (rest > 0).then(|| masked + &text[rest..])
}

/// Returns the forms in which a secret is found in a text of which the encoding was taken off.
fn forms(word: &str) -> [String; 3] {
    [
        word.to_owned(),
        // As it stands in an error.
        shown::printable(word.trim()).into_owned(),
        // As a form sends it: the rest is percent-encoded.
        word.replace(' ', "+"),
    ]
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
    fn a_secret_is_masked_however_its_characters_are_escaped() {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let secret = "s3cr&t\\%41\"wörd🦀";
        let mask = super::Mask::new([secret].into_iter());
        let every =
            |escape: fn(u16) -> String| -> String { secret.encode_utf16().map(escape).collect() };
        let some: String = secret
            .chars()
            .enumerate()
            .map(|(at, letter)| match (at % 3, letter) {
                (0, _) => format!("&#{};", u32::from(letter)),
                (1, _) => format!("&#x{:X};", u32::from(letter)),
                (_, '&') => "&amp;".to_owned(),
                _ => letter.to_string(),
            })
            .collect();
        let bytes = |separator: &str| {
            let bytes: Vec<String> = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
            bytes.join(separator)
        };
        let shown = [
            every(|unit| format!("\\u{unit:04x}")),
            every(|unit| format!("\\u{unit:04X}")),
            every(|unit| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            }),
            secret
                .bytes()
                .map(|byte| format!("\\x{byte:02x}"))
                .collect(),
            secret.bytes().map(|byte| format!("\\{byte:03o}")).collect(),
            secret.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            secret
                .chars()
                .map(|letter| format!("\\u{{{:x}}}", u32::from(letter)))
                .collect(),
            some.clone(),
            // Two encodings, one around the other.
            some.replace('&', "&amp;"),
            every(|unit| format!("\\\\u{unit:04x}")),
            secret
                .bytes()
                .map(|byte| format!("%25{byte:02X}"))
                .collect(),
            STANDARD.encode(STANDARD.encode(format!("me:{secret}"))),
            STANDARD.encode(format!("x{}", every(|unit| format!("\\u{unit:04x}")))),
            STANDARD
                .encode(secret)
                .replace('=', "%3D")
                .replace('+', "%2B"),
            bytes(""),
            bytes(" "),
            bytes(":"),
            format!("0x{}", bytes(", 0x")),
        ];
        for text in shown {
            let masked = mask.apply(&text);
            let left = masked.replace("[masked]", "");
            assert!(
                masked.contains("[masked]") && left.len() <= 8,
                "{text}: {left}"
            );
        }
        // What only looks like an escape is neither changed nor in the way.
        let text = "50% \\u12 &# &amp; \\";
        assert_eq!(mask.apply(text), text);
        assert_eq!(
            mask.apply(&format!("{text}{secret}{text}")),
            format!("{text}[masked]{text}")
        );
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands_in_a_long_text() {
        let secret = "s3cr&t wörd";
        let mask = super::Mask::new([secret].into_iter());
        let escaped: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for before in (super::WINDOW - 60..super::WINDOW + 60).step_by(7) {
            let around = ["ö".repeat(before / 2), "x".repeat(super::WINDOW)];
            for form in [secret, &escaped] {
                let masked = mask.apply(&around.join(form)).into_owned();
                assert!(masked == around.join("[masked]"), "{before}");
            }
        }
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
