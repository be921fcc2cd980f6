//! Reads the mirror's last commits: which of them the relay made, the base, and the history mode.

use super::NewCommits;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::config::History;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::by_id::{incomplete, stop_at_root_tree};
use crate::git::transport::{Scan, UploadPack};
use crate::git::wire;
use crate::git::wire::pack::{Object, ObjectKind, Scanner};
use crate::git::wire::upload_pack::Fetch;
use crate::index::commit_message::{crate_in, is_squash};

/// The subject of a stand-in: a commit of ours with an upstream commit's tree and none of its history.
pub(super) const STAND_IN: &str = "Stand in for upstream's ";

/// The base: the newest upstream commit that the mirror has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its id upstream.
    pub upstream: ObjectId,
    /// The commit of the mirror with its tree: itself, or its stand-in.
    pub held: ObjectId,
    /// Its root tree.
    pub tree: ObjectId,
    /// The commit date of `held`, in seconds since 1970.
    pub seconds: i64,
    /// The commit date of upstream's commit, likewise.
    pub upstream_seconds: i64,
    /// The parents of `held`.
    pub parents: Vec<ObjectId>,
}

impl Base {
    /// Makes a base of an upstream commit that the mirror has itself.
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

/// The mirror's last commits, and what follows from them.
pub struct MirrorView {
    /// The branch's tip.
    pub tip: ObjectId,
    /// The tip's commit.
    pub commit: Commit,
    /// The base, if a commit of the relay names it.
    pub base: Option<Base>,
    /// How much of upstream's history the mirror has.
    pub history: History,
    /// The upstream commits that the fetched commits of the relay name, newest first.
    pub carried: Vec<ObjectId>,
    /// The first parent of the newest commit of the relay: the mirror's tip before the last sync.
    pub before_last_sync: Option<ObjectId>,
    /// The fetched commits that the relay did not make, newest first: upstream's, and people's.
    pub others: Vec<ObjectId>,
    /// Whether the whole history was fetched.
    pub is_complete: bool,
    window: Scanner,
}

impl MirrorView {
    /// Fetches the mirror's last `depth` generations of commits and reads them.
    ///
    /// # Errors
    /// As [`UploadPack::scan`]; `server` for a commit that cannot be parsed.
    pub async fn fetch(mirror: &mut UploadPack<'_>, tip: ObjectId, depth: u32) -> Result<Self> {
        let fetch = Fetch::commits(tip, depth);
        let mut root = None;
        let commits_first = !mirror.is_plain();
        let scan = mirror
            .scan(&fetch, |object| match commits_first {
                true => stop_at_root_tree(object, tip, &mut root),
                false => ControlFlow::Continue(()),
            })
            .await?;
        Self::of(scan, tip).map_err(|error| error.on(mirror.remote()))
    }

    fn of(scan: Scan, tip: ObjectId) -> Result<Self> {
        // A server names the commits at which `deepen` cut the history off.
        let is_complete = scan.answer.shallow.is_empty();
        let mut view = Self {
            commit: read(&scan.objects, &tip)?.ok_or_else(|| incomplete(&tip))?,
            tip,
            base: None,
            history: History::Merge,
            carried: Vec::new(),
            before_last_sync: None,
            others: Vec::new(),
            is_complete,
            window: scan.objects,
        };
        view.follow_first_parents()?;
        view.list_others()?;
        Ok(view)
    }

    /// Returns a fetched commit.
    pub fn get(&self, id: &ObjectId) -> Result<Option<Commit>> {
        read(&self.window, id)
    }

    /// Says whether a commit was fetched.
    pub fn has(&self, id: &ObjectId) -> bool {
        self.window.has(id)
    }

    /// Returns the root tree of the tip, if a server without filters sent it.
    ///
    /// # Errors
    /// `server` when reading the commits has become too much work.
    pub fn root_tree(&self) -> Result<Option<Object>> {
        self.window.get(&self.commit.tree).map_err(unreadable)
    }

    /// Says whether `id` is an ancestor of the base, as far as the fetched commits show.
    pub fn is_behind_base(&self, id: &ObjectId) -> Result<bool> {
        match &self.base {
            Some(base) => Ok(base.upstream != *id && self.reaches(base.held, id)?),
            None => Ok(false),
        }
    }

