//! The names of all crates, in memory: what search asks first, and how results are ordered.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use strsim::osa_distance;

use super::name_words::NameWords;
use crate::git::ObjectId;

/// A crate's number in the catalog.
pub type CrateId = u32;

/// What is known of a crate without asking the database, beside its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) id: CrateId,
    /// What decides between crates that match equally well: downloads where they are known, else dependents.
    pub(super) weight: u64,
    /// The downloads of the last 90 days; 0 where they are not known.
    pub(super) recent_downloads: u64,
    /// When the first version was published, in seconds since 1970; 0 where the index does not say.
    pub(super) created: i64,
    /// When the last one was.
    pub(super) updated: i64,
    /// The blob of the index from which the row was made.
    pub(super) blob: ObjectId,
}

/// A crate in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) facts: Facts,
    /// Where its name stands.
    start: u32,
    length: u8,
}

/// The crates by their names, which are alike whether they are written with `-` or `_`, or in capitals.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The names in lower case.
    text: String,
    /// In the order of their names.
    entries: Vec<Entry>,
    /// Which letters and digits each name has: a filter for near names, by itself since all of it is read for each search.
    letters: Vec<Letters>,
    /// The places of the ids.
    by_id: Vec<u32>,
    words: Arc<NameWords>,
}

/// How many letters typing errors may change.
const NEAR: usize = 2;

/// The place of an id that no crate has.
const ABSENT: u32 = u32::MAX;

/// Compares names as search does: `_` is `-`. Both are in lower case.
fn compare(one: &str, other: &str) -> Ordering {
    alike(one).cmp(alike(other))
}

/// Compares names as [`compare`] does, and tells apart those that are alike.
fn order(one: &str, other: &str) -> Ordering {
    compare(one, other).then_with(|| one.cmp(other))
}

fn in_order(crates: impl IntoIterator<Item = (String, Facts)>) -> Vec<(String, Facts)> {
    let lower = crates
        .into_iter()
        .map(|(name, facts)| (name.to_ascii_lowercase(), facts));
    let mut sorted: Vec<_> = lower.collect();
    sorted.sort_unstable_by(|(one, _), (other, _)| order(one, other));
    sorted
}

fn alike(name: &str) -> impl Iterator<Item = u8> {
    name.bytes()
        .map(|byte| if byte == b'_' { b'-' } else { byte })
}

impl Names {
    /// Takes the names, each with what is known of its crate.
    pub(super) fn new(crates: impl IntoIterator<Item = (String, Facts)>) -> Self {
        let mut names = Self::default();
        let sorted = in_order(crates);
        for (name, facts) in &sorted {
            names.push(name, *facts);
        }
        names.find_ids();
        names.words = Arc::new(NameWords::new(names.named()));
        names
    }

    /// Returns the names after a change: without the crates of `touched`, and with `changed`, which are those of them that
    /// are still there, and those that are new.
    pub(super) fn after(
        &self,
        touched: &BTreeSet<CrateId>,
        changed: impl IntoIterator<Item = (String, Facts)>,
    ) -> Self {
        let changed = in_order(changed);
        let kept = self
            .named()
            .filter(|(_, id)| !touched.contains(id))
            .filter_map(|(name, id)| Some((name, self.by_id(id)?.facts)));
        let mut changed = changed.iter().peekable();
        let mut names = Self::default();
        names
            .entries
            .reserve_exact(self.entries.len() + changed.len());
        for (name, facts) in kept {
            while let Some((new, facts)) = changed.next_if(|(new, _)| order(new, name).is_lt()) {
                names.push(new, *facts);
            }
            names.push(name, facts);
        }
        changed.for_each(|(new, facts)| names.push(new, *facts));
        names.find_ids();
        // Most changes are new versions of crates that were there before.
        names.words = match names.named().eq(self.named()) {
            true => Arc::clone(&self.words),
            false => Arc::new(NameWords::new(names.named())),
        };
        names
    }

    /// Returns all names, each with the id of its crate.
    fn named(&self) -> impl Iterator<Item = (&str, CrateId)> {
        let entries = self.entries.iter();
        entries.map(|entry| (self.name(entry), entry.facts.id))
    }

    fn find_ids(&mut self) {
        let ids = self.entries.iter().map(|entry| entry.facts.id as usize);
        self.by_id = vec![ABSENT; ids.max().map_or(0, |last| last + 1)];
        for (place, entry) in self.entries.iter().enumerate() {
            self.by_id[entry.facts.id as usize] = u32::try_from(place).unwrap_or(ABSENT);
        }
    }

