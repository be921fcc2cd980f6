//! Fetches the tip of a branch into the copy.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tracing::{debug, warn};

use super::objects::Objects;
use super::repository::Repository;
use super::{Content, IndexCopy, Snapshot, blocking, receive};
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::git::objects::Commit;
use crate::git::transport::{Remote, UploadPack};
use crate::git::wire::Head;
use crate::git::wire::upload_pack::Fetch;
use crate::git::{ObjectId, branch_ref};
use crate::server::shortage::is_shortage;

/// The branch that is asked for first where none is named: that most repositories have.
const USUAL: &str = "main";

/// What a connection that was kept shows of the branch.
pub(super) enum Seen {
    /// Nothing that counts, or there is no such connection.
    Nothing,
    /// It has not moved.
    Same,
    /// It has moved there.
    Other(Snapshot),
}

impl IndexCopy {
    /// Fetches the tip of the branch into a repository and moves its branch there; `None` if it is up to date.
    pub(super) async fn fetch(
        &self,
        remote: &Remote,
        branch: Option<&str>,
        repository: &Repository,
        objects: &Objects,
        before: Option<Arc<Snapshot>>,
    ) -> Result<Option<Snapshot>> {
        self.progress.phase("asking for the index");
        let (server, tip) = self.look(remote, branch).await?;
        if before.as_ref().is_some_and(|before| before.commit() == tip) {
            self.keep(server);
            return Ok(None);
        }
        if self.content == Content::Private && self.kept.has_been_at(tip) {
            warn!(
                "{remote}: the branch went back to {}: what was pushed since is gone",
                tip.short()
            );
        }
        self.take_from(server, tip, repository, objects, before)
            .await
            .map(Some)
    }

    /// Fetches a commit into a repository and moves its branch there.
    async fn take_from(
        &self,
        mut server: UploadPack<'_>,
        tip: ObjectId,
        repository: &Repository,
        objects: &Objects,
        before: Option<Arc<Snapshot>>,
    ) -> Result<Snapshot> {
        let remote = server.remote();
        let answer = server.fetch(&request(tip, before.as_deref())).await?;
        if answer.pack_follows {
            // The outer error is the connection's, and says nothing about our disk; only the inner one raises a
            // suspicion.
            let received = receive::receive(
                &mut server,
                repository,
                objects,
                &self.indexer,
                (&self.progress, self.content.most_bytes()),
            )
            .await?;
            let received = received.inspect_err(|error| self.suspect(error, objects))?;
            let received = counted(received, "object");
            debug!("{remote}: {received} for {}", tip.short());
            server.end_pack();
        }
        self.keep(server);
        self.progress.phase("reading the index");
        let place = remote.to_string();
        let after = advance(repository, objects, before, tip, (self.content, place)).await;
        after.inspect_err(|error| self.suspect(error, objects))
    }

    /// Fetches the tip of the branch over the connection of the last look, where HEAD is the branch.
    ///
    /// A process of git lists its branches as they were when it listed them first, and HEAD as it is. What other hosts do is not known:
    /// so this may miss a push, and never takes one back.
    pub(super) async fn fetch_again(
        &self,
        remote: &Remote,
        branch: &str,
        objects: &Objects,
        before: Arc<Snapshot>,
    ) -> Result<Seen> {
        let Some(kept) = self.kept.take() else {
            return Ok(Seen::Nothing);
        };
        let reference = branch_ref(branch);
        let mut server = UploadPack::resume(remote, kept);
        let refs = server.refs(&reference).await?;
        let tip = match refs.head {
            Head::Branch(head) if head == reference => refs.head_id,
            _ => None,
        };
        match tip {
            Some(tip) if tip == before.commit() => {
                self.keep(server);
                Ok(Seen::Same)
            }
            Some(tip) if !self.kept.has_been_at(tip) => {
                let repository = self.repository.clone();
                let taking = self.take_from(server, tip, &repository, objects, Some(before));
                taking.await.map(Seen::Other)
            }
            _ => Ok(Seen::Nothing),
        }
    }