    /// Says whether the mirror had `id` before the last sync, as far as the fetched commits show: on a line that upstream has
    /// since collapsed or rewritten it is no ancestor of the base.
    pub fn held_before_last_sync(&self, id: &ObjectId) -> Result<bool> {
        match self.before_last_sync {
            Some(before) => self.reaches(before, id),
            None => Ok(false),
        }
    }

    /// Returns how many objects were fetched: the commits, and a root tree from a server without filters.
    pub(super) fn count(&self) -> usize {
        self.window.len()
    }

    /// Returns the commits to send upstream as `have`: never the relay's own, which upstream does not have.
    pub fn haves(&self) -> Vec<ObjectId> {
        /// 50 bytes each in the request, 100 KB in all; the oldest are left out.
        const LIMIT: usize = 2000;
        let mut haves: Vec<ObjectId> = self.carried.clone();
        haves.extend(self.others.iter().filter(|id| !self.carried.contains(id)));
        haves.truncate(LIMIT);
        haves
    }

    /// Makes a fetched upstream commit the base, for a mirror in which no commit of the relay names it.
    ///
    /// # Errors
    /// `server` when the commit was not fetched.
    pub fn set_base(&mut self, id: ObjectId) -> Result<()> {
        let commit = self.get(&id)?.ok_or_else(|| incomplete(&id))?;
        self.base = Some(Base::itself(id, commit));
        Ok(())
    }

    /// Returns an upstream commit newer than the base that a person has merged since.
    ///
    /// # Errors
    /// `server` for a commit that cannot be parsed.
    pub fn newer_base(&self, base: &Base, new_commits: &NewCommits) -> Result<Option<Base>> {
        let Some(id) = self.newest_among(&new_commits.edges)? else {
            return Ok(None);
        };
        if id == base.upstream || self.is_behind_base(&id)? {
            return Ok(None);
        }
        let Some(commit) = self.get(&id)? else {
            return Ok(None);
        };
        // What a person merged may lead to the base beyond the fetched commits; then the base is no edge, and older.
        let is_newer = self.reaches(id, &base.upstream)?
            || !new_commits.edges.contains(&base.upstream) && commit.seconds > base.seconds;
        Ok(is_newer.then(|| Base::itself(id, commit)))
    }

    /// Walks the first parents from the tip, past people's commits, and collects what the relay's commits name.
    fn follow_first_parents(&mut self) -> Result<()> {
        let mut next = Some(self.tip);
        while let Some(id) = next {
            let Some(commit) = self.get(&id)? else {
                return Ok(());
            };
            if let Some((base, history)) = self.base_named_by(&commit)? {
                // Also past the base: in `snapshot`, all of these are in the boundary of the next pack.
                self.carried.push(base.upstream);
                if self.base.is_none() {
                    self.base = Some(base);
                    self.history = history;
                    // The only parent of the commit that `init` makes is upstream's: there was no mirror before.
                    self.before_last_sync = commit
                        .parents
                        .first()
                        .copied()
                        .filter(|_| commit.parents.len() > 1);
                }
            }
            next = commit.parents.first().copied();
        }
        Ok(())
    }

    /// Returns the base that a commit of the relay names; `None` for any other commit, and for a base that was not fetched.
    ///
    /// A trailer alone proves nothing, since people copy messages: the last parent must be the commit that the trailer names, or
    /// a stand-in for it.
    fn base_named_by(&self, commit: &Commit) -> Result<Option<(Base, History)>> {
        let (Some(upstream), Some(held)) = (commit.upstream_commit(), commit.parents.last()) else {
            return Ok(None);
        };
        // Without the commit there is no tree to merge with; `find_base` then fetches further back.
        let Some(last) = self.get(held)? else {
            return Ok(None);
        };
        let history = if *held == upstream {
            History::Merge
        } else if last.upstream_commit() == Some(upstream) && last.subject().starts_with(STAND_IN) {
            History::Snapshot
        } else {
            return Ok(None);
        };
        let base = Base {
            upstream,
            held: *held,
            tree: last.tree,
            seconds: last.seconds,
            // A stand-in's author date is the commit date of the commit that it stands in for.
            upstream_seconds: match history {
                History::Merge => last.seconds,
                History::Snapshot => last.authored_seconds,
            },
            parents: last.parents,
        };
        Ok(Some((base, history)))
    }

