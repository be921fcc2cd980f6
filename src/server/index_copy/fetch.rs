//! Brings a folder to where a branch elsewhere is.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::debug;

use super::objects::Objects;
use super::repository::Repository;
use super::{IndexCopy, Snapshot, blocking, receive};
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::{Remote, UploadPack};
use crate::git::wire::upload_pack::Fetch;

impl IndexCopy {
    /// Fetches what a folder lacks of where the branch is, and moves the folder's branch there; `None` where it is there
    /// already.
    pub(super) async fn fetch(
        &self,
        remote: &Remote,
        branch: &str,
        repository: &Repository,
        objects: &Objects,
        before: Option<Arc<Snapshot>>,
    ) -> Result<Option<Snapshot>> {
        let mut server = UploadPack::open(remote).await?;
        let reference = format!("refs/heads/{branch}");
        let refs = server.refs(&reference).await?;
        let tip = refs.branches.get(&reference).copied().ok_or_else(|| {
            Error::new(Kind::Config, format!("{remote}: it has no branch {branch}"))
                .advise("Set serve.index and serve.branch to a repository that holds the index.")
        })?;
        if before.as_ref().is_some_and(|before| before.commit() == tip) {
            return Ok(None);
        }
        let answer = server.fetch(&asking(tip, before.as_deref())).await?;
        if answer.pack_follows {
            let received = receive::receive(&mut server, repository, objects).await?;
            let received = received.inspect_err(|error| self.suspect(error))?;
            debug!("{remote}: {received} objects for {}", tip.short());
        }
        let after = advance(repository, objects, before, tip).await;
        after.inspect_err(|error| self.suspect(error)).map(Some)
    }

    /// What a damaged copy cannot take, one that is made anew can; but on a full disk that one finds still less room.
    fn suspect(&self, error: &Error) {
        if !is_disk_full(error) {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
    }
}

/// Asks for a commit without its parents, as increment of what is held.
fn asking(tip: ObjectId, before: Option<&Snapshot>) -> Fetch {
    let held: Vec<ObjectId> = before.iter().map(|before| before.commit()).collect();
    Fetch {
        wants: vec![tip],
        thin: !held.is_empty(),
        shallow: held.clone(),
        haves: held,
        deepen: Some(1),
        done: true,
        ..Fetch::default()
    }
}

/// Makes the tree of the new tip readable and then moves the branch.
async fn advance(
    repository: &Repository,
    objects: &Objects,
    before: Option<Arc<Snapshot>>,
    tip: ObjectId,
) -> Result<Snapshot> {
    let (repository, objects) = (repository.clone(), objects.clone());
    blocking(move || {
        let commit = Commit::parse(&objects.read(tip)?)?;
        let after = Snapshot::after(before.as_deref(), tip, &commit, objects)?;
        repository.move_branch(tip)?;
        Ok(after)
    })
    .await
}

/// Says whether the disk, or our share of it, is full, by any of the causes of an error.
fn is_disk_full(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if is_full(error) {
            return true;
        }
        next = error.source();
    }
    false
}

fn is_full(error: &(dyn StdError + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        let is_full = matches!(
            error.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        );
        // What it wraps is none of its sources.
        is_full || error.get_ref().is_some_and(|inner| is_disk_full(inner))
    } else if let Some(error) = error.downcast_ref::<gix_error::Error>() {
        // Its causes are a tree, whose leaves are not all sources.
        error.iter_errors().any(is_disk_full)
    } else {
        false
    }
}

#[cfg(test)]
mod tests {
    use gix_error::ErrorExt as _;

    use super::*;

    #[test]
    fn a_full_disk_is_found_among_all_causes() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let because = |error: io::Error| Error::new(Kind::Server, "it failed").because(error);
        assert!(is_disk_full(&because(full())));
        assert!(is_disk_full(&because(io::Error::other(because(full())))));
        assert!(is_disk_full(&because(ErrorKind::QuotaExceeded.into())));
        let raised = full().and_raise(gix_error::message("cannot write"));
        let raised = Error::new(Kind::Server, "it failed").because(raised);
        assert!(is_disk_full(&raised));
        assert!(!is_disk_full(&because(ErrorKind::UnexpectedEof.into())));
        assert!(!is_disk_full(&Error::new(Kind::Server, "it failed")));
    }
}
