//! Merges what is not a directory: one name's file, link or nothing on each side.

use super::{ConflictKind, Sides};
use crate::git::tree::TreeEntry;

/// Merges one name's files by mode and id; absence is a value like any other.
pub(super) fn merge(files: Sides<Option<TreeEntry>>) -> Result<Option<TreeEntry>, ConflictKind> {
    if let Some(settled) = settle(files) {
        return Ok(settled);
    }
    match files {
        Sides {
            ours: Some(ours),
            theirs: Some(theirs),
            base,
        } => merge_same_type(ours, base, theirs)
            .map(Some)
            .ok_or(match base {
                Some(_) => ConflictKind::BothChanged,
                None => ConflictKind::BothAdded,
            }),
        Sides { ours: None, .. } => Err(ConflictKind::DeletedHere),
        Sides { theirs: None, .. } => Err(ConflictKind::DeletedUpstream),
    }
}

/// Merges mode and content separately: one side may make a file executable while the other changes its content.
///
/// As in git, both sides must have the same type of file; the base may have another.
fn merge_same_type(
    ours: TreeEntry,
    base: Option<TreeEntry>,
    theirs: TreeEntry,
) -> Option<TreeEntry> {
    if !ours.mode.is_same_type(theirs.mode) {
        return None;
    }
    let mode = settle(Sides {
        ours: Some(ours.mode),
        base: base.map(|entry| entry.mode),
        theirs: Some(theirs.mode),
    })??;
    let id = settle(Sides {
        ours: Some(ours.id),
        base: base.map(|entry| entry.id),
        theirs: Some(theirs.id),
    })??;
    Some(TreeEntry { mode, id })
}

/// Returns the result of a three-way merge of a value, `None` if all three sides differ.
fn settle<T: PartialEq>(sides: Sides<T>) -> Option<T> {
    if sides.ours == sides.theirs || sides.theirs == sides.base {
        // Also where both made the same change.
        Some(sides.ours)
    } else if sides.ours == sides.base {
        Some(sides.theirs)
    } else {
        None
    }
}
