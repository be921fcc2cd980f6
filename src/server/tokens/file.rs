//! The file of tokens: a hash, a name, and what the token allows, on each line.
//!
//! ```text
//! # SHA-256 of the token, then a name, as sha256sum prints them
//! 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  ci
//! 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752  acme scope=read scope=publish:acme-* expires=2027-03-01T00:00:00Z
//! ```
//!
//! A line without a scope means `read`. Tokens are long and random, so that SHA-256 does: a slow hash protects what people can
//! remember.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use strsim::levenshtein;

use crate::config::moment;
use crate::error::{Error, Kind, Result};
use crate::http::scopes::{Holder, Scope, Scopes};
use crate::index::Checksum;

/// What comes after the name, each with its value.
const ATTRIBUTES: [&str; 2] = [SCOPE, EXPIRES];
const SCOPE: &str = "scope";
const EXPIRES: &str = "expires";

/// Who holds which token, by its hash.
pub(in crate::server) type Holders = HashMap<Checksum, Arc<Holder>>;

/// Returns the hash of a token.
pub(in crate::server) fn hash(token: &str) -> Checksum {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    Checksum::from_bytes(hash)
}

/// Reads the file.
///
/// # Errors
/// `config`, with the line.
pub(in crate::server) fn parse(text: &str) -> Result<Holders> {
    let mut holders = Holders::new();
    for line in lines(text) {
        if let Some((hash, holder)) = line?.entry {
            holders.insert(hash, Arc::new(holder));
        }
    }
    Ok(holders)
}

/// A line of the file.
pub(super) struct Line<'t> {
    /// The whole line, with its end.
    pub(super) text: &'t str,
    /// What it means; `None` of a comment or an empty line.
    pub(super) entry: Option<(Checksum, Holder)>,
}

/// Reads each line.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Result<Line<'_>>> {
    text.split_inclusive('\n').enumerate().map(|(at, text)| {
        let entry = entry(text.trim()).map_err(|fault| fault.at_line(at + 1))?;
        Ok(Line { text, entry })
    })
}

/// Writes a line, with its end.
pub(super) fn line(hash: &Checksum, holder: &Holder) -> String {
    let scopes = holder.scopes.iter();
    let scopes: Vec<_> = scopes.map(|scope| format!(" {SCOPE}={scope}")).collect();
    let expires = holder.expires.map(|end| format!(" {EXPIRES}={end}"));
    format!(
        "{hash}  {}{}{}\n",
        holder.name,
        scopes.concat(),
        expires.unwrap_or_default()
    )
}

/// What is wrong with a line.
enum Fault {
    Hash(String),
    Attribute(String),
}

impl Fault {
    fn at_line(self, line: usize) -> Error {
        match self {
            Self::Hash(why) => Error::new(
                Kind::Config,
                format!("line {line} does not begin with a hash"),
            )
            .because(why)
            .advise(
                "Each line is the SHA-256 of a token, 64 hexadecimal digits, and a name. Do not write the token itself here.",
            ),
            Self::Attribute(why) => Error::new(Kind::Config, format!("line {line}: {why}"))
                .advise("After the name come `scope=` and `expires=`, as `crates-ferry token add` writes them."),
        }
    }
}

fn entry(line: &str) -> Result<Option<(Checksum, Holder)>, Fault> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (hash, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let hash: Checksum = hash
        .parse()
        .map_err(|error: crate::index::ParseChecksumError| Fault::Hash(error.to_string()))?;
    holder(rest.trim())
        .map(|holder| Some((hash, holder)))
        .map_err(Fault::Attribute)
}

/// Reads what follows the hash: a name, which may have spaces, and then the attributes.
fn holder(text: &str) -> Result<Holder, String> {
    let attribute = |word: &str| {
        let (name, value) = word.split_once('=')?;
        let known = ATTRIBUTES.into_iter().find(|known| *known == name)?;
        Some((known, value.to_owned()))
    };
    let (mut name, mut scopes, mut expires) = (text, Vec::new(), None);
    while let Some((before, word)) = split_last(name) {
        let Some((attribute, value)) = attribute(word) else {
            break;
        };
        match attribute {
            SCOPE => scopes.push(value.parse::<Scope>()?),
            _ if expires.is_some() => return Err("`expires=` is there twice".to_owned()),
            _ => expires = Some(moment(&value)?),
        }
        name = before;
    }
    if let Some(word) = name.split_whitespace().find(|word| is_nearly_one(word)) {
        let word = word.escape_debug();
        return Err(format!(
            "`{word}` is neither `scope=` nor `expires=`, which end the line"
        ));
    }
    scopes.reverse();
    let scopes = match scopes.is_empty() {
        true => Scopes::reading(),
        false => Scopes::new(scopes),
    };
    Ok(Holder {
        // sha256sum puts `*` before the name of a file that it read as binary, and writes `-` for its standard input.
        name: name.trim_start_matches(['*', '-']).into(),
        scopes,
        expires,
        job: None,
    })
}

