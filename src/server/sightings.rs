//! What was seen first of an index that does not date it: kept in the store, where all servers of a bucket find it, and nothing
//! is ever changed. The name of each file says all that decides, so that a listing reads them.
//!
//! ```text
//! state/seen/2026-08-20/080112-yank-arrayref@0.3.9
//! state/seen/2026-08-20/080112-line-foo@1.0.0
//! state/seen/began
//! state/withdrawn/2026-08-20/084112-arrayref@0.3.10-0f3a…
//! ```
//!
//! One of a withdrawal has the version's line in it, as it was before, for whoever releases the version.
//!
//! `began` is always there: where it is not, nothing was ever written, or all of it is lost.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use crate::config::{ServeConfig, StoreUrl};
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::index::{CrateFile, CrateName, CrateVersion, Published, entry};
use crate::policy::{Policy, Seen, Sight, Sighting, Withdrawal};
use crate::server::index_copy::Snapshot;
use crate::server::store::{Store, failure};
use crate::server::{command_rules, rule_dates};

/// Where they are in the store.
const FOLDER: &str = "state/seen";
/// Where the versions that upstream took back are; the path ends in the checksum that the line had.
const WITHDRAWN: &str = "state/withdrawn";
/// What is there from the first time on.
const BEGAN: &str = "began";
/// When, in a path.
pub(super) const TIME: &str = "%Y-%m-%d/%H%M%S";
/// How many are written at the same time.
const WRITES: usize = 16;
/// How many are taken of one comparison: an index of another kind is no news.
const MOST: usize = 10_000;
/// How many lines are kept of one comparison: more than that many versions do not count as withdrawn.
const LINES: usize = 100;
/// The longest line that is kept, in bytes.
const LONGEST_LINE: u64 = 1 << 20;
/// What clocks of servers may differ by.
const SLACK: Duration = Duration::from_secs(86_400);

/// What the store has.
#[derive(Debug, Default)]
pub struct Kept {
    /// What was seen, as far as it matters now.
    pub seen: Seen,
    /// All that was ever withdrawn.
    pub withdrawals: Vec<Withdrawal>,
    /// Whether any server has ever used the store for this, and nobody has removed it since.
    pub has_begun: bool,
}

/// Reads what was seen, as far as it matters to a policy now.
///
/// # Errors
/// If the store cannot be read.
pub async fn read(store: &Store, policy: &Policy, now: Timestamp) -> io::Result<Kept> {
    let mut kept = Kept::default();
    let longest = policy.memory().unwrap_or_default();
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
    if policy.refuses_withdrawn() {
        // These count for good.
        kept.withdrawals = withdrawals(store).await?;
        for withdrawal in &kept.withdrawals {
            kept.seen.add_withdrawal(withdrawal.clone());
        }
    }
    Ok(kept)
}

/// Reads all that was ever withdrawn.
///
/// # Errors
/// If the store cannot be read.
pub async fn withdrawals(store: &Store) -> io::Result<Vec<Withdrawal>> {
    // Each begins with a year.
    let names = store.names_from(WITHDRAWN, "0").await?;
    Ok(names
        .iter()
        .filter_map(|name| parse_withdrawal(name))
        .collect())
}

/// Writes down that the store is used for this.
///
/// # Errors
/// If the store cannot be written.
pub async fn begin(store: &Store) -> io::Result<()> {
    let path = format!("{FOLDER}/{BEGAN}");
    store.create(&path, Bytes::new()).await
}

/// Reads what was seen, and which rules commands made, from the store of this configuration. The policy then has those, too.
///
/// # Errors
/// `config` if the store cannot be used; else if it cannot be read.
pub async fn of_store(
    config: &ServeConfig,
    policy: Policy,
    now: Timestamp,
) -> Result<(Policy, Seen)> {
    let place = config.store();
    let store = Store::open(&place, &config.secrets, &config.network)?;
    let unusable = |error| unusable(&place, error);
    let said = command_rules::read(&store).await.map_err(unusable)?;
    let kept = read(&store, &policy, now).await.map_err(unusable)?;
    let dates = rule_dates::read(&store).await.map_err(unusable)?;
    let since = dates.of(&policy);
    let policy = policy.with_commands(Arc::new(said.rules()));
    Ok((policy.denying_since(since), kept.seen))
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
pub async fn record(store: &Store, news: &News) -> io::Result<()> {
    let seen = news.seen.iter();
    let seen = seen.map(|sighting| (format!("{FOLDER}/{}", name_of(sighting)), Bytes::new()));
    let withdrawn = news.withdrawn.iter();
    let withdrawn =
        withdrawn.map(|vanished| (path_of(&vanished.withdrawal), vanished.line.clone()));
    let files: Vec<_> = withdrawn.chain(seen).collect();
    let writing = stream::iter(files).map(Ok::<_, io::Error>);
    let write = async |(path, bytes): (String, Bytes)| store.create(&path, bytes).await;
    writing.try_for_each_concurrent(WRITES, write).await
}

/// Reads the line that a version had before upstream took it back; `None` if it was not kept.
///
/// # Errors
/// If the store cannot be read.
pub async fn line_before(store: &Store, withdrawal: &Withdrawal) -> io::Result<Option<String>> {
    let bytes = store.read(&path_of(withdrawal), LONGEST_LINE).await?;
    let line = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(line.filter(|line| entry::find(line.as_bytes(), withdrawal.version.as_str()).is_some()))
}

/// What is new in an index, compared with another commit.
#[derive(Debug, Default)]
pub struct News {
    /// Lines without a date, and yanks.
    pub seen: Vec<Sighting>,
    /// Lines that are gone, or have another checksum.
    pub withdrawn: Vec<Vanished>,
}

/// A version that upstream took back, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vanished {
    /// What is remembered for good.
    pub withdrawal: Withdrawal,
    /// Its line, as it was before; empty where it is too long, or one of too many.
    pub line: Bytes,
}

