//! Lists where the merged tree differs from upstream's, as exactly as a bounded number of trees allows.

use std::collections::{BTreeSet, HashMap};

use super::{Difference, MAX_DEPTH, MergeWarning, Needs, Rules, Side, depth, join, shown_path};
use crate::git::ObjectId;
use crate::git::tree::{Tree, TreeEntry};
use crate::index::Keep;
use crate::index::config_json::CONFIG_JSON;

/// The length of the list from which on directories are no longer entered: each takes two more trees to be fetched, and
/// no person reads on.
const ENOUGH: usize = 1000;

/// The tree of a side that has none.
pub(super) static EMPTY: Tree = Tree::new();

/// A path on which the merged tree and upstream's differ: two files, two directories, or one of either.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) path: Vec<u8>,
    pub(super) ours: Option<TreeEntry>,
    pub(super) theirs: Option<TreeEntry>,
}

impl Pair {
    /// Compares a name on both sides, its file and its directory separately.
    pub(super) fn compare(
        path: &[u8],
        ours: Option<TreeEntry>,
        theirs: Option<TreeEntry>,
    ) -> impl Iterator<Item = Self> {
        [false, true].into_iter().filter_map(move |directories| {
            let wanted = |entry: &TreeEntry| entry.mode.is_tree() == directories;
            let (ours, theirs) = (ours.filter(wanted), theirs.filter(wanted));
            (ours != theirs).then(|| Self {
                path: path.to_vec(),
                ours,
                theirs,
            })
        })
    }

    /// Returns the ids of two directories that can be compared entry by entry.
    ///
    /// One that only upstream has is compared with an empty one if `mirror.keep` may name some of its paths, but not all.
    fn directories(&self, keep: &Keep) -> Option<(Option<ObjectId>, ObjectId)> {
        let theirs = self.theirs.filter(|entry| entry.mode.is_tree())?;
        match self.ours {
            Some(ours) => ours.mode.is_tree().then_some((Some(ours.id), theirs.id)),
            None => {
                let partly = !keep.covers(&self.path) && keep.may_match_below(&self.path);
                partly.then_some((None, theirs.id))
            }
        }
    }

    /// Lists the pair as it is; `cut` where it is a directory that could have been entered.
    fn into_difference(self, cut: bool) -> Difference {
        let entry = self.ours.or(self.theirs);
        Difference {
            path: shown_path(&self.path, entry.is_some_and(|entry| entry.mode.is_tree())),
            ours: self.ours,
            theirs: self.theirs,
            cut,
        }
    }
}

/// Enters differing directories level by level and notes the missing trees; returns the differences by path.
pub(super) fn list(
    found: Vec<Pair>,
    trees: &HashMap<ObjectId, Tree>,
    keep: &Keep,
    needs: &mut Needs,
) -> Vec<Difference> {
    let mut differences: Vec<Difference> = Vec::new();
    let mut level = found;
    while !level.is_empty() {
        // A directory still to be entered has at least one difference, so it counts as one.
        let enough = differences.len() + level.len() > ENOUGH;
        let mut below = Vec::new();
        for pair in level {
            match pair.directories(keep) {
                None => differences.push(pair.into_difference(false)),
                Some(_) if enough || depth(&pair.path) >= MAX_DEPTH => {
                    differences.push(pair.into_difference(true));
                }
                Some(ids) => enter(&pair.path, ids, trees, needs, &mut below),
            }
        }
        level = below;
    }
    differences.sort_by(|a, b| a.path.cmp(&b.path));
    differences
}

fn enter(
    path: &[u8],
    (ours, theirs): (Option<ObjectId>, ObjectId),
    trees: &HashMap<ObjectId, Tree>,
    needs: &mut Needs,
    below: &mut Vec<Pair>,
) {
    let missing = |id: &ObjectId| !trees.contains_key(id);
    if let Some(id) = ours.filter(missing) {
        needs.add(Side::Ours, id);
    }
    if missing(&theirs) {
        needs.add(Side::Theirs, theirs);
    }
    let ours = ours.map_or(Some(&EMPTY), |id| trees.get(&id));
    let (Some(ours), Some(theirs)) = (ours, trees.get(&theirs)) else {
        // The next pass has them; what this one lists is discarded.
        return;
    };
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for name in names {
        let (ours, theirs) = (ours.get(name).copied(), theirs.get(name).copied());
        if ours != theirs {
            below.extend(Pair::compare(&join(path, name), ours, theirs));
        }
    }
}

/// Warns of differences on paths that upstream has, and that are neither kept nor reserved: a reverted sync leaves such paths behind.
///
/// A directory that was not entered may contain only the mirror's own files, so all of these are one warning.
pub(super) fn unexpected(differences: &[Difference], rules: &Rules) -> BTreeSet<MergeWarning> {
    differences
        .iter()
        .filter(|difference| difference.theirs.is_some() && difference.path != CONFIG_JSON)
        .filter(|difference| {
            let path = difference.path.trim_end_matches('/').as_bytes();
            !rules.keep.covers(path) && !rules.reserved.covers(path)
        })
        .map(|difference| match difference.cut {
            true => MergeWarning::OverlayCut,
            false => MergeWarning::DiffersFromUpstream {
                path: difference.path.clone(),
            },
        })
        .collect()
}
