//! A set of crates by their ranks, one bit each: what is found is counted and put in order without looking at each crate.

use fixedbitset::FixedBitSet;

/// The ranks of some crates of a catalog, the heaviest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RankSet(FixedBitSet);

impl RankSet {
    /// Makes an empty set of crates of a catalog that has this many.
    pub(super) fn of(crates: usize) -> Self {
        Self(FixedBitSet::with_capacity(crates))
    }

    /// Adds a rank, which is lower than the number of crates.
    pub(super) fn insert(&mut self, rank: u32) {
        self.0.insert(rank as usize);
    }

    pub(super) fn insert_all(&mut self, ranks: impl IntoIterator<Item = u32>) {
        ranks.into_iter().for_each(|rank| self.insert(rank));
    }

    /// Adds what is in the other set.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.union_with(&other.0);
    }

    /// Removes what is in the other set.
    pub(super) fn remove(&mut self, other: &Self) {
        self.0.difference_with(&other.0);
    }

    /// Removes what is not in the other set.
    pub(super) fn keep(&mut self, other: &Self) {
        self.0.intersect_with(&other.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.count_ones(..)
    }

    /// Returns the ranks, the lowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        // A rank was 32 bits when it was put in.
        self.0.ones().map(|rank| rank as u32)
    }
}
