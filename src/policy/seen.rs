//! When a mirror saw first what an index does not date: a line without a date, and a yank.

use std::collections::BTreeMap;

use jiff::Timestamp;

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
pub struct Seen(BTreeMap<String, SeenOfCrate>);

/// What was seen of a crate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenOfCrate(BTreeMap<(Sight, String), Timestamp>);

/// What was seen of most crates.
static NOTHING: SeenOfCrate = SeenOfCrate(BTreeMap::new());

impl Seen {
    /// Adds what was seen; of two times the first one counts, in whatever order they come.
    pub fn add(&mut self, seen: Sighting) {
        let of_crate = self.0.entry(seen.name.as_str().to_ascii_lowercase());
        let key = (seen.sight, seen.version.to_string());
        let first = of_crate.or_default().0.entry(key).or_insert(seen.at);
        *first = seen.at.min(*first);
    }

    /// Returns what was seen of a crate.
    pub fn of(&self, name: &str) -> &SeenOfCrate {
        self.0.get(&name.to_ascii_lowercase()).unwrap_or(&NOTHING)
    }

    /// Returns the crates, in lower case, of which other things were seen than in `before`.
    pub fn changed_since<'s>(&'s self, before: &'s Self) -> impl Iterator<Item = &'s str> {
        let names = self.0.keys().chain(before.0.keys()).map(String::as_str);
        names.filter(|name| self.of(name) != before.of(name))
    }
}

impl SeenOfCrate {
    /// Returns when this was seen of a version, if it was.
    pub fn at(&self, sight: Sight, version: &str) -> Option<Timestamp> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(sight, version.to_owned())).copied()
    }

    /// Returns the versions of which a yank was seen, and when.
    pub fn yanks(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        let all = self.0.iter();
        let yanks = all.filter(|((sight, _), _)| *sight == Sight::Yank);
        yanks.map(|((_, version), at)| (version.as_str(), *at))
    }
}
