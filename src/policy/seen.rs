//! When a mirror saw first what an index does not date: a line without a date, and a yank.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Advisories, Withdrawal, Withdrawn};
use crate::index::{CrateName, CrateVersion};

/// What was seen of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// Its line, which has no date.
    Line,
    /// That it is yanked.
    Yank,
}

/// Something that was seen for the first time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// What.
    pub sight: Sight,
    /// Of which crate.
    pub name: CrateName,
    /// Of which version.
    pub version: CrateVersion,
}

/// All that was seen, as far as it still matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    crates: BTreeMap<String, SeenOfCrate>,
    advisories: Arc<Advisories>,
}

/// What was seen of a crate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenOfCrate {
    sights: BTreeMap<(Sight, String), Timestamp>,
    /// By version.
    withdrawn: BTreeMap<String, Withdrawn>,
}

/// What was seen of most crates.
static NOTHING: SeenOfCrate = SeenOfCrate {
    sights: BTreeMap::new(),
    withdrawn: BTreeMap::new(),
};

impl Seen {
    /// Adds what was seen; of two times the first one counts, in whatever order they come.
    pub fn add(&mut self, seen: Sighting) {
        let of_crate = self.crates.entry(seen.name.as_str().to_ascii_lowercase());
        let key = (seen.sight, seen.version.to_string());
        let sights = &mut of_crate.or_default().sights;
        let first = sights.entry(key).or_insert(seen.at);
        *first = seen.at.min(*first);
    }

    /// Adds what was withdrawn; of two times the first one counts, with the checksum before it, in whatever order they come.
    pub fn add_withdrawal(&mut self, seen: Withdrawal) {
        let of_crate = self.crates.entry(seen.name.as_str().to_ascii_lowercase());
        let withdrawn = Withdrawn {
            at: seen.at,
            checksum: seen.checksum,
        };
        let all = &mut of_crate.or_default().withdrawn;
        let first = all.entry(seen.version.to_string()).or_insert(withdrawn);
        *first = withdrawn.min(*first);
    }

    /// Returns the crates, in lower case, of which versions were withdrawn.
    pub fn with_withdrawals(&self) -> impl Iterator<Item = &str> {
        let crates = self.crates.iter();
        let some = crates.filter(|(_, of_crate)| !of_crate.withdrawn.is_empty());
        some.map(|(name, _)| name.as_str())
    }

    /// Returns what was seen of a crate.
    pub fn of(&self, name: &str) -> &SeenOfCrate {
        let of_crate = self.crates.get(&name.to_ascii_lowercase());
        of_crate.unwrap_or(&NOTHING)
    }

    /// Takes these advisories in place of those before.
    pub fn set_advisories(&mut self, advisories: Arc<Advisories>) {
        self.advisories = advisories;
    }

    /// Returns the advisories that were there when it was seen.
    pub fn advisories(&self) -> &Advisories {
        &self.advisories
    }

    /// Returns the crates, in lower case, of which other things were seen than in `before`, or about which there are other
    /// advisories.
    pub fn changed_since<'s>(&'s self, before: &'s Self) -> impl Iterator<Item = &'s str> {
        let names = self.crates.keys().chain(before.crates.keys());
        let names = names.map(String::as_str);
        let seen = names.filter(|name| self.of(name) != before.of(name));
        let (now, then) = (&self.advisories, &before.advisories);
        let is_same = Arc::ptr_eq(now, then);
        let advised = [now, then].into_iter().filter(move |_| !is_same);
        let advised = advised.flat_map(|advisories| advisories.crates());
        seen.chain(advised.filter(|name| now.of(name) != then.of(name)))
    }
}

impl SeenOfCrate {
    /// Returns when this was seen of a version, if it was.
    pub fn at(&self, sight: Sight, version: &str) -> Option<Timestamp> {
        if self.sights.is_empty() {
            return None;
        }
        self.sights.get(&(sight, version.to_owned())).copied()
    }

    /// Returns what is remembered of a version that was withdrawn.
    pub fn withdrawn(&self, version: &str) -> Option<Withdrawn> {
        self.withdrawn.get(version).copied()
    }

    /// Returns the versions that were withdrawn, and when that was seen first.
    pub fn withdrawals(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        let all = self.withdrawn.iter();
        all.map(|(version, withdrawn)| (version.as_str(), withdrawn.at))
    }

    /// Returns the versions of which a yank was seen, and when.
    pub fn yanks(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        let all = self.sights.iter();
        let yanks = all.filter(|((sight, _), _)| *sight == Sight::Yank);
        yanks.map(|((_, version), at)| (version.as_str(), *at))
    }
}
