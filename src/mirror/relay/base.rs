//! The base of a merge: the newest upstream commit that the mirror holds.

use crate::git::ObjectId;
use crate::git::objects::Commit;

/// The newest upstream commit that the mirror holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its id upstream.
    pub upstream: ObjectId,
    /// The commit of the mirror that has its tree: itself, or its stand-in.
    pub held: ObjectId,
    /// Its root tree.
    pub tree: ObjectId,
    /// When the commit that is held was made, in seconds since 1970.
    pub seconds: i64,
    /// When upstream's commit was made, likewise.
    pub upstream_seconds: i64,
    /// The parents of the commit that is held.
    pub parents: Vec<ObjectId>,
}

impl Base {
    /// Takes an upstream commit that the mirror holds as it is.
    pub(super) fn itself(id: ObjectId, commit: Commit) -> Self {
        Self {
            upstream: id,
            held: id,
            tree: commit.tree,
            seconds: commit.seconds,
            upstream_seconds: commit.seconds,
            parents: commit.parents,
        }
    }
}
