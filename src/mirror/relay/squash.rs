//! Handles a squash of upstream's history: proves that a commit without parents collapses the history that the mirror has.
//!
//! crates.io collapses its index every few weeks: the new root commit has the tree of the old head, and its message names that
//! head. The old head moves to a `snapshot-…` branch, which is removed after a while. A squash that cannot be proven is mirrored
//! all the same, with a warning that reaches a person; how it is pushed is decided in `draft`, by `Observation::boundary`.

use crate::count::counted;
use crate::error::Result;
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::{FetchError, UploadPack};
use crate::index::commit_message::{is_squash, previous_head};

use super::{Base, MirrorView, NewCommits};

/// Whether a squash changed nothing but the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The new root has the tree of a commit that the mirror has, or that leads to the base upstream.
    Proven(String),
    /// It could not be proven, for this reason.
    Unproven(String),
}

/// A squash as seen from the mirror.
pub struct Squash {
    /// Whether it is proven.
    pub proof: Proof,
    /// The new roots whose tree the mirror has, with their content.
    pub held_roots: Vec<(ObjectId, Vec<u8>)>,
    /// The roots of earlier squashes that upstream still has and whose tree the mirror has.
    pub held_trees: Vec<ObjectId>,
    /// Whether upstream still has the base, so that its pack can be a thin one on top of it.
    pub upstream_has_base: bool,
    /// Whether anything suggests a common past: a message in crates.io's form, or the base's tree.
    pub is_related: bool,
}

impl Squash {
    /// Says whether upstream's pack can be a thin one on a tree that the mirror has, instead of the whole tree.
    pub fn avoids_whole_tree(&self) -> bool {
        self.upstream_has_base || !self.held_roots.is_empty() || !self.held_trees.is_empty()
    }
}

/// Examines the new roots; adds the commits that a snapshot branch still has to `new_commits`.
///
/// # Errors
/// As [`UploadPack::scan`]: a server that fails neither proves nor disproves anything.
pub(super) async fn examine(
    upstream: &mut UploadPack<'_>,
    tip: ObjectId,
    view: &MirrorView,
    base: &Base,
    new_commits: &mut NewCommits,
) -> Result<Squash> {
    let mut squash = Squash {
        proof: Proof::Unproven("upstream's new history has no root".to_owned()),
        held_roots: Vec::new(),
        held_trees: Vec::new(),
        upstream_has_base: false,
        is_related: false,
    };
    // A copy, since the proof of one root adds commits to `new_commits`.
    for (number, (id, content)) in new_commits.roots.clone().into_iter().enumerate() {
        let root = Commit::parse(&content)?;
        squash.is_related |= is_squash(&root.message) || root.tree == base.tree;
        let proof = if let Some(proof) = proof_from_mirror(view, base, &root)? {
            squash.held_roots.push((id, content));
            proof
        } else {
            proof_from_upstream(upstream, view, base, &root, new_commits, &mut squash).await?
        };
        // One unproven root makes the squash unproven: another history may have been merged in.
        if number == 0 || matches!(proof, Proof::Unproven(_)) {
            squash.proof = proof;
        }
    }
    if !squash.avoids_whole_tree() {
        // Without `done`, so that the server acknowledges what it has.
        let asked = NewCommits::fetch(upstream, tip, &[base.upstream], false).await?;
        squash.upstream_has_base = asked.acknowledged.contains(&base.upstream);
    }
    Ok(squash)
}

/// Compares the root's tree with the base's, and with that of the head that it names, if the mirror has that.
fn proof_from_mirror(view: &MirrorView, base: &Base, root: &Commit) -> Result<Option<Proof>> {
    if root.tree == base.tree {
        let text = format!(
            "its root has the tree of {}, which the mirror has",
            base.upstream.short()
        );
        return Ok(Some(Proof::Proven(text)));
    }
    let Some(head) = previous_head(&root.message) else {
        return Ok(None);
    };
    // `view` has only what the mirror's branch leads to: it cannot be an object that the server shares with a fork.
    let holds = view
        .get(&head)?
        .is_some_and(|commit| commit.tree == root.tree);
    Ok(holds.then(|| {
        Proof::Proven(format!(
            "its root has the tree of {}, which the mirror has",
            head.short()
        ))
    }))
}

/// Fetches the commits from the base to the named head, if upstream still has them, across earlier squashes, each of which
/// must be proven as well.
async fn proof_from_upstream(
    upstream: &mut UploadPack<'_>,
    view: &MirrorView,
    base: &Base,
    root: &Commit,
    new_commits: &mut NewCommits,
    squash: &mut Squash,
) -> Result<Proof> {
    /// Bounds the requests. crates.io squashes every few weeks, so 64 squashes are years, and more count as unproven.
    const SQUASHES: usize = 64;
    let mut root = root.clone();
    let mut count = 0;
    for _ in 0..SQUASHES {
        let (head, hidden) = match hidden_behind(upstream, base, &root).await? {
            Ok(found) => found,
            Err(why) => return Ok(Proof::Unproven(why)),
        };
        // The collapsed history may itself begin with an earlier squash, which came after the mirror's base.
        let earlier = match hidden.roots.first() {
            Some((id, content)) => Some((*id, Commit::parse(content)?)),
            None => None,
        };
        let leads_to_base = hidden.edges.contains(&base.upstream);
        count += hidden.commits();
        new_commits.add_hidden(hidden);
        if leads_to_base {
            squash.upstream_has_base = true;
            return Ok(Proof::Proven(format!(
                "its root has the tree of {}, which is {} after the mirror's base",
                head.short(),
                counted(count, "commit")
            )));
        }
        let Some((id, commit)) = earlier else {
            return Ok(Proof::Unproven(format!(
                "its previous head {} does not lead to the mirror's base",
                head.short()
            )));
        };
        if let Some(proof) = proof_from_mirror(view, base, &commit)? {
            squash.held_trees.push(id);
            return Ok(proof);
        }
        root = commit;
    }
    Ok(Proof::Unproven(
        "there are too many squashes since the mirror's base".to_owned(),
    ))
}

/// Fetches the commits from the base, or from an earlier root, to the head that a root names; the inner error is why this
/// proves nothing.
async fn hidden_behind(
    upstream: &mut UploadPack<'_>,
    base: &Base,
    root: &Commit,
) -> Result<std::result::Result<(ObjectId, NewCommits), String>> {
    let Some(head) = previous_head(&root.message) else {
        return Ok(Err(
            "the new root names no previous head, and its tree is not the mirror's base".to_owned(),
        ));
    };
    let hidden = match NewCommits::fetch(upstream, head, &[base.upstream], true).await {
        Ok(hidden) => hidden,
        Err(FetchError::Missing(_)) => {
            return Ok(Err(format!(
                "upstream no longer has its previous head {}",
                head.short()
            )));
        }
        Err(FetchError::TooLarge(error)) => {
            return Ok(Err(format!(
                "the history of its previous head {} cannot be read: {error}",
                head.short()
            )));
        }
        // A failing server says nothing about the squash: the whole sync is retried.
        Err(FetchError::Failed(error)) => return Err(error),
    };
    if hidden
        .tip
        .as_ref()
        .is_some_and(|commit| commit.tree != root.tree)
    {
        return Ok(Err(format!(
            "the new root's tree is not that of its previous head {}",
            head.short()
        )));
    }
    Ok(Ok((head, hidden)))
}
