//! Generates three sets of files that have much in common, and their trees.

use std::collections::{BTreeMap, HashMap};

use crates_ferry::git::ObjectId;
use crates_ferry::git::tree::{MergedEntry, MergedTree, Mode, Tree, TreeEntry, in_git_order};
use crates_ferry::git::wire::pack::ObjectKind;
use crates_ferry::mirror::plan::three_way::Sides;
use proptest::prelude::*;
use proptest::sample::select;

/// Paths with the version of their content and their mode; no path is also a directory.
pub(crate) type Files = BTreeMap<String, (u8, u32)>;

/// A change to a set of files.
#[derive(Debug, Clone)]
enum Edit {
    /// Puts a file, in place of whatever stands in its way.
    Put(String, u8, u32),
    /// Deletes a file, or a directory with all that it holds.
    Delete(String),
}

impl Edit {
    fn apply(&self, files: &mut Files) {
        let (Self::Put(path, ..) | Self::Delete(path)) = self;
        let below = format!("{path}/");
        files.retain(|other, _| other != path && !other.starts_with(&below));
        if let Self::Put(path, version, mode) = self {
            files.retain(|other, _| !path.starts_with(&format!("{other}/")));
            files.insert(path.clone(), (*version, *mode));
        }
    }
}

fn paths() -> impl Strategy<Value = String> {
    // `a-` and `a.b` sort before the directory `a`, and `a0` after it.
    let name = select(vec!["a", "a", "b", "a-", "a.b", "a0"]);
    prop::collection::vec(name, 1..=3).prop_map(|names| names.join("/"))
}

fn edits(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    let mode = select(vec![0o100_644, 0o100_644, 0o100_755, 0o120_000]);
    let edit = prop_oneof![
        3 => (paths(), 0..3_u8, mode).prop_map(|(path, version, mode)| Edit::Put(path, version, mode)),
        1 => paths().prop_map(Edit::Delete),
    ];
    prop::collection::vec(edit, 0..=most)
}

/// A base, changes that both sides made, and changes that each made alone.
pub(crate) fn cases() -> impl Strategy<Value = Sides<Files>> {
    (edits(12), edits(2), edits(4), edits(4)).prop_map(|(before, both, here, upstream)| {
        let made = |edits: &[&[Edit]]| {
            let mut files = Files::new();
            edits
                .concat()
                .iter()
                .for_each(|edit| edit.apply(&mut files));
            files
        };
        Sides {
            ours: made(&[&before, &both, &here]),
            base: made(&[&before]),
            theirs: made(&[&before, &both, &upstream]),
        }
    })
}

pub(crate) fn content(path: &str, version: u8) -> String {
    format!("\0{path}\0{version}")
}

fn tree_id(entries: &BTreeMap<Vec<u8>, MergedEntry>) -> ObjectId {
    let mut bytes = Vec::new();
    for (name, entry) in in_git_order(entries) {
        let TreeEntry { mode, id } = match entry {
            MergedEntry::File(entry) => *entry,
            MergedEntry::Directory(tree) => TreeEntry::directory(merged_id(tree)),
        };
        bytes.extend_from_slice(format!("{:o} ", mode.0).as_bytes());
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    ObjectKind::Tree.id_of(&bytes)
}

pub(crate) fn merged_id(tree: &MergedTree) -> ObjectId {
    match tree {
        MergedTree::Existing(id) => *id,
        MergedTree::New(entries) => tree_id(entries),
    }
}

/// A file's path below the directory at hand, its whole path, its version and mode.
type Placed<'a> = (&'a str, &'a str, (u8, u32));

/// Makes the trees of a set of files and returns the root's id.
pub(crate) fn plant(files: &Files, trees: &mut HashMap<ObjectId, Tree>) -> ObjectId {
    let placed: Vec<_> = files
        .iter()
        .map(|(path, file)| (path.as_str(), path.as_str(), *file))
        .collect();
    plant_directory(&placed, trees)
}

fn plant_directory(files: &[Placed<'_>], trees: &mut HashMap<ObjectId, Tree>) -> ObjectId {
    let mut tree = Tree::new();
    let mut below: BTreeMap<&str, Vec<Placed<'_>>> = BTreeMap::new();
    for (rest, path, file) in files {
        if let Some((directory, rest)) = rest.split_once('/') {
            below
                .entry(directory)
                .or_default()
                .push((rest, path, *file));
        } else {
            let id = ObjectKind::Blob.id_of(content(path, file.0).as_bytes());
            let mode = Mode(file.1);
            tree.insert(rest.as_bytes().to_vec(), TreeEntry { mode, id });
        }
    }
    for (directory, files) in below {
        let id = plant_directory(&files, trees);
        tree.insert(directory.as_bytes().to_vec(), TreeEntry::directory(id));
    }
    let entries = tree
        .iter()
        .map(|(name, entry)| (name.clone(), (*entry).into()));
    let id = tree_id(&entries.collect());
    trees.insert(id, tree);
    id
}
