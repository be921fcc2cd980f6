//! Tokens of 30 minutes, signed with a key that all servers of a store share: none of them is stored.
//!
//! ```text
//! ferry_tp_ base64url({"id", "project", "crates", "expires"}) . base64url(HMAC-SHA-256)
//! ```

use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::http::scopes::{Holder, Scope, Scopes};
use crate::index::NamePattern;

/// What each begins with, so that it is told from a token of the file, and recognised where it was left.
pub(super) const BEGINNING: &str = "ferry_tp_";
/// How long one is valid.
const VALID: SignedDuration = SignedDuration::from_mins(30);
/// The longest one, in bytes: a rule may name many crates.
const LONGEST: usize = 16 << 10;
/// How many random bytes the key and an id have.
const KEY: usize = 32;
const ID: usize = 16;

/// The key that signs.
pub(super) struct Key(hmac::Key);

/// What is signed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    /// By which it is revoked: lower-case hexadecimal digits.
    pub(super) id: String,
    project: String,
    crates: Vec<String>,
    /// In seconds since 1970.
    expires: i64,
}

impl Key {
    /// Makes the text of a new key.
    ///
    /// # Errors
    /// `server` if the system gives no random bytes.
    pub(super) fn make() -> Result<String> {
        Ok(format!("{}\n", random::<KEY>()?))
    }

    /// Reads the text of a key.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let bytes = hex::decode(text.trim()).ok()?;
        (bytes.len() == KEY).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Makes a token for a project, which may publish these crates from now on.
    ///
    /// # Errors
    /// `server` if the system gives no random bytes.
    pub(super) fn issue(
        &self,
        project: &str,
        crates: &[NamePattern],
        now: Timestamp,
    ) -> Result<(String, Content)> {
        let content = Content {
            id: random::<ID>()?,
            project: project.to_owned(),
            crates: crates.iter().map(ToString::to_string).collect(),
            expires: now.checked_add(VALID).unwrap_or(now).as_second(),
        };
        let unwritable =
            |error| Error::new(Kind::Server, "the token cannot be written").because(error);
        let text = serde_json::to_vec(&content).map_err(unwritable)?;
        let text = URL_SAFE_NO_PAD.encode(text);
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, text.as_bytes()));
        Ok((format!("{BEGINNING}{text}.{signature}"), content))
    }

    /// Reads a token that this key has signed; `None` of any other.
    pub(super) fn open(&self, token: &str) -> Option<Content> {
        let rest = token.strip_prefix(BEGINNING)?;
        let (text, signature) = rest.split_once('.').filter(|_| rest.len() <= LONGEST)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.0, text.as_bytes(), &signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

impl Content {
    /// Returns when it ends to be valid.
    pub(super) fn expires(&self) -> Timestamp {
        Timestamp::from_second(self.expires).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Returns who holds it: a job that may read, and publish the crates of its rule.
    pub(super) fn holder(&self) -> Option<Arc<Holder>> {
        let patterns = self.crates.iter().map(|text| text.parse().ok());
        let patterns: Vec<NamePattern> = patterns.collect::<Option<_>>()?;
        let publish = patterns.into_iter().map(Scope::Publish);
        Some(Arc::new(Holder {
            name: self.project.as_str().into(),
            // cargo builds what it publishes.
            scopes: Scopes::new([Scope::Read].into_iter().chain(publish).collect()),
            expires: Some(self.expires()),
            job: Some(self.id.as_str().into()),
        }))
    }
}

/// Returns random bytes as hexadecimal digits.
pub(super) fn random<const LENGTH: usize>() -> Result<String> {
    let mut bytes = [0; LENGTH];
    rand::fill(&mut bytes)
        .map_err(|_| Error::new(Kind::Server, "the system gives no random bytes"))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::index::CrateName;

    fn key() -> Key {
        Key::read(Key::make().unwrap().as_bytes()).unwrap()
    }

    fn issued(key: &Key) -> (String, Content) {
        let crates = ["acme-*", "b"].map(|text| text.parse().unwrap());
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        key.issue("gitlab.example.com/rust/core", &crates, now)
            .unwrap()
    }

    #[test]
    fn a_token_says_whose_it_is_and_what_it_allows_for_half_an_hour() {
        let key = key();
        let (token, content) = issued(&key);
        let opened = key.open(&token).unwrap();
        assert_eq!(opened, content);
        let holder = opened.holder().unwrap();
        assert_eq!(&*holder.name, "gitlab.example.com/rust/core");
        assert_eq!(holder.scopes.to_string(), "read, publish:acme-*, publish:b");
        assert_eq!(
            holder.expires,
            Some("2026-12-01T12:30:00Z".parse().unwrap())
        );
        assert!(holder.counts_as_owner_of(&CrateName::new("acme-core").unwrap()));
        assert!(!holder.scopes.may_yank_any());
        assert_ne!(issued(&key).0, token);
    }

    #[test]
    fn what_another_key_or_nobody_signed_is_no_token() {
        let (one, other) = (key(), key());
        let (token, _) = issued(&one);
        assert_eq!(other.open(&token), None);
        let (text, signature) = token
            .strip_prefix(BEGINNING)
            .unwrap()
            .split_once('.')
            .unwrap();
        for wrong in [
            format!("{BEGINNING}{text}"),
            format!("{BEGINNING}{text}."),
            format!("{BEGINNING}{text}.AAAA"),
            format!("{BEGINNING}.{signature}"),
            format!("{text}.{signature}"),
            format!("{token}A"),
            token.to_uppercase(),
            String::new(),
        ] {
            assert_eq!(one.open(&wrong), None, "{wrong}");
        }
        for text in ["", "ab", "zz", &"a".repeat(63), &"a".repeat(66)] {
            assert!(Key::read(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_change_of_a_token_leaves_it_valid(at in any::<prop::sample::Index>(), letter in "[ -~é]") {
            let key = key();
            let (token, _) = issued(&key);
            let at = at.index(token.len());
            let changed = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
            let is_same = changed == token;
            // The last letter of base64 has bits that no byte has.
            prop_assert!(is_same || at + 1 == token.len() || key.open(&changed).is_none(), "{}", changed);
        }
    }
}
