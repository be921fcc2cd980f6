//! Rules of the policy that were made by command: kept in the store, where all servers of a bucket find them. Each command
//! adds a file, and nothing is ever changed.
//!
//! ```text
//! state/decisions/2026-12-01/081203.123456-deny-3f2a….json
//! {"at":"2026-12-01T08:12:03.123456Z","verb":"deny","crate":"evil-crate","until":null,"why":"it steals","by":"ops@host"}
//! ```
//!
//! One that cannot be read is an error, and is not left out: it may be what refuses a version.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::Rule;
use crate::index::{CratePattern, entry};
use crate::policy::{ByCommand, CommandRule, Released, Verb};
use crate::server::store::Store;

/// Where they are in the store.
const FOLDER: &str = "state/decisions";
/// When, in a path.
const TIME: &str = "%Y-%m-%d/%H%M%S.%6f";
/// The most bytes of one: a line of the index may be in it.
const LONGEST: u64 = 4 << 20;
/// How many are read at the same time.
const READS: usize = 16;

/// What commands said, by the names of the files, and so in the order in which they did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said(BTreeMap<String, CommandRule>);

/// What is in a file.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    at: Timestamp,
    verb: std::borrow::Cow<'a, str>,
    #[serde(rename = "crate")]
    crates: String,
    until: Option<Timestamp>,
    why: Option<String>,
    by: String,
    /// The line of a version that upstream took back, as it was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<String>,
}

impl Said {
    /// Reads what is there, and of that only what is not known yet, since nothing is ever changed. Says whether anything is new.
    ///
    /// # Errors
    /// If the store cannot be read, or one of them is not what a command writes.
    pub async fn read(&mut self, store: &Store) -> io::Result<bool> {
        // Each begins with a year.
        let names = store.names_from(FOLDER, "0").await?;
        let known: BTreeMap<_, _> = names
            .iter()
            .filter_map(|name| self.0.get_key_value(name))
            .map(|(name, said)| (name.clone(), said.clone()))
            .collect();
        let new = names.iter().filter(|name| !known.contains_key(*name));
        let reading = stream::iter(new).map(|name| read_one(store, name));
        let mut now: BTreeMap<_, _> = reading.buffer_unordered(READS).try_collect().await?;
        now.extend(known);
        let is_new = now != self.0;
        self.0 = now;
        Ok(is_new)
    }

    /// Returns what counts of it.
    pub fn rules(&self) -> ByCommand {
        ByCommand::of(self.0.values())
    }

    /// Returns when the last one was said.
    pub fn last(&self) -> Option<Timestamp> {
        self.0.values().next_back().map(|said| said.at)
    }
}

/// Reads what commands said.
///
/// # Errors
/// As [`Said::read`].
pub async fn read(store: &Store) -> io::Result<Said> {
    let mut said = Said::default();
    said.read(store).await?;
    Ok(said)
}

/// Writes down what a command said; returns the name of the file.
///
/// # Errors
/// If the store cannot be written.
pub async fn write(store: &Store, said: &CommandRule) -> io::Result<String> {
    let written = Written {
        at: said.at,
        verb: said.verb.as_str().into(),
        crates: said.rule.crates.to_string(),
        until: said.rule.until,
        why: said.rule.why.clone(),
        by: said.by.to_string(),
        line: said.released.as_ref().map(|released| released.line.clone()),
    };
    let text = serde_json::to_vec(&written).map_err(io::Error::other)?;
    let (at, verb) = (said.at.strftime(TIME), said.verb);
    // Two of the same microsecond are two files.
    let name = format!("{at}-{verb}-{:016x}.json", fastrand::u64(..));
    store
        .create(&format!("{FOLDER}/{name}"), Bytes::from(text))
        .await?;
    Ok(name)
}

async fn read_one(store: &Store, name: &str) -> io::Result<(String, CommandRule)> {
    let path = format!("{FOLDER}/{name}");
    let bytes = store.read(&path, LONGEST).await?;
    let bytes = bytes.ok_or_else(|| broken(&path, "it cannot be read"))?;
    let said = parse(&bytes).map_err(|why| broken(&path, &why))?;
    Ok((name.to_owned(), said))
}

