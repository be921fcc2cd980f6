//! Checks that everything that a push leads to is there: libgit2 lets a ref point to a commit whose tree is missing.

use git2::Repository;

use super::commits::{Commits, Span};
use super::negotiation::target;
use super::objects::{Objects, from_git2, missing};
use super::pack_inventory::Inventory;
use super::pipe::{Failure, Output, Result};
use super::reachable::{self, Filter, Found, Roots};
use super::upload_pack::own_shallow;
use crate::ObjectId;
use crate::wire::pack::ObjectKind;

/// How many of the repository's trees are compared with a history that has nothing to do with it.
const KNOWN_TREES: usize = 32;

/// Walks from the new tips to what the repository's refs lead to, as git does (`rev-list --objects --not --all`).
///
/// That an object is in the repository is not enough: only for what a ref leads to is it certain that the rest is
/// there, too. `git gc` may have pruned what an unreachable commit needs.
pub(super) fn check(
    repository: &Repository,
    objects: &Objects,
    tips: &[ObjectId],
    output: &Output,
) -> Result<()> {
    let mut commits = Commits::new(objects, own_shallow(repository)?);
    let mut seen = Inventory::default();
    let (mut wants, mut trees) = (Vec::new(), Vec::new());
    let mut content = Vec::new();
    for tip in tips {
        let mut id = *tip;
        // Ends: a tag's id is a hash of what it names, so no chain of tags comes back to itself.
        while objects.read(id, &mut content)? == ObjectKind::Tag {
            let unreadable = || Failure::new(format!("the tag {id} cannot be read"));
            id = target(&content).ok_or_else(unreadable)?;
        }
        match objects.kind(id)? {
            Some(ObjectKind::Commit) => wants.push(id),
            Some(ObjectKind::Tree) => trees.push(id),
            _ => {}
        }
    }
    let known = tips_of(repository, objects)?;
    let span = Span::between(&mut commits, wants, known.iter().copied(), || {
        output.keep_alive()
    })?;
    let mut had = Vec::new();
    for id in span.boundary.iter().chain(&known).take(KNOWN_TREES) {
        had.push(commits.get(*id)?.tree);
    }
    let roots = Roots { span, trees, had };
    let mut visit = |found: Found| {
        let is_new = seen.add(Found {
            before: None,
            ..found
        });
        // Only blobs: to find them, the walk has read every commit and tree, and failed on a missing one.
        if is_new && found.kind == ObjectKind::Blob && !objects.has(found.id) {
            return Err(missing(found.id));
        }
        if found.kind == ObjectKind::Commit {
            output.keep_alive()?;
        }
        Ok(())
    };
    reachable::walk(objects, &mut commits, &roots, Filter::None, &mut visit)
}

/// Returns the commits that the repository's refs point to, except those of broken refs.
fn tips_of(repository: &Repository, objects: &Objects) -> Result<Vec<ObjectId>> {
    let unreadable = |error| Failure::because("the refs cannot be read", error);
    let mut tips = Vec::new();
    for reference in repository.references().map_err(unreadable)? {
        let reference = reference.map_err(unreadable)?;
        // A ref to a tree or blob, or a broken one: a push need not answer for what was wrong before it.
        let Ok(commit) = reference.peel(git2::ObjectType::Commit) else {
            continue;
        };
        let id = from_git2(commit.id());
        if objects.has(id) {
            tips.push(id);
        }
    }
    tips.sort_unstable();
    tips.dedup();
    Ok(tips)
}

/// Says whether a commit leads to another one.
pub(super) fn leads_to(
    repository: &Repository,
    objects: &Objects,
    from: ObjectId,
    to: ObjectId,
    output: &Output,
) -> Result<bool> {
    let mut commits = Commits::new(objects, own_shallow(repository)?);
    // All between is walked before the walk ends, whatever the dates say: a fast-forward may be all of one second.
    let span = Span::between(&mut commits, [from], [to], || output.keep_alive())?;
    Ok(from == to || span.boundary.contains(&to))
}
