//! A set of crates by their ranks, one bit each: what is found is counted and put in order without looking at each crate.

/// The ranks of some crates of a catalog, the heaviest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RankSet(Vec<u64>);

impl RankSet {
    /// Makes an empty set of crates of a catalog that has this many.
    pub(super) fn of(crates: usize) -> Self {
        Self(vec![0; crates.div_ceil(64)])
    }

    /// Adds a rank, which is lower than the number of crates.
    pub(super) fn insert(&mut self, rank: u32) {
        self.0[rank as usize / 64] |= 1 << (rank % 64);
    }

    pub(super) fn insert_all(&mut self, ranks: impl IntoIterator<Item = u32>) {
        for rank in ranks {
            self.insert(rank);
        }
    }

    /// Adds what is in the other set.
    pub(super) fn add(&mut self, other: &Self) {
        for (bits, other) in self.0.iter_mut().zip(&other.0) {
            *bits |= other;
        }
    }

    /// Removes what is in the other set.
    pub(super) fn remove(&mut self, other: &Self) {
        for (bits, other) in self.0.iter_mut().zip(&other.0) {
            *bits &= !other;
        }
    }

    /// Removes what is not in the other set.
    pub(super) fn keep(&mut self, other: &Self) {
        for (bits, other) in self.0.iter_mut().zip(&other.0) {
            *bits &= other;
        }
    }

    pub(super) fn len(&self) -> usize {
        let counts = self.0.iter().map(|bits| bits.count_ones() as usize);
        counts.sum()
    }

    /// Returns the ranks, the lowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let words = self.0.iter().zip((0..).step_by(64));
        words.flat_map(|(bits, first): (&u64, u32)| {
            let mut left = *bits;
            std::iter::from_fn(move || {
                let rank = (left != 0).then(|| first + left.trailing_zeros())?;
                left &= left - 1;
                Some(rank)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_does_what_a_tree_of_numbers_does(
            one in prop::collection::btree_set(0..200_u32, 0..99), other in prop::collection::btree_set(0..200_u32, 0..99),
        ) {
            let set = |ranks: &BTreeSet<u32>| {
                let mut set = RankSet::of(200);
                set.insert_all(ranks.iter().copied());
                set
            };
            let after = |change: fn(&mut RankSet, &RankSet)| {
                let mut changed = set(&one);
                change(&mut changed, &set(&other));
                changed
            };
            prop_assert_eq!(after(RankSet::add), set(&(&one | &other)));
            prop_assert_eq!(after(RankSet::remove), set(&(&one - &other)));
            prop_assert_eq!(after(RankSet::keep), set(&(&one & &other)));
            prop_assert_eq!(set(&one).len(), one.len());
            prop_assert_eq!(set(&one).iter().collect::<Vec<_>>(), Vec::from_iter(one));
        }
    }
}