    fn push(&mut self, name: &str, facts: Facts) {
        // A name of an index has 64 bytes at most, and there are fewer than 60 million.
        let (Ok(start), Ok(length)) = (u32::try_from(self.text.len()), u8::try_from(name.len()))
        else {
            return;
        };
        self.text.push_str(name);
        self.letters.push(letters(name));
        self.entries.push(Entry {
            facts,
            start,
            length,
        });
    }

    /// Returns all, in the order of their names.
    pub(super) fn all(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the crate with this id.
    pub(super) fn by_id(&self, id: CrateId) -> Option<&Entry> {
        let place = self.by_id.get(id as usize)?;
        self.entries.get(*place as usize)
    }

    /// Returns for each id whether it is among these.
    pub(super) fn set_of(&self, ids: &[CrateId]) -> Vec<bool> {
        let mut set = vec![false; self.by_id.len()];
        for id in ids {
            set[*id as usize] = true;
        }
        set
    }

    /// Returns the name of a crate, in lower case.
    pub(super) fn name(&self, entry: &Entry) -> &str {
        let start = entry.start as usize;
        &self.text[start..start + usize::from(entry.length)]
    }

    /// Returns the place of the crate with this very name, in lower case.
    pub(super) fn place_of(&self, name: &str) -> Option<usize> {
        self.exact(name)
            .find(|place| self.name(&self.entries[*place]) == name)
    }

    /// Returns the words of the names.
    pub(super) fn words(&self) -> &NameWords {
        &self.words
    }

    /// Returns the places of the crates with this name, in lower case: in a private registry `a-b` and `a_b` may be two.
    pub(super) fn exact(&self, name: &str) -> Range<usize> {
        self.range(|entry| compare(entry, name))
    }

    /// Returns the places of the crates whose names begin with this, in lower case.
    pub(super) fn prefixed(&self, start: &str) -> Range<usize> {
        self.range(|name| alike(name).take(start.len()).cmp(alike(start)))
    }

    fn range(&self, order: impl Fn(&str) -> Ordering) -> Range<usize> {
        let first = self
            .entries
            .partition_point(|entry| order(self.name(entry)).is_lt());
        let rest = &self.entries[first..];
        first..first + rest.partition_point(|entry| order(self.name(entry)).is_eq())
    }

    /// Returns the crates whose names are a typing error away from this one: the nearest first, and of those the heaviest.
    pub(super) fn near(&self, name: &str, most: usize) -> Vec<CrateId> {
        let wanted = letters(name);
        let dashed = |name: &str| name.replace('_', "-");
        let name = dashed(name);
        // In a short name two errors leave nothing of it.
        let errors = if name.len() < 5 { 1 } else { NEAR };
        // An error removes at most one letter and adds at most one.
        let is_near = |letters: &Letters| (letters ^ wanted).count_ones() as usize <= 2 * errors;
        let candidates = self.letters.iter().zip(&self.entries);
        let candidates = candidates.filter(|(letters, _)| is_near(letters));
        let mut found: Vec<_> = candidates
            .filter(|(_, entry)| usize::from(entry.length).abs_diff(name.len()) <= errors)
            .map(|(_, entry)| {
                let distance = osa_distance(&dashed(self.name(entry)), &name);
                (distance, Reverse(entry.facts.weight), entry.facts.id)
            })
            .filter(|(distance, ..)| *distance <= errors)
            .collect();
        found.sort_unstable();
        found.truncate(most);
        found.into_iter().map(|(.., id)| id).collect()
    }
}

/// One bit for each letter, each digit, and all the rest, and 64 bits further one for those that come more than once.
type Letters = u128;

fn letters(name: &str) -> Letters {
    let bit = |byte: u8| match byte {
        b'a'..=b'z' => byte - b'a',
        b'0'..=b'9' => byte - b'0' + 26,
        _ => 36,
    };
    let (mut once, mut again) = (0_u64, 0_u64);
    for byte in name.bytes() {
        let letter = 1 << bit(byte);
        again |= once & letter;
        once |= letter;
    }
    Letters::from(again) << 64 | Letters::from(once)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn names(all: &[(&str, u64)]) -> Names {
        let numbered = all.iter().zip(1..);
        Names::new(numbered.map(|((name, weight), id)| ((*name).to_owned(), facts(id, *weight))))
    }

    fn facts(id: CrateId, weight: u64) -> Facts {
        Facts {
            id,
            weight,
            recent_downloads: 0,
            created: 0,
            updated: 0,
            blob: ObjectId::ZERO,
        }
    }

    fn shown(names: &Names, places: Range<usize>) -> Vec<&str> {
        let entries = names.all()[places].iter();
        entries.map(|entry| names.name(entry)).collect()
    }

    #[test]
    fn dashes_underscores_and_capitals_are_alike() {
        let names = names(&[
            ("Serde", 1),
            ("serde_json", 2),
            ("serde-yaml", 3),
            ("sea", 4),
        ]);
        assert_eq!(shown(&names, names.exact("serde-json")), ["serde_json"]);
        assert_eq!(shown(&names, names.exact("serde_yaml")), ["serde-yaml"]);
        assert_eq!(shown(&names, names.exact("serd")), [""; 0]);
        let all = ["serde", "serde_json", "serde-yaml"];
        assert_eq!(shown(&names, names.prefixed("serde")), all);
        assert_eq!(shown(&names, names.prefixed("serde-")), all[1..]);
        assert_eq!(names.by_id(4).map(|entry| names.name(entry)), Some("sea"));
        assert!(names.by_id(0).is_none() && names.by_id(5).is_none());
    }

    #[test]
    fn near_names_are_ordered_by_distance_then_weight() {
        let names = names(&[("tokio", 9), ("tokyo", 1), ("toki", 5), ("rand", 7)]);
        assert_eq!(names.near("tokoi", 9), [1, 3, 2]);
        assert_eq!(names.near("tokio", 1), [1]);
        // Of four letters two errors are half.
        assert_eq!(names.near("rnda", 9), [0; 0]);
        assert_eq!(names.near("ran", 9), [4]);
    }

    proptest! {
        #[test]
        fn ranges_hold_what_a_search_through_all_finds(
            all in prop::collection::hash_set("[a-c_-]{1,4}", 0..40), wanted in "[a-c_-]{0,3}"
        ) {
            let all: Vec<_> = all.iter().map(|name| (name.as_str(), 1)).collect();
            let names = names(&all);
            let dashed = |name: &str| name.replace('_', "-");
            let count = |is_it: &dyn Fn(&str) -> bool| all.iter().filter(|(name, _)| is_it(&dashed(name))).count();
            let wanted = dashed(&wanted);
            prop_assert_eq!(names.exact(&wanted).len(), count(&|name| name == wanted));
            prop_assert_eq!(names.prefixed(&wanted).len(), count(&|name| name.starts_with(&wanted)));
        }

        #[test]
        fn no_near_name_is_filtered_out(
            all in prop::collection::hash_set("[a-d1_-]{1,7}", 0..30), wanted in "[a-d1-]{5,7}"
        ) {
            let all: Vec<_> = all.iter().map(|name| (name.as_str(), 1)).collect();
            let names = names(&all);
            let near = all.iter().filter(|(name, _)| osa_distance(&name.replace('_', "-"), &wanted) <= NEAR);
            prop_assert_eq!(names.near(&wanted, 100).len(), near.count());
        }

        #[test]
        fn a_change_leaves_what_reading_all_again_would(
            all in prop::collection::btree_map(1..30_u32, "[a-c_-]{1,4}", 0..20),
            changed in prop::collection::btree_map(1..30_u32, prop::option::of("[a-c_-]{1,4}"), 0..20),
        ) {
            let with = |names: &BTreeMap<CrateId, String>, weight| {
                let named: Vec<_> = names.iter().map(|(id, name)| (name.clone(), facts(*id, weight))).collect();
                named
            };
            let names = Names::new(with(&all, 1));
            let touched: BTreeSet<_> = changed.keys().copied().collect();
            let is_there = changed.iter().filter_map(|(id, name)| Some((*id, name.clone()?)));
            let there: BTreeMap<_, _> = is_there.collect();
            let after = names.after(&touched, with(&there, 2));
            let kept = all.into_iter().filter(|(id, _)| !touched.contains(id)).collect();
            let again = Names::new([with(&kept, 1), with(&there, 2)].concat());
            let all_of = |names: &Names| {
                let entries = names.all().iter();
                let shown: Vec<_> = entries.map(|entry| (names.name(entry).to_owned(), entry.facts.id, entry.facts.weight)).collect();
                shown
            };
            // Two with one name may come in either order.
            let sorted = |mut all: Vec<(String, CrateId, u64)>| { all.sort(); all };
            prop_assert_eq!(sorted(all_of(&after)), sorted(all_of(&again)));
            for word in ["a", "b", "ca"] {
                let found = |names: &Names| names.words().with(word, true).iter().copied().collect::<BTreeSet<_>>();
                prop_assert_eq!(found(&after), found(&again));
            }
        }
    }
}