    fn list_others(&mut self) -> Result<()> {
        let mut dated = Vec::new();
        for id in self.window.ids() {
            if let Some(commit) = self
                .get(id)?
                .filter(|commit| commit.upstream_commit().is_none())
            {
                dated.push((commit.seconds, *id));
            }
        }
        // For the order of the `have`s only: which commit is newer is a matter of descent, as `newest_among` finds it.
        dated.sort_unstable_by(|a, b| b.cmp(a));
        self.others = dated.into_iter().map(|(_, id)| id).collect();
        Ok(())
    }
}

/// Tells which of the fetched commits descends from which: by parents, never by dates, since commits of the same second
/// have no order, and clocks differ.
impl MirrorView {
    /// Says whether `id` is `from` or one of its ancestors, as far as the fetched commits show.
    pub(super) fn reaches(&self, from: ObjectId, id: &ObjectId) -> Result<bool> {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(commit) = next.pop() {
            if commit == *id {
                return Ok(true);
            }
            if seen.insert(commit) {
                let parents = self.get(&commit)?.map(|commit| commit.parents);
                next.extend(parents.unwrap_or_default());
            }
        }
        Ok(false)
    }

    /// Returns `from` and those of its ancestors that were fetched and have no parents, or some that were not fetched: as
    /// `shallow` they cut off nothing that was fetched.
    ///
    /// # Errors
    /// `server` for a commit that cannot be parsed.
    pub fn ends_of(&self, from: ObjectId) -> Result<Vec<ObjectId>> {
        let mut ends = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(id) = next.pop() {
            let Some(commit) = self.get(&id)?.filter(|_| seen.insert(id)) else {
                continue;
            };
            let parents = commit.parents;
            if parents.is_empty() || !parents.iter().all(|parent| self.has(parent)) {
                ends.push(id);
            }
            next.extend(parents);
        }
        Ok(ends)
    }

    /// Returns the newest of these commits that was fetched and is not the relay's: none of the others descends from it.
    ///
    /// # Errors
    /// `server` for a commit that cannot be parsed.
    pub fn newest_among(&self, ids: &BTreeSet<ObjectId>) -> Result<Option<ObjectId>> {
        let mut newest: Option<ObjectId> = None;
        for id in self.others.iter().filter(|id| ids.contains(id)) {
            match newest {
                Some(known) if !self.reaches(*id, &known)? => {}
                _ => newest = Some(*id),
            }
        }
        Ok(newest)
    }

    /// Returns the newest fetched commit that is not the relay's and has this tree.
    ///
    /// # Errors
    /// `server` for a commit that cannot be parsed.
    pub fn newest_with_tree(&self, tree: &ObjectId) -> Result<Option<ObjectId>> {
        let mut alike = BTreeSet::new();
        for id in &self.others {
            if self.get(id)?.is_some_and(|commit| commit.tree == *tree) {
                alike.insert(*id);
            }
        }
        self.newest_among(&alike)
    }

    /// Returns the first of the first parents whose subject is one of crates.io's.
    ///
    /// # Errors
    /// `server` for a commit that cannot be parsed.
    pub fn newest_with_index_subject(&self) -> Result<Option<ObjectId>> {
        let mut next = Some(self.tip);
        while let Some(id) = next
            && let Some(commit) = self.get(&id)?
        {
            if crate_in(commit.subject()).is_some() || is_squash(&commit.message) {
                return Ok(Some(id));
            }
            next = commit.parents.first().copied();
        }
        Ok(None)
    }
}

fn read(objects: &Scanner, id: &ObjectId) -> Result<Option<Commit>> {
    let object = objects.get(id).map_err(unreadable)?;
    let commit = object.filter(|object| object.kind == ObjectKind::Commit);
    commit
        .map(|object| Commit::parse(&object.content))
        .transpose()
}

fn unreadable(error: wire::Error) -> Error {
    Error::new(Kind::Server, "the mirror's last commits cannot be read")
        .because(error)
        .advise("Check `mirror.url`: this is not the history of an index.")
}