impl News {
    /// Adds those of another comparison.
    pub fn add(&mut self, other: Self) {
        self.seen.extend(other.seen);
        self.withdrawn.extend(other.withdrawn);
    }
}

/// Finds what is new in an index since another commit, at this time. One's own crates are nobody's to take back.
///
/// # Errors
/// `server` if the copy is damaged.
pub fn compare(
    policy: &Policy,
    before: &Snapshot,
    index: &Snapshot,
    now: Timestamp,
) -> Result<News> {
    // A clock that was wrong, as one is that starts in 1970, would end a hold before it began.
    let committed = Timestamp::from_second(index.seconds()).unwrap_or(now);
    let at = now.max(committed);
    let mut found = News::default();
    for (name, blob) in index.changes_since(before)? {
        let path = name.index_path();
        let read = |index: &Snapshot, blob: Option<ObjectId>| match blob {
            Some(blob) => index.content(blob),
            None => Ok(Vec::new()),
        };
        let (old, new) = (read(before, before.file(&path)?)?, read(index, blob)?);
        let news = news(policy, &old, &new).into_iter();
        found
            .seen
            .extend(news.map(|(sight, name, version)| Sighting {
                at,
                sight,
                name,
                version,
            }));
        if policy.refuses_withdrawn() && !policy.is_own(name.as_str()) {
            for file in withdrawn(&old, &new) {
                let line = match found.withdrawn.len() < LINES {
                    true => entry::line_of(&old, file.version.as_str()),
                    false => None,
                };
                let line = line.filter(|line| line.len() as u64 <= LONGEST_LINE);
                found.withdrawn.push(Vanished {
                    line: Bytes::copy_from_slice(line.unwrap_or_default()),
                    withdrawal: Withdrawal {
                        at,
                        name: file.name,
                        version: file.version,
                        checksum: file.checksum,
                    },
                });
            }
        }
    }
    if found.seen.len() > MOST {
        warn!(
            "the index changed by {} versions at once: those without a date count as old",
            found.seen.len()
        );
        found.seen.clear();
    }
    Ok(found)
}

/// Finds the crate files whose lines are gone, or have another checksum, as they were before.
fn withdrawn(before: &[u8], content: &[u8]) -> Vec<CrateFile> {
    let after = entry::by_version(content);
    let mut gone: Vec<_> = entry::by_version(before)
        .into_values()
        .map(|listed| listed.file)
        .filter(|file| {
            let now = after.get(file.version.as_str());
            now.is_none_or(|listed| listed.file.checksum != file.checksum)
        })
        .collect();
    gone.sort_by(|one, other| one.version.cmp(&other.version));
    gone
}

type New = (Sight, CrateName, CrateVersion);

/// Finds what is new in a crate's file.
fn news(policy: &Policy, before: &[u8], content: &[u8]) -> Vec<New> {
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

/// Returns the path of a withdrawal.
fn path_of(withdrawal: &Withdrawal) -> String {
    format!("{WITHDRAWN}/{}", name_of_withdrawal(withdrawal))
}

/// Returns the path of a withdrawal below its folder.
fn name_of_withdrawal(withdrawal: &Withdrawal) -> String {
    let at = withdrawal.at.strftime(TIME);
    format!(
        "{at}-{}@{}-{}",
        withdrawal.name, withdrawal.version, withdrawal.checksum
    )
}

/// Reads such a path; `None` for any other.
fn parse_withdrawal(name: &str) -> Option<Withdrawal> {
    let (at, rest) = split_time(name)?;
    let (named, checksum) = rest.rsplit_once('-')?;
    let (crate_name, version) = named.split_once('@')?;
    Some(Withdrawal {
        at,
        name: CrateName::new(crate_name).ok()?,
        version: CrateVersion::new(version).ok()?,
        checksum: checksum.parse().ok()?,
    })
}

/// Splits the time off a path, and the `-` after it.
pub(super) fn split_time(name: &str) -> Option<(Timestamp, &str)> {
    // The time has two parts: `2026-08-20/080112`.
    let (at, rest) = name.split_at_checked("2026-08-20/080112".len())?;
    let at = DateTime::strptime(TIME, at).ok()?;
    let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some((at, rest.strip_prefix('-')?))
}

/// Reads the path of a sighting; `None` for any other.
fn parse(name: &str) -> Option<Sighting> {
    let (at, rest) = split_time(name)?;
    let (sight, rest) = rest.split_once('-')?;
    let (crate_name, version) = rest.split_once('@')?;
    Some(Sighting {
        at,
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
    fn a_withdrawal_is_read_from_its_path() {
        let checksum = "ab".repeat(32);
        let path = format!("2026-08-20/084112-a-b@1.0.0-rc.1+b-{checksum}");
        let withdrawal = Withdrawal {
            at: "2026-08-20T08:41:12Z".parse().unwrap(),
            name: CrateName::new("a-b").unwrap(),
            version: CrateVersion::new("1.0.0-rc.1+b").unwrap(),
            checksum: checksum.parse().unwrap(),
        };
        assert_eq!(name_of_withdrawal(&withdrawal), path);
        assert_eq!(parse_withdrawal(&path), Some(withdrawal));
        assert_eq!(parse_withdrawal("2026-08-20/084112-a@1.0.0-ab"), None);
        assert_eq!(parse_withdrawal("began"), None);
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
            parse_withdrawal(&path);
        }
    }
}
