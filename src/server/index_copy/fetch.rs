//! Fetches the tip of a branch into the copy.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::debug;

use super::objects::Objects;
use super::repository::Repository;
use super::{IndexCopy, Snapshot, blocking, receive};
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::{Remote, UploadPack};
use crate::git::wire::upload_pack::Fetch;
use crate::index::config_json::{CONFIG_JSON, ConfigJson};
use crate::server::shortage::is_shortage;

impl IndexCopy {
    /// Fetches the tip of the branch into a repository and moves its branch there; `None` if it is up to date.
    pub(super) async fn fetch(
        &self,
        remote: &Remote,
        branch: &str,
        repository: &Repository,
        objects: &Objects,
        before: Option<Arc<Snapshot>>,
    ) -> Result<Option<Snapshot>> {
        self.progress.phase("asking for the index");
        let reference = format!("refs/heads/{branch}");
        let (mut server, refs) = UploadPack::open_and_list(remote, &reference).await?;
        let tip = refs.branches.get(&reference).copied().ok_or_else(|| {
            Error::new(Kind::Config, format!("{remote} has no branch {branch}")).advise(
                "Set `serve.index` and `serve.branch` to a repository that holds the index.",
            )
        })?;
        if before.as_ref().is_some_and(|before| before.commit() == tip) {
            return Ok(None);
        }
        let answer = server.fetch(&request(tip, before.as_deref())).await?;
        if answer.pack_follows {
            // The outer error is the connection's, and says nothing about our disk; only the inner one raises a
            // suspicion.
            let received = receive::receive(
                &mut server,
                repository,
                objects,
                &self.indexer,
                &self.progress,
            )
            .await?;
            let received = received.inspect_err(|error| self.suspect(error, objects))?;
            let received = counted(received, "object");
            debug!("{remote}: {received} for {}", tip.short());
        }
        self.progress.phase("reading the index");
        let place = remote.to_string();
        let after = advance(repository, objects, before, tip, place).await;
        after
            .inspect_err(|error| self.suspect(error, objects))
            .map(Some)
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
    place: String,
) -> Result<Snapshot> {
    let (repository, objects) = (repository.clone(), objects.clone());
    blocking(move || {
        let commit = Commit::parse(&objects.read(tip)?)?;
        let after = Snapshot::after(before.as_deref(), tip, &commit, objects)?;
        // Before the branch moves: what was served before is served on.
        check_is_index(&after).map_err(|error| error.on(place))?;
        // Last: a process that is killed before has the old branch, whose objects are all there.
        repository.move_branch(tip)?;
        Ok(after)
    })
    .await
}

/// Checks that a repository holds an index at all: what is served of another one is a 404 for each crate.
///
/// # Errors
/// `config` if its `config.json` is missing or cannot be read, or it has directories and none of them leads to a crate's
/// file. One without directories is a new registry, which has no crate yet.
pub(super) fn check_is_index(snapshot: &Snapshot) -> Result<()> {
    let none = |text| {
        Error::new(Kind::Config, text)
            .advise("Set `serve.index` and `serve.branch` to a repository that holds the index.")
    };
    let file = snapshot.file(CONFIG_JSON)?;
    let file = file.ok_or_else(|| none("this is no index: it has no config.json at its root"))?;
    serde_json::from_slice::<ConfigJson>(&snapshot.content(file)?)
        .map_err(|error| none("this is no index: its config.json cannot be read").because(error))?;
    match snapshot.has_directories()? && !snapshot.has_crate()? {
        true => Err(none(
            "this is no index: it has a config.json, but no file at the path of a crate, such as se/rd/serde",
        )),
        false => Ok(()),
    }
}

/// Says whether the indexing of a pack was ended since it was too much.
fn is_refusal(error: &Error) -> bool {
    gix_error::classify(error).is_cancelled()
}
