//! Guards against an upstream that lost much of its root, as after an accident or an attack.

use crate::git::tree::Tree;
use crate::index::config_json::CONFIG_JSON;

/// The number of root entries from which `mirror.max_root_loss` applies: in a small index the loss of a fifth is normal.
const LARGE: usize = 500;
/// The share that a smaller root may not lose either.
const HALF: f64 = 0.5;

/// How many root entries of the base upstream no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// The entries of the base's root that are gone.
    pub lost: usize,
    /// All entries of the base's root.
    pub of: usize,
    /// Whether `config.json` is among the lost ones: then it is no index any more.
    pub is_config_lost: bool,
}

impl Loss {
    /// Returns the share of the root that is gone, 0 to 1.
    // Exact: a root has far fewer than 2^52 entries.
    #[allow(clippy::cast_precision_loss)]
    pub fn share(self) -> f64 {
        // For an empty base 0 / 0 would be NaN.
        self.lost as f64 / self.of.max(1) as f64
    }

    /// Says whether it looks like an accident: `config.json` is gone, or more than the share `max` (0 to 1); of a small
    /// root also half of it.
    pub fn exceeds(self, max: f64) -> bool {
        let is_enough = self.of >= LARGE || self.share() >= HALF;
        self.is_config_lost || is_enough && self.share() > max
    }
}

/// Counts the names at the root of `base` that `theirs` no longer has; a changed entry is not a lost one.
pub fn root_loss(base: &Tree, theirs: &Tree) -> Loss {
    let is_lost = |name: &[u8]| !theirs.contains_key(name);
    let config = CONFIG_JSON.as_bytes();
    Loss {
        lost: base.keys().filter(|name| is_lost(name)).count(),
        of: base.len(),
        is_config_lost: base.contains_key(config) && is_lost(config),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
                of: 1000,
                is_config_lost: false,
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
    fn a_root_below_five_hundred_entries_may_lose_less_than_half() {
        assert!(!root_loss(&root(0..499, 1), &root(249..499, 1)).exceeds(0.2));
        assert!(root_loss(&root(0..499, 1), &root(250..499, 1)).exceeds(0.2));
        assert!(root_loss(&root(0..500, 1), &root(101..500, 1)).exceeds(0.2));
        // Whoever allows more for a large root allows it for a small one.
        assert!(!root_loss(&root(0..10, 1), &root(6..10, 1)).exceeds(0.6));
    }

    #[test]
    fn an_index_without_its_config_json_is_none() {
        let mut base = root(0..10, 1);
        let config = base.values().next().copied().unwrap();
        base.insert(CONFIG_JSON.as_bytes().to_vec(), config);
        let loss = root_loss(&base, &root(0..10, 1));
        assert!(loss.is_config_lost && loss.exceeds(1.0), "{loss:?}");
        assert!(!root_loss(&base, &base).exceeds(0.0));
        // What never had one cannot lose it.
        assert!(!root_loss(&root(0..10, 1), &root(0..10, 1)).exceeds(0.0));
    }

    #[test]
    fn an_empty_base_has_nothing_to_lose() {
        assert_eq!(root_loss(&Tree::new(), &Tree::new()).share(), 0.0);
    }
}
