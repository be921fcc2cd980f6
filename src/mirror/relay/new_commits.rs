//! Upstream's new commits: their number, the commits that they build on, the crates that they name.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::{FetchError, UploadPack};
use crate::git::wire::pack::{Object, ObjectKind, Scanner};
use crate::git::wire::upload_pack::Fetch;
use crate::index::CrateName;
use crate::index::commit_message::crate_in;

/// The commits between what the mirror has and a commit of upstream's.
#[derive(Default)]
pub struct NewCommits {
    /// The wanted commit; `None` if nothing is new.
    pub tip: Option<Commit>,
    /// The number of new commits.
    pub count: usize,
    /// The parents of new commits that are not new themselves: the mirror has each of them.
    pub edges: BTreeSet<ObjectId>,
    /// Those of the edges that upstream lacks, being a shallow clone: the mirror may lack them, too.
    pub cut_off: BTreeSet<ObjectId>,
    /// New commits without parents, with their content: from a collapse of upstream's history, or from another history that was
    /// merged in.
    pub roots: Vec<(ObjectId, Vec<u8>)>,
    /// The crates that the commits' subjects name.
    pub crates: BTreeSet<CrateName>,
    /// The haves that upstream has, too; only sent in response to a fetch without `done`.
    pub acknowledged: Vec<ObjectId>,
    /// Whether upstream sent a pack: without `done` it does only when the tip leads to one of the haves.
    pub has_pack: bool,
    /// The root tree of the tip, if a server without filters sent it.
    pub root_tree: Option<Object>,
    /// All that were met; only for the scan, since it holds up to some hundred thousand ids.
    seen: HashSet<ObjectId>,
}

impl NewCommits {
    /// The most roots: the index has one since its last collapse, and merges of other histories bring a few more.
    const ROOTS_LIMIT: usize = 16;

    /// Fetches the commits that lead to `tip` and that none of `haves` leads to.
    ///
    /// # Errors
    /// As [`UploadPack::scan`]; `TooLarge` also for more roots than the history of an index has.
    pub async fn fetch(
        upstream: &mut UploadPack<'_>,
        tip: ObjectId,
        haves: &[ObjectId],
        done: bool,
    ) -> Result<Self, FetchError> {
        let fetch = Fetch {
            wants: vec![tip],
            haves: haves.to_vec(),
            only_wanted_trees: true,
            done,
            ..Fetch::default()
        };
        let mut new_commits = Self::default();
        let commits_first = !upstream.is_plain();
        // What visits the objects can stop the scan, but not fail.
        let mut unreadable = None;
        let scan = upstream
            .scan(&fetch, |object| match new_commits.take(object, &tip) {
                // Only the root tree is seen: commits may come after it.
                Ok(_) if !commits_first && new_commits.roots.len() <= Self::ROOTS_LIMIT => {
                    ControlFlow::Continue(())
                }
                Ok(flow) => flow,
                Err(error) => {
                    unreadable = Some(error);
                    ControlFlow::Break(())
                }
            })
            .await?;
        if let Some(error) = unreadable {
            return Err(error.on(upstream.remote()).into());
        }
        if let Some(commit) = &new_commits.tip
            && new_commits.root_tree.is_none()
        {
            let tree = scan.objects.get(&commit.tree);
            new_commits.root_tree =
                tree.map_err(|error| upstream.error("reading its pack", error))?;
        }
        let seen = std::mem::take(&mut new_commits.seen);
        new_commits.cut_off = cut_off(upstream, &scan.objects, &seen)?;
        if new_commits.roots.len() > Self::ROOTS_LIMIT {
            return Err(FetchError::TooLarge(too_many_roots(upstream)));
        }
        new_commits.has_pack = scan.answer.pack_follows;
        new_commits.acknowledged = scan.answer.acknowledged;
        if new_commits.count > 0 && new_commits.tip.is_none() {
            return Err(tip_missing(upstream, tip).into());
        }
        Ok(new_commits)
    }

    /// Takes one object. Commits come before trees, so after the tip's tree nothing of use follows.
    fn take(&mut self, object: &Object, tip: &ObjectId) -> Result<ControlFlow<()>> {
        match object.kind {
            ObjectKind::Commit => {
                self.take_commit(object, tip)?;
                // At once, since the content of each root is kept in memory; `fetch` then makes the error.
                if self.roots.len() > Self::ROOTS_LIMIT {
                    return Ok(ControlFlow::Break(()));
                }
            }
            ObjectKind::Tree
                if self
                    .tip
                    .as_ref()
                    .is_some_and(|commit| commit.tree == object.id) =>
            {
                self.root_tree = Some(object.clone());
                return Ok(ControlFlow::Break(()));
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(super) fn take_commit(&mut self, object: &Object, tip: &ObjectId) -> Result<()> {
        if !self.seen.insert(object.id) {
            return Ok(());
        }
        let commit = Commit::parse(&object.content)?;
        self.count += 1;
        // A pack promises no order among commits: a child may have named this one before, and parents may have come
        // already.
        self.edges.remove(&object.id);
        for parent in &commit.parents {
            if !self.seen.contains(parent) {
                self.edges.insert(*parent);
            }
        }
        if commit.parents.is_empty() {
            self.roots.push((object.id, object.content.to_vec()));
        } else if let Some(name) = crate_in(commit.subject()) {
            self.crates.insert(name);
        }
        if object.id == *tip {
            self.tip = Some(commit);
        }
        Ok(())
    }

    /// Returns the number of new commits without the roots, which only collapse others.
    pub fn commits(&self) -> usize {
        self.count.saturating_sub(self.roots.len())
    }

    /// Adds crates that no commit names, by their names in the index, in lower case.
    pub fn add_crates(&mut self, found: BTreeSet<CrateName>) {
        let named: BTreeSet<String> = self.crates.iter().map(CrateName::index_path).collect();
        let new = found
            .into_iter()
            .filter(|name| !named.contains(&name.index_path()));
        self.crates.extend(new);
    }

    /// Adds the commits that a squash hides, so that the report counts what was mirrored.
    pub(super) fn add_hidden(&mut self, hidden: NewCommits) {
        self.count += hidden.commits();
        self.crates.extend(hidden.crates);
    }
}

fn too_many_roots(upstream: &UploadPack<'_>) -> Error {
    let (remote, most) = (upstream.remote(), NewCommits::ROOTS_LIMIT);
    let message = format!("{remote}: more than {most} commits without parents are new");
    Error::new(Kind::Server, message)
        .advise("Check `upstream.url`: this is not the history of an index.")
}

fn tip_missing(upstream: &UploadPack<'_>, tip: ObjectId) -> Error {
    let message = format!(
        "{}: the server did not send its tip {tip}",
        upstream.remote()
    );
    Error::new(Kind::Server, message).advise("Try again.")
}

/// Returns the parents of those commits from which on upstream, being a shallow clone, has no history.
fn cut_off(
    upstream: &UploadPack<'_>,
    objects: &Scanner,
    seen: &HashSet<ObjectId>,
) -> Result<BTreeSet<ObjectId>> {
    let mut parents = BTreeSet::new();
    for id in upstream.shallow().iter().filter(|id| seen.contains(*id)) {
        let object = objects.get(id);
        let object = object.map_err(|error| upstream.error("reading its pack", error))?;
        let commit = object
            .map(|object| Commit::parse(&object.content))
            .transpose();
        let commit = commit.map_err(|error| error.on(upstream.remote()))?;
        parents.extend(commit.map(|commit| commit.parents).unwrap_or_default());
    }
    Ok(parents)
}
