//! Merges three root trees by object id, from the root down; says which trees it needs as it goes.
//!
//! A directory is entered only where all three sides differ, where `mirror.keep` may match something in it or a crate with a
//! reserved name may be, or where the merged tree differs from upstream's, to list the differences. File contents are never
//! read. As in git's own merge, the file and the directory of one name are merged separately, and absence is a value.
//!
//! `walk` decides name by name, `file` what becomes of a file, `overlay` lists the differences from upstream, `findings` are
//! conflicts and warnings.

mod file;
mod findings;
mod overlay;
mod walk;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

pub use findings::{Conflict, ConflictKind, Difference, MergeWarning};

use crate::git::ObjectId;
use crate::git::tree::{MergedTree, Tree};
use crate::index::{Keep, ReservedNames, prefixes};
use crate::shown;

/// The directories that a merge enters below one another; an index has three levels. Each level is a round of fetches,
/// so without a bound a tree could keep a sync busy for good.
const MAX_DEPTH: usize = 64;

/// The side that has a tree.
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

/// What decides where the ids alone do not.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The paths that are the mirror's own.
    pub keep: Keep,
    /// The crates of which upstream's lines are left out.
    reserved: ReservedNames,
    ours: BTreeSet<String>,
}

impl Rules {
    /// Makes rules from the kept paths, and from the files or directories in which the mirror's side resolves a conflict
    /// (`--ours`).
    pub fn new<S: AsRef<str>>(keep: Keep, ours: &[S]) -> Self {
        let trimmed = ours.iter().map(|path| path.as_ref().trim_matches('/'));
        Self {
            keep,
            reserved: ReservedNames::default(),
            ours: trimmed.map(str::to_owned).collect(),
        }
    }

    /// Leaves upstream's lines of these crates out.
    #[must_use]
    pub fn reserving(self, reserved: ReservedNames) -> Self {
        Self { reserved, ..self }
    }

    /// Returns the paths given as `--ours` that contain the path.
    fn settling(&self, path: &[u8]) -> Vec<&str> {
        prefixes(path)
            .filter_map(|prefix| std::str::from_utf8(prefix).ok())
            .filter_map(|prefix| self.ours.get(prefix).map(String::as_str))
            .collect()
    }

    fn unused_ours<'a>(
        &'a self,
        used: &'a BTreeSet<&str>,
    ) -> impl Iterator<Item = MergeWarning> + 'a {
        let unused = self
            .ours
            .iter()
            .filter(|path| !used.contains(path.as_str()));
        unused.map(|path| MergeWarning::OursUnused { path: path.clone() })
    }
}

/// A tree that planning needs to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// A side that has it; others may as well.
    pub side: Side,
    /// Its id.
    pub id: ObjectId,
}

/// The state of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These trees are needed, each named once: all of one directory level.
    Needs(Vec<Need>),
    /// The merge is complete.
    Done(Merged),
}

/// The result of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The new root; at a conflict it has the mirror's side.
    pub root: MergedTree,
    /// The conflicts; if there is one, the tree must not be used.
    pub conflicts: Vec<Conflict>,
    /// Every path where the merged tree differs from upstream's, without conflicts, sorted; a directory that the other side does
    /// not have is listed as one path.
    pub overlay: Vec<Difference>,
    /// Whether the overlay is too long, so that some directories stand for the paths in them.
    pub overlay_cut: bool,
    /// What a person should look at.
    pub warnings: Vec<MergeWarning>,
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

    /// Adds a tree, for all sides.
    pub fn supply(&mut self, id: ObjectId, tree: Tree) {
        self.trees.insert(id, tree);
    }

    /// Plans as far as the known trees allow.
    ///
    /// Call it, supply *every* tree that it needs, and call it again until it is done: one round for each directory level. Each
    /// round starts over, which costs little, since few directories are entered, and needs no state in between.
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
        warnings.extend(overlay::unexpected(&overlay, &self.rules));
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

/// Returns a path for people; a directory's ends in `/`.
fn shown_path(path: &[u8], is_directory: bool) -> String {
    let text = String::from_utf8_lossy(path);
    let mut text = shown::printable(&text).into_owned();
    if is_directory {
        text.push('/');
    }
    text
}
