//! What was seen first of an index that does not date it: kept in the store, where all servers of a bucket find it, and nothing
//! is ever changed. Each is an empty file whose name says all, so that a listing reads them.
//!
//! ```text
//! state/seen/2026-08-20/080112-yank-arrayref@0.3.9
//! state/seen/2026-08-20/080112-line-foo@1.0.0
//! state/seen/began
//! ```
//!
//! The last one is always there: where it is not, nothing was ever written, or all of it is lost.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use crate::config::{ServeConfig, StoreUrl};
use crate::error::{Error, Kind, Result};
use crate::index::{CrateName, CrateVersion, Published};
use crate::policy::{Policy, Seen, Sight, Sighting};
use crate::server::index_copy::Snapshot;
use crate::server::store::{Store, failure};

/// Where they are in the store.
const FOLDER: &str = "state/seen";
/// What is there from the first time on.
const BEGAN: &str = "began";
/// When, in a path.
const TIME: &str = "%Y-%m-%d/%H%M%S";
/// How many are written at the same time.
const WRITES: usize = 16;
/// How many are taken of one comparison: an index of another kind is no news.
const MOST: usize = 10_000;
/// What clocks of servers may differ by.
const SLACK: Duration = Duration::from_secs(86_400);

/// What the store has.
#[derive(Debug, Default)]
pub struct Kept {
    /// What was seen, as far as it matters now.
    pub seen: Seen,
    /// Whether any server has ever used the store for this, and nobody has removed it since.
    pub has_begun: bool,
}

/// Reads what was seen, as far as it matters to a policy now.
///
/// # Errors
/// If the store cannot be read.
pub async fn read(store: &Store, policy: &Policy, now: Timestamp) -> io::Result<Kept> {
    let mut kept = Kept::default();
    if let Some(longest) = policy.memory() {
        let back = SignedDuration::try_from(longest.saturating_add(SLACK));
        let first = back.ok().and_then(|back| now.checked_sub(back).ok());
        let first = first.unwrap_or(Timestamp::UNIX_EPOCH);
        let first = first.strftime("%Y-%m-%d").to_string();
        for name in store.names_from(FOLDER, &first).await? {
            if let Some(sighting) = parse(&name) {
                kept.seen.add(sighting);
            }
            kept.has_begun |= name == BEGAN;
        }
    }
    Ok(kept)
}

/// Writes down that the store is used for this.
///
/// # Errors
/// If the store cannot be written.
pub async fn begin(store: &Store) -> io::Result<()> {
    let path = format!("{FOLDER}/{BEGAN}");
    store.create(&path, Bytes::new()).await
}

/// Reads what was seen, from the store of this configuration.
///
/// # Errors
/// `config` if the store cannot be used; else if it cannot be read.
pub async fn of_store(config: &ServeConfig, policy: &Policy, now: Timestamp) -> Result<Seen> {
    let place = config.store();
    let store = Store::open(&place, &config.secrets, &config.network)?;
    let kept = read(&store, policy, now).await;
    Ok(kept.map_err(|error| unusable(&place, error))?.seen)
}

/// Makes the error of a store whose state cannot be read or written: where it is, why, and what to do.
pub fn unusable(place: &StoreUrl, error: io::Error) -> Error {
    let told = |kind| {
        let message = format!("cannot use the policy's state in {place}/state");
        Error::new(kind, message)
    };
    match place {
        StoreUrl::Folder(_) => told(Kind::Config)
            .because(error)
            .advise("Let the user that runs the server read and write that folder."),
        StoreUrl::Bucket { .. } => {
            let why = failure(error);
            let error = told(why.kind()).because(why.chain());
            match why.advice() {
                Some(advice) => error.advise(advice),
                None => error,
            }
        }
    }
}

/// Writes down what was seen. What another server has written as well is there twice, and the first time counts.
///
/// # Errors
/// If the store cannot be written.
pub async fn record(store: &Store, seen: &[Sighting]) -> io::Result<()> {
    let writing = stream::iter(seen).map(Ok::<_, io::Error>);
    writing
        .try_for_each_concurrent(WRITES, |sighting| async move {
            let path = format!("{FOLDER}/{}", name_of(sighting));
            store.create(&path, Bytes::new()).await
        })
        .await
}

/// Finds what is new in an index since another commit, at this time: lines without a date, and yanks.
///
/// # Errors
/// `server` if the copy is damaged.
pub fn compare(
    policy: &Policy,
    before: &Snapshot,
    index: &Snapshot,
    now: Timestamp,
) -> Result<Vec<Sighting>> {
    // A clock that was wrong, as one is that starts in 1970, would end a hold before it began.
    let committed = Timestamp::from_second(index.seconds()).unwrap_or(now);
    let at = now.max(committed);
    let mut found = Vec::new();
    for (name, blob) in index.changes_since(before)? {
        let Some(blob) = blob else {
            continue;
        };
        let old = match before.file(&name.index_path())? {
            Some(blob) => before.content(blob)?,
            None => Vec::new(),
        };
        let news = news(policy, &old, &index.content(blob)?);
        let news = news.into_iter();
        found.extend(news.map(|(sight, name, version)| Sighting {
            at,
            sight,
            name,
            version,
        }));
    }
    if found.len() > MOST {
        warn!(
            "the index changed by {} versions at once: those without a date count as old",
            found.len()
        );
        found.clear();
    }
    Ok(found)
}

