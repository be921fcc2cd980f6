//! The crates in memory: what search asks first, and how results are ordered.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::name_table::{CrateId, NameTable, Unordered, alike};
use super::place::Place;
use super::rank_set::RankSet;
use super::typing_errors::Typed;
use crate::git::ObjectId;

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

/// All crates: their names, what is known of each, and their order by weight.
#[derive(Debug)]
pub(super) struct Names {
    table: Arc<NameTable>,
    /// In the order of their names.
    facts: Vec<Facts>,
    /// The crates' ranks by weight, 0 for the heaviest, in the order of their names, which decides between equals.
    ranks: Vec<u32>,
    /// The places of the ranks.
    by_rank: Vec<Place>,
}

/// How many letters typing errors may change.
const NEAR: u32 = 2;

impl Names {
    fn of(table: Arc<NameTable>, facts: Vec<Facts>) -> Self {
        let weights = facts.iter().map(|facts| Reverse(facts.weight)).zip(0..);
        let mut weights: Vec<(_, Place)> = weights.collect();
        weights.sort_unstable();
        let by_rank: Vec<_> = weights.into_iter().map(|(_, place)| place).collect();
        let mut ranks = vec![0; by_rank.len()];
        for (place, rank) in by_rank.iter().zip(0..) {
            ranks[*place as usize] = rank;
        }
        Self {
            table,
            facts,
            ranks,
            by_rank,
        }
    }

    /// Returns the names after a change: without the crates of `touched`, and with `changed`, which are those of them that
    /// are still there, and those that are new.
    pub(super) fn after(
        &self,
        touched: &BTreeSet<CrateId>,
        changed: impl IntoIterator<Item = (String, Facts)>,
    ) -> Self {
        let (mut come, mut facts) = (Unordered::default(), HashMap::new());
        let mut gone: BTreeSet<_> = touched
            .iter()
            .filter_map(|id| self.table.place_of_id(*id))
            .collect();
        for (name, new) in changed {
            let place = self.table.place_of_id(new.id);
            let named = place.filter(|at| self.table.name(*at).eq_ignore_ascii_case(&name));
            match named {
                Some(place) => drop(gone.remove(&place)),
                None => come.push(&name, new.id),
            }
            facts.insert(new.id, new);
        }
        // Most changes are new versions of crates that were there before.
        let table = match gone.is_empty() && come.is_empty() {
            true => Arc::clone(&self.table),
            false => Arc::new(self.table.after(&Vec::from_iter(gone), come)),
        };
        let all = table.ids();
        let all = all.filter_map(|id| facts.get(&id).or_else(|| self.by_id(id)).copied());
        let mut known = Vec::with_capacity(table.len());
        known.extend(all);
        Self::of(table, known)
    }

    pub(super) fn len(&self) -> usize {
        self.facts.len()
    }

    /// Returns the crates in the order of their names.
    pub(super) fn all(&self) -> &[Facts] {
        &self.facts
    }

    pub(super) fn facts(&self, place: Place) -> &Facts {
        &self.facts[place as usize]
    }

    /// Returns the crate with this id.
    pub(super) fn by_id(&self, id: CrateId) -> Option<&Facts> {
        self.table.place_of_id(id).map(|place| self.facts(place))
    }

    /// Returns the rank of the crate with this id.
    pub(super) fn rank_of(&self, id: CrateId) -> Option<u32> {
        let place = self.table.place_of_id(id)?;
        Some(self.ranks[place as usize])
    }

    /// Returns the place of a rank.
    pub(super) fn ranked(&self, rank: u32) -> Place {
        self.by_rank[rank as usize]
    }

    /// Returns an empty set of its crates.
    pub(super) fn no_ranks(&self) -> RankSet {
        RankSet::of(self.len())
    }

    /// Returns the set of the crates at these places.
    pub(super) fn ranks_at(&self, places: impl IntoIterator<Item = Place>) -> RankSet {
        let mut set = self.no_ranks();
        set.insert_all(places.into_iter().map(|place| self.ranks[place as usize]));
        set
    }

    /// Returns the set of the crates with these ids, as far as they are there.
    pub(super) fn ranks_of(&self, ids: impl IntoIterator<Item = CrateId>) -> RankSet {
        let mut set = self.no_ranks();
        set.insert_all(ids.into_iter().filter_map(|id| self.rank_of(id)));
        set
    }

    /// Returns the set of the crates with a word in their names that is this one, or begins with it if `is_prefix`.
    pub(super) fn ranks_with(&self, word: &str, is_prefix: bool) -> RankSet {
        let places = self.table.words().with(word, is_prefix);
        self.ranks_at(places.iter().copied())
    }

    /// Says whether a name has this word, or one that begins with it if `is_prefix`.
    pub(super) fn have_word(&self, word: &str, is_prefix: bool) -> bool {
        !self.table.words().with(word, is_prefix).is_empty()
    }

    /// Returns the place of the crate with this very name, in lower case.
    pub(super) fn place_of(&self, name: &str) -> Option<Place> {
        self.exact(name)
            .find(|place| self.table.name(*place) == name)
    }

    /// Returns the places of the crates with this name, in lower case: in a private registry `a-b` and `a_b` may be two.
    pub(super) fn exact(&self, name: &str) -> Range<Place> {
        self.table.exact(name)
    }

