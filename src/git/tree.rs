//! Git trees as a planner needs them: names, modes and ids, without contents; and the result of a merge.

use std::collections::BTreeMap;
use std::fmt;

use crate::ObjectId;

/// The mode of a tree entry, as the number that git writes in octal. Not an enum: old trees have modes such as 100664, which must
/// not change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(pub u32);

impl Mode {
    /// A directory.
    pub const TREE: Self = Self(0o40000);
    /// A regular file.
    pub const FILE: Self = Self(0o100_644);
    /// An executable file.
    pub const EXECUTABLE: Self = Self(0o100_755);
    /// A symbolic link.
    pub const SYMLINK: Self = Self(0o120_000);
    /// A commit of another repository (a submodule).
    pub const GITLINK: Self = Self(0o160_000);

    /// The bits that tell a file from a directory from a link.
    const TYPE: u32 = 0o170_000;

    /// Says whether the entry is a directory.
    pub fn is_tree(self) -> bool {
        self.is_same_type(Self::TREE)
    }

    /// Says whether both are files, both links and so on; a regular file may be executable or not.
    pub fn is_same_type(self, other: Self) -> bool {
        self.0 & Self::TYPE == other.0 & Self::TYPE
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o}", self.0)
    }
}

/// An entry of a tree: mode and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeEntry {
    /// The mode: file, directory, link.
    pub mode: Mode,
    /// The id of its object.
    pub id: ObjectId,
}

impl TreeEntry {
    /// Makes the entry of a directory.
    pub fn directory(id: ObjectId) -> Self {
        let mode = Mode::TREE;
        Self { mode, id }
    }
}

/// A git tree: names, as bytes, and entries.
///
/// A map sorts plainly by name; git sorts a directory as if its name ended in `/`. See [`in_git_order`].
pub type Tree = BTreeMap<Vec<u8>, TreeEntry>;

/// A directory of the merged tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergedTree {
    /// A tree that one of the sides has.
    Existing(ObjectId),
    /// A tree that no side has: its object must be created, after those of the new directories in it.
    New(BTreeMap<Vec<u8>, MergedEntry>),
}

/// An entry of a new directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergedEntry {
    /// Anything but a directory.
    File(TreeEntry),
    /// A directory.
    Directory(MergedTree),
}

impl MergedEntry {
    /// Returns the entry, if no object must be created for it.
    pub fn existing(&self) -> Option<TreeEntry> {
        match self {
            Self::File(entry) => Some(*entry),
            Self::Directory(MergedTree::Existing(id)) => Some(TreeEntry::directory(*id)),
            Self::Directory(MergedTree::New(_)) => None,
        }
    }
}

impl From<TreeEntry> for MergedEntry {
    fn from(entry: TreeEntry) -> Self {
        if entry.mode.is_tree() {
            Self::Directory(MergedTree::Existing(entry.id))
        } else {
            Self::File(entry)
        }
    }
}

/// Returns a new directory's entries in the order in which git's tree object lists them.
///
/// Git compares names as bytes, a directory's as if it ended in `/`; `git fsck` and strict servers refuse any other order.
pub fn in_git_order(entries: &BTreeMap<Vec<u8>, MergedEntry>) -> Vec<(&[u8], &MergedEntry)> {
    let mut listed: Vec<_> = entries
        .iter()
        .map(|(name, entry)| (name.as_slice(), entry))
        .collect();
    listed.sort_by_cached_key(|(name, entry)| {
        let mut key = name.to_vec();
        if matches!(entry, MergedEntry::Directory(_)) {
            key.push(b'/');
        }
        key
    });
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_sorts_as_if_its_name_ended_in_a_slash() {
        let id = ObjectId::ZERO;
        let file = MergedEntry::File(TreeEntry {
            mode: Mode::FILE,
            id,
        });
        let directory = MergedEntry::Directory(MergedTree::New(BTreeMap::new()));
        let entries = BTreeMap::from([
            (b"a".to_vec(), directory),
            (b"a-b".to_vec(), file.clone()),
            (b"a.b".to_vec(), file.clone()),
            (b"a0".to_vec(), file),
        ]);
        let names: Vec<_> = in_git_order(&entries)
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(names, [&b"a-b"[..], b"a.b", b"a", b"a0"]);
    }

    #[test]
    fn an_old_group_writable_file_is_a_file_like_any_other() {
        assert!(Mode(0o100_664).is_same_type(Mode::EXECUTABLE));
        assert!(!Mode::FILE.is_same_type(Mode::SYMLINK));
        assert!(!Mode::GITLINK.is_tree());
    }
}