type News = (Sight, CrateName, CrateVersion);

/// Finds what is new in a crate's file.
fn news(policy: &Policy, before: &[u8], content: &[u8]) -> Vec<News> {
    let lines = |content| -> HashMap<String, Published<'_>> {
        let lines = <[u8]>::split(content, |byte| *byte == b'\n');
        let read = lines.filter_map(Published::read);
        read.map(|line| (line.version.to_string(), line)).collect()
    };
    let before = lines(before);
    let mut found = Vec::new();
    for (version, line) in lines(content) {
        let sight = match before.get(&version) {
            None if line.at.is_none() && policy.min_age().is_some() => Sight::Line,
            Some(old) if !old.is_yanked && line.is_yanked && policy.yank_hold().is_some() => {
                Sight::Yank
            }
            _ => continue,
        };
        if let (Ok(name), Ok(version)) = (CrateName::new(&line.name), CrateVersion::new(&version)) {
            found.push((sight, name, version));
        }
    }
    found
}

/// Returns the path below the folder, which says all.
fn name_of(sighting: &Sighting) -> String {
    let at = sighting.at.strftime(TIME);
    let sight = match sighting.sight {
        Sight::Line => "line",
        Sight::Yank => "yank",
    };
    format!("{at}-{sight}-{}@{}", sighting.name, sighting.version)
}

/// Reads such a path; `None` for any other.
fn parse(name: &str) -> Option<Sighting> {
    // The time has two parts: `2026-08-20/080112`.
    let (at, rest) = name.split_at_checked("2026-08-20/080112".len())?;
    let at = DateTime::strptime(TIME, at).ok()?;
    let (sight, rest) = rest.strip_prefix('-')?.split_once('-')?;
    let (crate_name, version) = rest.split_once('@')?;
    Some(Sighting {
        at: at.to_zoned(TimeZone::UTC).ok()?.timestamp(),
        sight: match sight {
            "line" => Sight::Line,
            "yank" => Sight::Yank,
            _ => return None,
        },
        name: CrateName::new(crate_name).ok()?,
        version: CrateVersion::new(version).ok()?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::config::{Environment, Flags, ServeConfig};

    #[test]
    fn a_sighting_is_read_from_its_path() {
        for (name, version, path) in [
            ("arrayref", "0.3.9", "2026-08-20/080112-yank-arrayref@0.3.9"),
            (
                "a-b",
                "1.0.0-rc.1+b",
                "2026-08-20/080112-yank-a-b@1.0.0-rc.1+b",
            ),
        ] {
            let sighting = Sighting {
                at: "2026-08-20T08:01:12Z".parse().unwrap(),
                sight: Sight::Yank,
                name: CrateName::new(name).unwrap(),
                version: CrateVersion::new(version).unwrap(),
            };
            assert_eq!(name_of(&sighting), path);
            assert_eq!(parse(path), Some(sighting));
        }
        for other in [
            "",
            "2026-08-20/080112",
            "2026-08-20/080112-gone-a@1.0.0",
            "x/y-line-a@1.0.0",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn new_lines_without_a_date_and_yanks_are_news() {
        let environment = Environment::from_pairs([("FERRY_POLICY_MIN_AGE", "7d")]);
        let config = ServeConfig::load(&Flags::default(), &environment).unwrap();
        let policy = Policy::of(&config.policy).unwrap();
        let line = |version: &str, rest: &str| {
            format!("{{\"name\":\"Foo\",\"vers\":\"{version}\"{rest}}}\n")
        };
        let yanked = ",\"yanked\":true";
        let dated = ",\"pubtime\":\"2026-08-20T08:01:12Z\"";
        let before = [line("1.0.0", ""), line("1.1.0", yanked), line("1.2.0", "")].concat();
        let after = [
            line("1.0.0", yanked),
            line("1.1.0", ""),
            line("1.2.0", ""),
            line("1.3.0", ""),
            line("1.4.0", dated),
        ];
        let mut found: Vec<_> = news(&policy, before.as_bytes(), after.concat().as_bytes())
            .into_iter()
            .map(|(sight, name, version)| (sight, format!("{name} {version}")))
            .collect();
        found.sort();
        let wanted = [
            (Sight::Line, "Foo 1.3.0".to_owned()),
            (Sight::Yank, "Foo 1.0.0".to_owned()),
        ];
        assert_eq!(found, wanted);
    }

    proptest! {
        #[test]
        fn no_path_makes_the_reader_panic(path in prop_oneof!["\\PC*", "2026-08-20/[0-9é]{5,7}-(line|yank)-[a-z@.0-9-]*"]) {
            parse(&path);
        }
    }
}