    /// Finds the tip of a branch; where none is named, of the one that the repository's HEAD names.
    async fn look<'r>(
        &self,
        remote: &'r Remote,
        branch: Option<&str>,
    ) -> Result<(UploadPack<'r>, ObjectId)> {
        let none = |text: String| Error::new(Kind::Config, text).advise(self.content.advice());
        let reference = branch_ref(branch.unwrap_or(USUAL));
        let (mut server, refs) = UploadPack::open_and_list(remote, &reference).await?;
        let tip = refs.branches.get(&reference).copied();
        let (tip, named) = match (branch, refs.head) {
            (None, Head::Detached(tip)) => (Some(tip), reference),
            (None, Head::Branch(head)) if head != reference => {
                let refs = server.refs(&head).await?;
                (refs.branches.get(&head).copied(), head)
            }
            _ => (tip, reference),
        };
        let named = named.strip_prefix("refs/heads/").unwrap_or(&named);
        let tip = tip.ok_or_else(|| none(format!("{remote} has no branch {named}")))?;
        Ok((server, tip))
    }

    /// Keeps the connection for the next look, where looks come one soon after the other.
    fn keep(&self, server: UploadPack<'_>) {
        if self.content.is_looked_at_often()
            && let Some(server) = server.keep()
        {
            self.kept.put(server);
        }
    }

    /// Indexes a pack of our own, and moves the branch to its tip.
    pub(super) async fn index_own(
        &self,
        pack: Bytes,
        objects: &Objects,
        before: Option<Arc<Snapshot>>,
        tip: ObjectId,
    ) -> Result<Snapshot> {
        receive::index_own(pack, &self.repository, objects, &self.indexer).await?;
        let checked = (self.content, self.origin.clone());
        advance(&self.repository, objects, before, tip, checked).await
    }

    /// Has the copy rebuilt, since a damaged one may be why a fetch failed. Not for want of files, memory or disk, of
    /// which a second copy would find still less, and not for what is wrong at the other end.
    fn suspect(&self, error: &Error, objects: &Objects) {
        let is_for_want = is_shortage(error) || objects.shortage().is_some();
        if error.kind() == Kind::Server && !is_refusal(error) && !is_for_want {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
    }
}

/// Requests a commit without its parents, as a thin pack on top of the current snapshot.
fn request(tip: ObjectId, before: Option<&Snapshot>) -> Fetch {
    // Each is sent as `shallow`, too: the server builds deltas on the tree of our tip, but must not take its parents
    // for ours. After a squash, servers without bitmaps would otherwise send the whole tree.
    let haves: Vec<ObjectId> = before.iter().map(|before| before.commit()).collect();
    Fetch {
        wants: vec![tip],
        thin: !haves.is_empty(),
        shallow: haves.clone(),
        haves,
        deepen: Some(1),
        done: true,
        ..Fetch::default()
    }
}

/// Reads the tree of the new tip, as far as the one before was read, and then moves the branch.
async fn advance(
    repository: &Repository,
    objects: &Objects,
    before: Option<Arc<Snapshot>>,
    tip: ObjectId,
    (content, place): (Content, String),
) -> Result<Snapshot> {
    let (repository, objects) = (repository.clone(), objects.clone());
    blocking(move || {
        let commit = Commit::parse(&objects.read(tip)?)?;
        let after = Snapshot::after(before.as_deref(), tip, &commit, objects)?;
        // Before the branch moves: what was served before is served on.
        content
            .check(&after, before.as_deref())
            .map_err(|error| error.on(place))?;
        // Last: a process that is killed before has the old branch, whose objects are all there.
        repository.move_branch(tip)?;
        Ok(after)
    })
    .await
}

/// Says whether the indexing of a pack was ended since it was too much.
fn is_refusal(error: &Error) -> bool {
    gix_error::classify(error).is_cancelled()
}