fn broken(path: &str, why: &str) -> io::Error {
    let text = format!(
        "{path} is not what `policy allow`, `deny` and `reset` of this version write ({why}): restore it from a backup, or remove it \
         and give the command again"
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn parse(bytes: &[u8]) -> Result<CommandRule, String> {
    let written: Written<'_> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let verbs = [Verb::Allow, Verb::Deny, Verb::Reset];
    let verb = verbs.into_iter().find(|verb| verb.as_str() == written.verb);
    let crates: CratePattern = written.crates.parse()?;
    let released = written.line.map(|line| {
        let listed = entry::versions(line.as_bytes()).last();
        let file = listed.ok_or("its line names no version")?.file;
        Ok::<_, String>(Released { file, line })
    });
    Ok(CommandRule {
        at: written.at,
        verb: verb.ok_or_else(|| format!("`{}` is no command", written.verb.escape_debug()))?,
        rule: Rule {
            crates,
            until: written.until,
            why: written.why,
        },
        by: Arc::from(written.by),
        released: released.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::config::StoreUrl;
    use crate::config::{Environment, Flags, ServeConfig};

    fn said(verb: Verb, crates: &str, at: &str) -> CommandRule {
        CommandRule {
            at: at.parse().unwrap(),
            verb,
            rule: Rule {
                crates: crates.parse().unwrap(),
                until: Some("2027-01-31T00:00:00Z".parse().unwrap()),
                why: Some("it \"steals\"".to_owned()),
            },
            by: "ops@host".into(),
            released: None,
        }
    }

    fn store(folder: &std::path::Path) -> Store {
        let nothing: [(&str, &str); 0] = [];
        let config =
            ServeConfig::load(&Flags::default(), &Environment::from_pairs(nothing)).unwrap();
        let place = StoreUrl::Folder(folder.to_owned());
        Store::open(&place, &config.secrets, &config.network).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_the_last_word_on_a_rule_counts() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let mut known = Said::default();
        assert!(!known.read(&store).await.unwrap());
        let deny = said(Verb::Deny, "Evil-Crate@ <2", "2026-12-01T08:12:03.5Z");
        let line = "{\"name\":\"foo\",\"vers\":\"1.0.0\",\"cksum\":\"".to_owned()
            + &"ab".repeat(32)
            + "\"}";
        let allow = CommandRule {
            released: Some(Released {
                file: entry::find(line.as_bytes(), "1.0.0").unwrap(),
                line,
            }),
            ..said(Verb::Allow, "foo@1.0.0", "2026-12-01T08:12:04Z")
        };
        write(&store, &deny).await.unwrap();
        write(&store, &allow).await.unwrap();
        assert!(known.read(&store).await.unwrap());
        assert!(!known.read(&store).await.unwrap());
        let rules = known.rules();
        assert_eq!(rules.rules().collect::<Vec<_>>(), [&deny, &allow]);
        assert_eq!(known.last(), Some(allow.at));
        let again = said(Verb::Reset, "evil_crate@<2", "2026-12-01T08:12:05Z");
        write(&store, &again).await.unwrap();
        assert!(known.read(&store).await.unwrap());
        assert_eq!(known.rules().rules().collect::<Vec<_>>(), [&allow]);
    }

    #[tokio::test]
    async fn one_that_cannot_be_read_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let path = "state/decisions/2026-12-01/081203.000000-deny-0.json";
        for (text, why) in [
            ("{}", "missing field"),
            (
                "{\"at\":\"2026-12-01T08:12:03Z\",\"verb\":\"hold\",\"crate\":\"a\",\"until\":null,\"why\":null,\"by\":\"x\"}",
                "`hold` is no command",
            ),
            (
                "{\"at\":\"2026-12-01T08:12:03Z\",\"verb\":\"deny\",\"crate\":\"a@1\",\"until\":null,\"why\":null,\"by\":\"x\"}",
                "begins with an operator",
            ),
        ] {
            let place = folder.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, text).unwrap();
            let error = read(&store).await.unwrap_err().to_string();
            assert!(error.contains(path) && error.contains(why), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&bytes);
        }
    }
}
