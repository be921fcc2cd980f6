//! When rules of the configuration refused first: a file of configuration does not say since when a rule is in it. Kept in the
//! store, where all servers of a bucket find it, and nothing is ever changed. The name of each file says all, so that a listing reads
//! them; in it is the rule, for whoever looks.
//!
//! ```text
//! state/rules/2026-12-01/081203-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b
//! ```
//!
//! A rule is known by the versions that it means. One that is taken out of the configuration and put back keeps its first time.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use crate::config::Rule;
use crate::git::ObjectId;
use crate::policy::{Policy, spelling};
use crate::server::decisions::stamp;
use crate::server::sightings::{TIME, split_time};
use crate::server::store::Store;

/// Where they are in the store.
const FOLDER: &str = "state/rules";
/// How many are written at the same time.
const WRITES: usize = 16;

/// When rules refused first, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleDates(BTreeMap<ObjectId, Timestamp>);

/// Reads them.
///
/// # Errors
/// If the store cannot be read.
pub async fn read(store: &Store) -> io::Result<RuleDates> {
    let mut dates = RuleDates::default();
    dates.add(store).await?;
    Ok(dates)
}

impl RuleDates {
    /// Returns when each rule that refuses did first, in their order.
    pub fn of(&self, policy: &Policy) -> Vec<Option<Timestamp>> {
        let rules = policy.denied().iter();
        rules.map(|rule| self.0.get(&id(rule)).copied()).collect()
    }

    /// Writes down when the rules of a policy refused first: now, of those of which no server of the store has written it. Asks
    /// the store only where one is new here.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn note(&mut self, store: &Store, policy: &Policy, now: Timestamp) -> io::Result<()> {
        if self.unknown(policy, now).is_empty() {
            return Ok(());
        }
        self.add(store).await?;
        let new = self.unknown(policy, now);
        if new.is_empty() {
            return Ok(());
        }
        let writing = stream::iter(new).map(Ok::<_, io::Error>);
        let write = async |(id, text): (ObjectId, String)| {
            let at = now.strftime(TIME);
            let path = format!("{FOLDER}/{at}-{id}");
            store.create(&path, Bytes::from(text)).await
        };
        writing.try_for_each_concurrent(WRITES, write).await?;
        // Another server may have been first.
        self.add(store).await
    }

    /// Returns the rules that refuse now and of which nothing is known, by their ids.
    fn unknown(&self, policy: &Policy, now: Timestamp) -> BTreeMap<ObjectId, String> {
        let rules = policy.denied().iter().filter(|rule| rule.stands_at(now));
        let rules = rules.map(|rule| (id(rule), format!("{}\n", rule.crates)));
        rules.filter(|(id, _)| !self.0.contains_key(id)).collect()
    }

    async fn add(&mut self, store: &Store) -> io::Result<()> {
        // Each begins with a year.
        for name in store.names_from(FOLDER, "0").await? {
            if let Some((at, id)) = parse(&name) {
                let first = self.0.entry(id).or_insert(at);
                *first = at.min(*first);
            }
        }
        Ok(())
    }
}

/// Returns what a rule is known by.
fn id(rule: &Rule) -> ObjectId {
    stamp(ObjectId::ZERO, [spelling(&rule.crates)])
}

/// Reads such a path; `None` for any other.
fn parse(name: &str) -> Option<(Timestamp, ObjectId)> {
    let (at, id) = split_time(name)?;
    Some((at, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{Environment, Flags, ServeConfig, StoreUrl};

    fn config(deny: &str) -> ServeConfig {
        let environment = Environment::from_pairs([("FERRY_POLICY_DENY", deny)]);
        ServeConfig::load(&Flags::default(), &environment).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    #[tokio::test]
    async fn of_all_servers_the_first_one_says_since_when_a_rule_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let one = config("evil-crate; time@<0.2.23; old until=2020-01-01");
        let place = StoreUrl::Folder(folder.path().to_owned());
        let store = Store::open(&place, &one.secrets, &one.network).unwrap();
        let policy = Policy::of(&one.policy).unwrap();
        let mut dates = RuleDates::default();
        dates.note(&store, &policy, at(0)).await.unwrap();
        assert_eq!(dates.of(&policy), [Some(at(0)), Some(at(0)), None]);
        dates.note(&store, &policy, at(1)).await.unwrap();
        assert_eq!(dates, read(&store).await.unwrap());

        // Another spelling is the same rule, and the order does not matter.
        let other = config("new; Evil_Crate why=other");
        let policy = Policy::of(&other.policy).unwrap();
        let mut dates = RuleDates::default();
        dates.note(&store, &policy, at(9)).await.unwrap();
        assert_eq!(dates.of(&policy), [Some(at(9)), Some(at(0))]);
    }

    #[test]
    fn other_paths_are_none_of_these() {
        let id = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b";
        assert!(parse(&format!("2026-12-01/081203-{id}")).is_some());
        for other in ["", "2026-12-01/081203", "2026-12-01/081203-ab", id] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
