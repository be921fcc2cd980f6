//! Trees: in git's order, with the modes that it knows and knew.

use std::collections::BTreeMap;
use std::path::Path;

use crates_ferry::git::ObjectId;
use crates_ferry::git::objects::{NewTree, parse_tree, write_tree};
use crates_ferry::git::tree::{MergedEntry, MergedTree, Mode, TreeEntry};
use proptest::prelude::*;

use super::{feed, line, repository, write};
use crate::support::repo::git;

/// Entries whose order depends on what is a directory: git puts `a` after `a.b` where it is one.
fn entries(repo: &Path) -> BTreeMap<Vec<u8>, MergedEntry> {
    let blob: ObjectId = write(repo, "blob", b"text\n").parse().unwrap();
    let tree: ObjectId = write(repo, "tree", b"").parse().unwrap();
    let file = |mode| MergedEntry::File(TreeEntry { mode, id: blob });
    let below = BTreeMap::from([(b"file".to_vec(), file(Mode::FILE))]);
    [
        (
            &b"a"[..],
            MergedEntry::Directory(MergedTree::Existing(tree)),
        ),
        (b"a.b", file(Mode::FILE)),
        (b"a0", file(Mode::EXECUTABLE)),
        (b"b", MergedEntry::Directory(MergedTree::New(below))),
        (b"b-", file(Mode::SYMLINK)),
        ("\u{fc}".as_bytes(), file(Mode::FILE)),
        (b"config.json", file(Mode::FILE)),
    ]
    .map(|(name, entry)| (name.to_vec(), entry))
    .into()
}

#[test]
fn trees_that_are_made_are_those_that_git_makes() {
    let (_folder, repo) = repository();
    let mut made = Vec::new();
    let root = write_tree(&MergedTree::New(entries(&repo)), &mut made).unwrap();
    let [below, whole] = &made[..] else {
        panic!("two trees are new, the inner one first: {made:?}");
    };
    assert_eq!(whole.id, root);
    for NewTree { id, content } in [below, whole] {
        assert_eq!(write(&repo, "tree", content), id.to_string());
    }
    let listed = feed(&repo, &["ls-tree", "-z", &root.to_string()], b"");
    assert_eq!(
        line(feed(&repo, &["mktree", "-z"], &listed)),
        root.to_string()
    );
    let commit = git(&repo, &["commit-tree", "-m", "x", &root.to_string()]);
    git(&repo, &["update-ref", "refs/heads/master", &commit]);
    assert_eq!(
        git(&repo, &["fsck", "--strict", "--full", "--no-dangling"]),
        ""
    );
}

#[test]
fn a_tree_is_read_as_git_lists_it_with_old_modes_and_submodules() {
    let (_folder, repo) = repository();
    let id = ObjectId::from_bytes([7; 20]);
    let entry = |head: &str| [head.as_bytes(), b"\0", id.as_bytes()].concat();
    let content = ["100664 old", "160000 sub", "40000 tree", "100755 x"]
        .map(entry)
        .concat();
    let tree = parse_tree(&content).unwrap();
    let modes: Vec<u32> = tree.values().map(|entry| entry.mode.0).collect();
    assert_eq!(modes, [0o100_664, 0o160_000, 0o40_000, 0o100_755]);
    let listed = tree.iter().map(|(name, TreeEntry { mode, id })| {
        let kind = match *mode {
            Mode::GITLINK => "commit",
            Mode::TREE => "tree",
            _ => "blob",
        };
        // Git shows the old mode as the one that it has become.
        let mode = if mode.0 == 0o100_664 {
            Mode::FILE
        } else {
            *mode
        };
        format!(
            "{:06o} {kind} {id}\t{}",
            mode.0,
            String::from_utf8_lossy(name)
        )
    });
    let literally = ["hash-object", "-t", "tree", "-w", "--literally", "--stdin"];
    let written = line(feed(&repo, &literally, &content));
    assert_eq!(
        listed.collect::<Vec<_>>().join("\n"),
        git(&repo, &["ls-tree", &written])
    );
    // What was read is written back as it was.
    let entries = tree
        .into_iter()
        .map(|(name, entry)| (name, MergedEntry::from(entry)));
    let again = write_tree(&MergedTree::New(entries.collect()), &mut Vec::new()).unwrap();
    assert_eq!(again.to_string(), written);
}

#[test]
fn a_tree_that_exists_is_not_made_again() {
    let id = ObjectId::from_bytes([7; 20]);
    let mut made = Vec::new();
    assert_eq!(
        write_tree(&MergedTree::Existing(id), &mut made).unwrap(),
        id
    );
    assert!(made.is_empty());
}

proptest! {
    #[test]
    fn any_bytes_are_a_tree_or_none(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(tree) = parse_tree(&bytes) {
            prop_assert!(tree.len() * 23 <= bytes.len());
        }
    }
}
