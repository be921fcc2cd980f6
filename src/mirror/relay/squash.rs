//! Proves that a parentless commit upstream is the collapse of the history that the mirror follows.
//!
//! crates.io collapses its index every few weeks: a commit without parents, with the tree of the old head, whose message names
//! that head. The old head goes to a `snapshot-…` branch, which is removed after a while.

use crate::error::Result;
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::{FetchError, UploadPack};

use super::{Base, MirrorView, News};

/// Whether a squash is what it seems to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The new root's tree is that of a commit which the mirror's history or upstream leads to the base.
    Proven(String),
    /// It cannot be shown.
    Unproven(String),
}

/// A squash as seen from the mirror.
pub struct Squash {
    /// Whether it is proven.
    pub proof: Proof,
    /// The new roots whose tree the mirror has already, with their content.
    pub held_roots: Vec<(ObjectId, Vec<u8>)>,
    /// The earlier roots, of squashes in between, that upstream still shows and whose tree the mirror has already.
    pub held_trees: Vec<ObjectId>,
    /// Whether upstream still has the base, so that its pack can build on it.
    pub upstream_has_base: bool,
    /// Whether anything at all speaks for a common past: a message in the form of crates.io's, or the base's tree.
    pub is_related: bool,
}

impl Squash {
    /// Says whether upstream's pack can build on a tree that the mirror has.
    pub fn spares_the_tree(&self) -> bool {
        self.upstream_has_base || !self.held_roots.is_empty() || !self.held_trees.is_empty()
    }
}

/// Returns the old head that a collapse's message names: `Previous HEAD was <id>, now on …`.
pub(super) fn previous_head(message: &str) -> Option<ObjectId> {
    let (_, rest) = message.split_once("Previous HEAD was ")?;
    rest.get(..40)?.parse().ok()
}

/// Says whether a message is in the form of crates.io's.
pub(super) fn is_collapse(message: &str) -> bool {
    message.starts_with("Collapse index into one commit") || previous_head(message).is_some()
}

/// Examines the roots in upstream's news; commits that a snapshot branch still shows are added to the news.
///
/// # Errors
/// As the conversations go.
pub(super) async fn examine(
    upstream: &mut UploadPack<'_>,
    tip: ObjectId,
    view: &MirrorView,
    base: &Base,
    news: &mut News,
) -> Result<Squash> {
    let mut squash = Squash {
        proof: Proof::Unproven("upstream's new history has no root".to_owned()),
        held_roots: Vec::new(),
        held_trees: Vec::new(),
        upstream_has_base: false,
        is_related: false,
    };
    for (number, (id, content)) in news.roots.clone().into_iter().enumerate() {
        let root = Commit::parse(&content)?;
        squash.is_related |= is_collapse(&root.message) || root.tree == base.tree;
        let proof = if let Some(proof) = proof_from_mirror(view, base, &root)? {
            squash.held_roots.push((id, content));
            proof
        } else {
            proof_from_upstream(upstream, view, base, &root, news, &mut squash).await?
        };
        // One root that is not proven leaves the whole unproven: another history may have been merged in.
        if number == 0 || matches!(proof, Proof::Unproven(_)) {
            squash.proof = proof;
        }
    }
    if !squash.spares_the_tree() {
        let asked = News::fetch(upstream, tip, &[base.upstream], false).await?;
        squash.upstream_has_base = asked.acknowledged.contains(&base.upstream);
    }
    Ok(squash)
}

/// Looks for the root's tree in the mirror: the base's, or that of the named head where the mirror holds it.
fn proof_from_mirror(view: &MirrorView, base: &Base, root: &Commit) -> Result<Option<Proof>> {
    if root.tree == base.tree {
        let text = format!(
            "its root has the tree of {}, which the mirror holds",
            base.upstream.short()
        );
        return Ok(Some(Proof::Proven(text)));
    }
    let Some(head) = previous_head(&root.message) else {
        return Ok(None);
    };
    let holds = view
        .get(&head)?
        .is_some_and(|commit| commit.tree == root.tree);
    Ok(holds.then(|| {
        Proof::Proven(format!(
            "its root has the tree of {}, which the mirror holds",
            head.short()
        ))
    }))
}

/// Asks upstream for the commits from the base to the named head, if it still shows them, and across the squashes that came
/// before, each of which must be proven as well.
async fn proof_from_upstream(
    upstream: &mut UploadPack<'_>,
    view: &MirrorView,
    base: &Base,
    root: &Commit,
    news: &mut News,
    squash: &mut Squash,
) -> Result<Proof> {
    /// A mirror that slept longer is carried all the same, with a warning.
    const SQUASHES: usize = 64;
    let mut root = root.clone();
    let mut count = 0;
    for _ in 0..SQUASHES {
        let (head, hidden) = match hidden_behind(upstream, base, &root).await? {
            Ok(found) => found,
            Err(why) => return Ok(Proof::Unproven(why)),
        };
        let earlier = match hidden.roots.first() {
            Some((id, content)) => Some((*id, Commit::parse(content)?)),
            None => None,
        };
        let leads_to_base = hidden.edges.contains(&base.upstream);
        count += hidden.commits();
        news.add_hidden(hidden);
        if leads_to_base {
            squash.upstream_has_base = true;
            return Ok(Proof::Proven(format!(
                "its root has the tree of {}, which is {count} commits after the mirror's base",
                head.short()
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
        "too many squashes have come since the mirror's base".to_owned(),
    ))
}

/// Fetches what leads from the base, or from an earlier root, to the head that a root names; says why not where upstream
/// does not show it or where it is not what the root has.
async fn hidden_behind(
    upstream: &mut UploadPack<'_>,
    base: &Base,
    root: &Commit,
) -> Result<std::result::Result<(ObjectId, News), String>> {
    let Some(head) = previous_head(&root.message) else {
        return Ok(Err(
            "the new root names no previous head, and its tree is not the mirror's base".to_owned(),
        ));
    };
    let hidden = match News::fetch(upstream, head, &[base.upstream], true).await {
        Ok(hidden) => hidden,
        Err(FetchError::Missing(_)) => {
            return Ok(Err(format!(
                "upstream no longer shows its previous head {}",
                head.short()
            )));
        }
        Err(FetchError::TooLarge(error)) => {
            return Ok(Err(format!(
                "the history of its previous head {} cannot be read: {error}",
                head.short()
            )));
        }
        // A server that fails for a while says nothing of the squash: the whole sync is tried again.
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