/// Splits the last word off a text.
fn split_last(text: &str) -> Option<(&str, &str)> {
    let word = text.rsplit(char::is_whitespace).next()?;
    let before = &text[..text.len() - word.len()];
    (!word.is_empty()).then_some((before.trim_end(), word))
}

/// Says whether a word of a name looks like an attribute, which would have no effect there: a token would be valid for good whose
/// end is misspelt.
fn is_nearly_one(word: &str) -> bool {
    let Some((name, _)) = word.split_once('=') else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    let mut known = ATTRIBUTES.into_iter();
    known.any(|known| levenshtein(known, &name) <= 2)
}

/// Checks the name of a new token. One that is there already may be another.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-@+".contains(letter);
    let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    match begins && name.len() <= LONGEST && name.chars().all(is_allowed) {
        true => Ok(()),
        false => Err(format!(
            "expected at most {LONGEST} letters, digits and `.`, `_`, `-`, `@`, `+` of ASCII, of which a letter or a digit is the \
             first, found `{}`",
            name.escape_debug()
        )),
    }
}

/// The most characters of a new name.
const LONGEST: usize = 64;

/// Says until when a token is valid.
pub(super) fn validity(expires: Option<Timestamp>, now: Timestamp) -> String {
    match expires {
        None => "does not expire".to_owned(),
        Some(end) if end <= now => format!("expired on {end:.0}"),
        Some(end) => format!("expires on {end:.0}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn read(rest: &str) -> Holder {
        let text = format!("{}  {rest}\n", "ab".repeat(32));
        let holders = parse(&text).unwrap();
        Holder::clone(holders.values().next().unwrap())
    }

    fn fault(rest: &str) -> String {
        let text = format!("# tokens\n{}  {rest}\n", "ab".repeat(32));
        parse(&text).unwrap_err().to_string()
    }

    #[test]
    fn an_old_line_works_as_before_and_means_read() {
        for (rest, name) in [
            ("ci", "ci"),
            ("*tokens.txt", "tokens.txt"),
            ("-", ""),
            ("", ""),
            ("the laptop of  A. Nother", "the laptop of  A. Nother"),
            ("key=value", "key=value"),
        ] {
            let holder = read(rest);
            assert_eq!((&*holder.name, holder.expires), (name, None), "{rest}");
            assert_eq!(holder.scopes, Scopes::reading(), "{rest}");
        }
    }

    #[test]
    fn scopes_and_an_end_follow_the_name() {
        let holder = read("my laptop scope=read  scope=publish:acme-* expires=2027-03-01");
        assert_eq!(&*holder.name, "my laptop");
        assert_eq!(holder.scopes.to_string(), "read, publish:acme-*");
        assert_eq!(
            holder.expires,
            Some("2027-03-01T00:00:00Z".parse().unwrap())
        );
        assert_eq!(
            read("ci expires=2027-03-01T12:00:00Z").scopes,
            Scopes::reading()
        );
        let now = |text: &str| text.parse().unwrap();
        assert!(!holder.has_expired(now("2027-02-28T23:59:59Z")));
        assert!(holder.has_expired(now("2027-03-01T00:00:00Z")));
    }

    #[test]
    fn an_attribute_that_would_have_no_effect_is_refused_with_its_line() {
        for (rest, why) in [
            ("ci scope=write", "line 2: expected read, publish:GLOB"),
            ("ci scope=", "line 2: expected read, publish:GLOB"),
            ("ci expires=soon", "line 2: expected a date"),
            ("ci expire=2027-01-01", "`expire=2027-01-01` is neither"),
            ("ci Scopes=read", "`Scopes=read` is neither"),
            ("ci scope=read laptop", "`scope=read` is neither"),
            ("ci expires=2027-01-01 expires=2028-01-01", "twice"),
        ] {
            let said = fault(rest);
            assert!(said.contains(why), "{rest}: {said}");
        }
    }

    #[test]
    fn a_line_is_written_as_it_is_read() {
        let hash = hash("token");
        for rest in [
            "ci scope=read",
            "ci scope=read scope=yank:acme-* expires=2027-03-01T12:30:00Z",
        ] {
            let written = format!("{hash}  {rest}\n");
            assert_eq!(line(&hash, &read(rest)), written);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(rest in prop_oneof![
            "\\PC*",
            "[a-z]{0,3} ?(scope|expires|scoop)?=?(read|publish:)?[a-z0-9*-]{0,5} ?(expires=[0-9TZ:-]{0,20})?",
        ]) {
            let hash = "ab".repeat(32);
            if let Ok(holders) = parse(&format!("{hash}  {rest}")) {
                for (hash, holder) in holders {
                    // What was read stays the same when it is written, but for a name that ends like an attribute.
                    if check_name(&holder.name).is_ok() {
                        let again = parse(&line(&hash, &holder)).unwrap();
                        prop_assert_eq!(&again[&hash], &holder);
                    }
                }
            }
        }
    }
}
