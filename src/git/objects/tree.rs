//! Tree objects: parsed for the planner, written for what it merged.

use gix_object::tree::{Entry, EntryMode};
use gix_object::{TreeRef, WriteTo};

use super::commit::{ours, theirs};
use crate::ObjectId;
use crate::error::{Error, Kind, Result};
use crate::tree::{MergedEntry, MergedTree, Mode, Tree, TreeEntry, in_git_order};
use crate::wire::pack::ObjectKind;

/// Parses a tree object.
///
/// # Errors
/// `server` when it is not a tree.
pub fn parse_tree(content: &[u8]) -> Result<Tree> {
    let tree = TreeRef::from_bytes(content, gix_hash::Kind::Sha1).map_err(|error| {
        Error::new(Kind::Server, "a tree cannot be parsed")
            .because(error.to_string())
            .advise("Run `git fsck` in that repository.")
    })?;
    let entries = tree.entries.into_iter().map(|entry| {
        let mode = Mode(u32::from(entry.mode.value()));
        let id = ours(entry.oid.to_owned());
        (entry.filename.to_vec(), TreeEntry { mode, id })
    });
    Ok(entries.collect())
}

/// A new tree object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTree {
    /// Its id.
    pub id: ObjectId,
    /// Its content.
    pub content: Vec<u8>,
}

/// Writes the objects of a merged tree: appends each to `made`, after its subtrees, and returns the root's id.
///
/// # Errors
/// `server` when a name or mode that a server sent is not allowed in a tree.
pub fn write_tree(tree: &MergedTree, made: &mut Vec<NewTree>) -> Result<ObjectId> {
    let entries = match tree {
        MergedTree::Existing(id) => return Ok(*id),
        MergedTree::New(entries) => entries,
    };
    let mut object = gix_object::Tree::empty();
    for (name, entry) in in_git_order(entries) {
        // Subtrees first: this tree names them by their ids.
        let TreeEntry { mode, id } = match entry {
            MergedEntry::File(entry) => *entry,
            MergedEntry::Directory(directory) => TreeEntry::directory(write_tree(directory, made)?),
        };
        object.entries.push(Entry {
            // By its number, so that an old mode such as 100664 stays what it is: another mode would be another tree.
            mode: EntryMode::try_from(mode.0).map_err(|_| unwritable(name))?,
            filename: name.into(),
            oid: theirs(id),
        });
    }
    let mut content = Vec::new();
    object
        .write_to(&mut content)
        .map_err(|error| unwritable(b"").because(error))?;
    let id = ObjectKind::Tree.id_of(&content);
    made.push(NewTree { id, content });
    Ok(id)
}

fn unwritable(name: &[u8]) -> Error {
    let name = String::from_utf8_lossy(name);
    Error::new(
        Kind::Server,
        format!("a tree has an entry that git cannot store: {name:?}"),
    )
}