    /// Returns the places of the crates whose names begin with this, in lower case.
    pub(super) fn prefixed(&self, start: &str) -> Range<Place> {
        self.table.prefixed(start)
    }

    /// Returns the crates whose names are a typing error away from this one: the nearest first, and of those the heaviest.
    pub(super) fn near(&self, name: &str, most: usize) -> Vec<CrateId> {
        let name = name.replace('_', "-");
        let Some(typed) = Typed::new(name.as_bytes()) else {
            return Vec::new();
        };
        // In a short name two errors leave nothing of it.
        let bound = if name.len() < 5 { 1 } else { NEAR };
        let candidates = self.table.maybe_near(&name, bound as usize);
        let near = candidates.filter_map(|place| {
            let errors = typed.errors(alike(self.table.name(place)));
            (errors <= bound).then_some((errors, self.ranks[place as usize], place))
        });
        let mut found: Vec<_> = near.collect();
        found.sort_unstable();
        found.truncate(most);
        let places = found.into_iter().map(|(.., place)| place);
        places.map(|place| self.facts(place).id).collect()
    }
}

/// Takes all crates one after the other, in any order.
#[derive(Debug)]
pub(super) struct NamesReader {
    names: Unordered,
    facts: Vec<Facts>,
}

impl NamesReader {
    /// Makes one for so many crates, and more.
    pub(super) fn with_capacity(crates: usize) -> Self {
        Self {
            names: Unordered::default(),
            facts: Vec::with_capacity(crates),
        }
    }

    pub(super) fn push(&mut self, name: &str, facts: Facts) {
        self.names.push(name, facts.id);
        self.facts.push(facts);
    }

    /// Returns the crates; those that were known `before` share its names if they still have them.
    pub(super) fn finish(mut self, before: Option<&Names>) -> Names {
        let same = before.filter(|before| self.names.are_in(&before.table));
        let table = match same {
            Some(before) => Arc::clone(&before.table),
            None => Arc::new(NameTable::new(self.names)),
        };
        self.facts.sort_unstable_by_key(|facts| facts.id);
        let of = |id| self.facts.binary_search_by_key(&id, |facts| facts.id);
        let mut facts = Vec::with_capacity(table.len());
        facts.extend(table.ids().filter_map(|id| Some(self.facts[of(id).ok()?])));
        Names::of(table, facts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn names(all: &[(&str, u64)]) -> Names {
        let numbered = all.iter().zip(1..);
        read(numbered.map(|((name, weight), id)| (*name, facts(id, *weight))))
    }

    fn read<N: AsRef<str>>(all: impl IntoIterator<Item = (N, Facts)>) -> Names {
        let mut reader = NamesReader::with_capacity(0);
        for (name, facts) in all {
            reader.push(name.as_ref(), facts);
        }
        reader.finish(None)
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

    fn shown(names: &Names, places: Range<Place>) -> Vec<&str> {
        places.map(|place| names.table.name(place)).collect()
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
        assert_eq!(names.by_id(4).map(|facts| facts.weight), Some(4));
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
            let near = all.iter().filter(|(name, _)| strsim::osa_distance(&name.replace('_', "-"), &wanted) <= NEAR as usize);
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
            let names = read(with(&all, 1));
            let touched: BTreeSet<_> = changed.keys().copied().collect();
            let is_there = changed.iter().filter_map(|(id, name)| Some((*id, name.clone()?)));
            let there: BTreeMap<_, _> = is_there.collect();
            let after = names.after(&touched, with(&there, 2));
            let kept = all.into_iter().filter(|(id, _)| !touched.contains(id)).collect();
            let again = read([with(&kept, 1), with(&there, 2)].concat());
            prop_assert_eq!(everything(&after), everything(&again));
            // The names are read again, and the table is another one or the same.
            let mut reader = NamesReader::with_capacity(0);
            for (name, facts) in [with(&kept, 1), with(&there, 2)].concat() {
                reader.push(&name, facts);
            }
            prop_assert_eq!(everything(&reader.finish(Some(&names))), everything(&again));
        }
    }

    /// Each crate with its name, id and weight, and which of them have each of some words.
    type Everything = (BTreeSet<(String, CrateId, u64)>, Vec<BTreeSet<CrateId>>);

    /// Says all that is known, which does not depend on how it was learned.
    fn everything(names: &Names) -> Everything {
        let all = names.all().iter().zip(0..);
        let shown = all.map(|(facts, place)| {
            assert_eq!(names.ranked(names.ranks[place as usize]), place);
            assert_eq!(names.by_id(facts.id).map(|found| found.id), Some(facts.id));
            (names.table.name(place).to_owned(), facts.id, facts.weight)
        });
        let shown = shown.collect();
        let weights: Vec<_> = (0..)
            .take(names.len())
            .map(|rank| names.facts(names.ranked(rank)).weight)
            .collect();
        assert!(
            weights.is_sorted_by(|one, other| one >= other),
            "{weights:?}"
        );
        let words = ["a", "b", "ca"].into_iter().map(|word| {
            let found = names.ranks_with(word, true);
            found
                .iter()
                .map(|rank| names.facts(names.ranked(rank)).id)
                .collect()
        });
        (shown, words.collect())
    }
}
