//! Connections to both sides, and their branches' tips.

use tokio::try_join;

use super::EarlyPack;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::branch_ref;
use crate::git::transport::{Remote, UploadPack};
use crate::git::wire::Head;

/// Connections to both sides, and their branches' tips.
pub struct Session<'r> {
    /// The connection to upstream.
    pub upstream: UploadPack<'r>,
    /// The connection to the mirror.
    pub mirror: UploadPack<'r>,
    /// The tip of upstream's branch.
    pub upstream_tip: ObjectId,
    /// The tip of the mirror's branch, if it exists.
    pub mirror_tip: Option<ObjectId>,
    /// The mirror's HEAD.
    pub mirror_head: Head,
    /// Upstream's pack, where it was asked for before the plan.
    pub early_pack: Option<EarlyPack<'r>>,
}

impl<'r> Session<'r> {
    /// Opens both sides concurrently and lists their branches.
    ///
    /// # Errors
    /// As [`UploadPack::open_and_list`]; `config` when upstream has no such branch.
    pub async fn open(config: &Config, upstream: &'r Remote, mirror: &'r Remote) -> Result<Self> {
        let upstream_branch = branch_ref(&config.upstream.branch);
        let mirror_branch = branch_ref(&config.mirror.branch);
        // Side by side, since over ssh each takes some 0.2 seconds before its first answer.
        let ((upstream, upstream_refs), (mirror, mirror_refs)) = try_join!(
            UploadPack::open_and_list(upstream, &upstream_branch),
            UploadPack::open_and_list(mirror, &mirror_branch)
        )?;
        let upstream_tip = upstream_refs.branches.get(&upstream_branch).copied();
        Ok(Self {
            upstream_tip: upstream_tip
                .ok_or_else(|| no_branch(upstream.remote(), &config.upstream.branch))?,
            mirror_tip: mirror_refs.branches.get(&mirror_branch).copied(),
            mirror_head: mirror_refs.head,
            upstream,
            mirror,
            early_pack: None,
        })
    }
}

fn no_branch(remote: &Remote, branch: &str) -> Error {
    Error::new(Kind::Config, format!("{remote}: it has no branch {branch}"))
        .advise("Set `upstream.branch` to the branch to mirror.")
}
