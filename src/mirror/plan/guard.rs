//! Guards against an upstream that lost much of its root, as after an accident or an attack.

use crate::git::tree::Tree;

/// The number of root entries from which the guard applies: in a small index the loss of a fifth is normal.
const GUARDED_FROM: usize = 500;

/// How many root entries of the base upstream no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The entries of the base's root that are gone.
    pub lost: usize,
    /// All entries of the base's root.
    pub of: usize,
}

impl Loss {
    /// Returns the share of the root that is gone, 0 to 1.
    // Exact: a root has far fewer than 2^52 entries.
    #[allow(clippy::cast_precision_loss)]
    pub fn share(self) -> f64 {
        // For an empty base 0 / 0 would be NaN.
        self.lost as f64 / self.of.max(1) as f64
    }

    /// Says whether more than the share `max` (0 to 1) is gone from a root that is large enough for the guard.
    pub fn exceeds(self, max: f64) -> bool {
        self.of >= GUARDED_FROM && self.share() > max
    }
}

/// Counts the names at the root of `base` that `theirs` no longer has; a changed entry is not a lost one.
pub fn root_loss(base: &Tree, theirs: &Tree) -> Loss {
    Loss {
        lost: base
            .keys()
            .filter(|name| !theirs.contains_key(*name))
            .count(),
        of: base.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::ObjectId;
    use crate::git::tree::{Mode, TreeEntry};

    fn root(names: std::ops::Range<usize>, content: u8) -> Tree {
        let entry = TreeEntry {
            mode: Mode::TREE,
            id: ObjectId::from_bytes([content; 20]),
        };
        names.map(|n| (n.to_string().into_bytes(), entry)).collect()
    }

    #[test]
    fn a_root_that_lost_more_than_the_share_exceeds_it() {
        let loss = root_loss(&root(0..1000, 1), &root(201..2000, 1));
        assert_eq!(
            loss,
            Loss {
                lost: 201,
                of: 1000
            }
        );
        assert!(loss.exceeds(0.2));
    }

    #[test]
    fn a_root_that_lost_exactly_the_share_passes() {
        assert!(!root_loss(&root(0..1000, 1), &root(200..1000, 1)).exceeds(0.2));
    }

    #[test]
    fn a_root_whose_every_entry_changed_lost_nothing() {
        assert_eq!(root_loss(&root(0..600, 1), &root(0..600, 2)).lost, 0);
    }

    #[test]
    fn a_root_below_five_hundred_entries_is_not_guarded() {
        assert!(!root_loss(&root(0..499, 1), &Tree::new()).exceeds(0.2));
        assert!(root_loss(&root(0..500, 1), &Tree::new()).exceeds(0.2));
    }

    #[test]
    fn an_empty_base_has_nothing_to_lose() {
        assert_eq!(root_loss(&Tree::new(), &Tree::new()).share(), 0.0);
    }
}
