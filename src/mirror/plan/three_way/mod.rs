//! Merges three root trees by object id, from the root down, asking for trees as it goes.
//!
//! A directory is entered only where all three sides differ, where `mirror.keep` may name something in it, or where the
//! merged tree differs from upstream's, to list by how much. Contents are never looked at. As in git's own merge, the file
//! and the directory that a name may stand for are merged apart, absence being a value.

mod file;
mod findings;
mod overlay;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

pub use findings::{Conflict, ConflictKind, Difference, Warning};

use super::Keep;
use super::keep::prefixes;
use crate::git::ObjectId;
use crate::git::tree::{MergedTree, Tree};

/// The directories that a merge enters below one another; an index has three levels.
const MAX_DEPTH: usize = 64;

/// Where a tree is to be had from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The mirror's tip.
    Ours,
    /// The base, the newest upstream commit that the mirror holds.
    Base,
    /// Upstream's tip.
    Theirs,
}

/// One value for each side of a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides<T> {
    /// The mirror's.
    pub ours: T,
    /// The base's.
    pub base: T,
    /// Upstream's.
    pub theirs: T,
}

impl<T> Sides<T> {
    fn map<U>(self, mut change: impl FnMut(T) -> U) -> Sides<U> {
        Sides {
            ours: change(self.ours),
            base: change(self.base),
            theirs: change(self.theirs),
        }
    }
}

/// What a merge does where the ids alone do not say it.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The paths that are the mirror's own.
    pub keep: Keep,
    ours: BTreeSet<String>,
}

impl Rules {
    /// Makes rules from the kept paths and the paths, files or directories, at or below which a conflict is settled with
    /// the mirror's side (`--ours`).
    pub fn new<S: AsRef<str>>(keep: Keep, ours: &[S]) -> Self {
        let trimmed = ours.iter().map(|path| path.as_ref().trim_matches('/'));
        Self {
            keep,
            ours: trimmed.map(str::to_owned).collect(),
        }
    }

    /// Returns the paths given as `--ours` at or below which the path lies.
    fn settling(&self, path: &[u8]) -> Vec<&str> {
        prefixes(path)
            .filter_map(|prefix| std::str::from_utf8(prefix).ok())
            .filter_map(|prefix| self.ours.get(prefix).map(String::as_str))
            .collect()
    }

    fn unused_ours<'a>(&'a self, used: &'a BTreeSet<&str>) -> impl Iterator<Item = Warning> + 'a {
        let unused = self
            .ours
            .iter()
            .filter(|path| !used.contains(path.as_str()));
        unused.map(|path| Warning::OursUnused { path: path.clone() })
    }
}

/// A tree that must be known before planning can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// A side that has it; others may have it too.
    pub side: Side,
    /// Its id.
    pub id: ObjectId,
}

/// How far a merge has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These trees are needed, each named once: all that can be told of one directory level.
    Needs(Vec<Need>),
    /// Everything is known.
    Done(Merged),
}

/// The result of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The new root; below a conflict it holds the mirror's side.
    pub root: MergedTree,
    /// The paths that only a person can settle; where there is one, the tree must not be used.
    pub conflicts: Vec<Conflict>,
    /// Every path where the merged tree differs from upstream's, conflicts left out, sorted; a directory is listed as one
    /// path where the other side has none.
    pub overlay: Vec<Difference>,
    /// Whether the overlay is so long that some directories in it stand for what they hold.
    pub overlay_cut: bool,
    /// What a person should look at.
    pub warnings: Vec<Warning>,
}

/// A merge under way: three roots, the rules, and the trees known so far.
#[derive(Debug, Clone)]
pub struct Merge {
    roots: Sides<Option<ObjectId>>,
    rules: Rules,
    trees: HashMap<ObjectId, Tree>,
}

impl Merge {
    /// Starts a merge of root trees; a side that is absent counts as an empty tree.
    pub fn new(roots: Sides<Option<ObjectId>>, rules: Rules) -> Self {
        Self {
            roots,
            rules,
            trees: HashMap::new(),
        }
    }

    /// Adds a tree; whichever side it came from, it is known for all.
    pub fn supply(&mut self, id: ObjectId, tree: Tree) {
        self.trees.insert(id, tree);
    }

    /// Plans as far as the known trees allow.
    ///
    /// Call it, supply *every* tree that it needs, and call it again, until it is done: one round for each directory level.
    pub fn step(&self) -> Step {
        let mut walk = walk::Walk::new(&self.trees, &self.rules);
        let root = walk.root(self.roots);
        let walk::Found {
            mut needs,
            mut conflicts,
            mut warnings,
            differing,
            settled,
        } = walk.finish();
        let overlay = overlay::list(differing, &self.trees, &self.rules.keep, &mut needs);
        if !needs.is_empty() {
            return Step::Needs(needs.into_list());
        }
        warnings.extend(overlay::unexpected(&overlay, &self.rules.keep));
        warnings.extend(self.rules.unused_ours(&settled));
        conflicts.sort();
        warnings.sort();
        Step::Done(Merged {
            root,
            conflicts,
            overlay_cut: overlay.iter().any(|difference| difference.cut),
            overlay,
            warnings,
        })
    }
}

/// The trees that are missing, in the order in which they were met.
#[derive(Debug, Default)]
struct Needs {
    list: Vec<Need>,
    ids: BTreeSet<ObjectId>,
}

impl Needs {
    fn add(&mut self, side: Side, id: ObjectId) {
        if self.ids.insert(id) {
            self.list.push(Need { side, id });
        }
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn into_list(self) -> Vec<Need> {
        self.list
    }
}

/// Appends a name to a directory's path; the root's is empty.
fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Counts the directories above a path.
fn depth(path: &[u8]) -> usize {
    path.split(|byte| *byte == b'/').count() - 1
}

/// Shows a path to people; a directory's ends in `/`.
fn shown(path: &[u8], is_directory: bool) -> String {
    let mut text = String::from_utf8_lossy(path).into_owned();
    if is_directory {
        text.push('/');
    }
    text
}
