//! What the mirror's own history says: which commits are the relay's, what they carried last, and in which mode.

use super::{Base, News};
use crate::config::History;
use crate::error::Result;
use crate::git::ObjectId;
use crate::git::objects::Commit;
use crate::git::transport::by_id::{incomplete, stop_at_root_tree};
use crate::git::transport::{Scan, UploadPack};
use crate::git::wire::pack::{Object, ObjectKind, Scanner};
use crate::git::wire::upload_pack::Fetch;

/// The subject of a stand-in: a commit of ours with an upstream commit's tree and none of its history.
pub(super) const STAND_IN: &str = "Stand in for upstream's ";

/// The mirror's last commits, and what they say.
pub struct MirrorView {
    /// The branch's tip.
    pub tip: ObjectId,
    /// The tip's commit.
    pub commit: Commit,
    /// The base, where a commit of the relay names it.
    pub base: Option<Base>,
    /// How much of upstream's history the mirror carries.
    pub history: History,
    /// All upstream commits that commits of the relay in sight say they carried, newest first.
    pub carried: Vec<ObjectId>,
    /// The first parent of the newest commit of the relay: what the mirror was before the last sync.
    pub before_last_sync: Option<ObjectId>,
    /// Commits in sight that the relay did not make, newest first: upstream's, and people's.
    pub others: Vec<ObjectId>,
    /// Whether nothing of the mirror's history is out of sight.
    pub is_whole: bool,
    window: Scanner,
}

impl MirrorView {
    /// Fetches the mirror's last `depth` generations of commits and reads them.
    ///
    /// # Errors
    /// As the conversation goes; `server` for a commit that cannot be read.
    pub async fn look(mirror: &mut UploadPack<'_>, tip: ObjectId, depth: u32) -> Result<Self> {
        let fetch = Fetch::commits(tip, depth);
        let mut root = None;
        let scan = mirror
            .scan(&fetch, |object| stop_at_root_tree(object, tip, &mut root))
            .await?;
        Self::of(scan, tip).map_err(|error| error.on(mirror.remote()))
    }

    fn of(scan: Scan, tip: ObjectId) -> Result<Self> {
        let is_whole = scan.answer.shallow.is_empty();
        let mut view = Self {
            commit: read(&scan.objects, &tip)?.ok_or_else(|| incomplete(&tip))?,
            tip,
            base: None,
            history: History::Merge,
            carried: Vec::new(),
            before_last_sync: None,
            others: Vec::new(),
            is_whole,
            window: scan.objects,
        };
        view.follow_first_parents()?;
        view.list_others()?;
        Ok(view)
    }

    /// Returns a commit in sight.
    pub fn get(&self, id: &ObjectId) -> Result<Option<Commit>> {
        read(&self.window, id)
    }

    /// Returns the root tree of the tip, where the server sent it unasked.
    pub fn root_tree(&self) -> Option<Object> {
        self.window.get(&self.commit.tree)
    }

    /// Says whether `id` is an ancestor of the base, as far as can be seen.
    pub fn is_behind_base(&self, id: &ObjectId) -> Result<bool> {
        match &self.base {
            Some(base) => Ok(base.upstream != *id && self.reaches(base.held, id)?),
            None => Ok(false),
        }
    }

    /// Says whether the mirror held `id` before the last sync already, as far as can be seen: on a line that upstream has since
    /// collapsed or rewritten, where it is no ancestor of the base.
    pub fn held_before_last_sync(&self, id: &ObjectId) -> Result<bool> {
        match self.before_last_sync {
            Some(before) => self.reaches(before, id),
            None => Ok(false),
        }
    }

    /// Returns the commits that upstream is offered as `have`: never the relay's own.
    pub fn offers(&self) -> Vec<ObjectId> {
        const LIMIT: usize = 2000;
        let mut offers: Vec<ObjectId> = self.carried.clone();
        offers.extend(self.others.iter().filter(|id| !self.carried.contains(id)));
        offers.truncate(LIMIT);
        offers
    }

    /// Makes an upstream commit in sight the base, for a mirror whose newest upstream commit no commit of the relay names.
    ///
    /// # Errors
    /// `server` when the commit is not in sight.
    pub fn rest_on(&mut self, id: ObjectId) -> Result<()> {
        let commit = self.get(&id)?.ok_or_else(|| incomplete(&id))?;
        self.base = Some(Base::itself(id, commit));
        Ok(())
    }

    /// Returns an upstream commit that is newer than the base and that a person has merged since.
    ///
    /// # Errors
    /// `server` for a commit that cannot be read.
    pub fn newer_base(&self, base: &Base, news: &News) -> Result<Option<Base>> {
        let Some(id) = self.newest_of(&news.edges)? else {
            return Ok(None);
        };
        if id == base.upstream || self.is_behind_base(&id)? {
            return Ok(None);
        }
        let Some(commit) = self.get(&id)? else {
            return Ok(None);
        };
        // What a person merged may lead to the base out of sight; then the base is no edge of the news, and older.
        let is_newer = self.reaches(id, &base.upstream)?
            || !news.edges.contains(&base.upstream) && commit.seconds > base.seconds;
        Ok(is_newer.then(|| Base::itself(id, commit)))
    }

    /// Walks from the tip past people's commits to the newest of the relay, and on along those.
    fn follow_first_parents(&mut self) -> Result<()> {
        let mut next = Some(self.tip);
        while let Some(id) = next {
            let Some(commit) = self.get(&id)? else {
                return Ok(());
            };
            if let Some((base, history)) = self.base_named_by(&commit)? {
                self.carried.push(base.upstream);
                if self.base.is_none() {
                    self.base = Some(base);
                    self.history = history;
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

    /// Reads the base off a commit of the relay; `None` for any other commit, and where the base is out of sight.
    ///
    /// A trailer alone proves nothing, since people copy messages: the last parent must be the commit that the trailer names,
    /// or a stand-in for it.
    fn base_named_by(&self, commit: &Commit) -> Result<Option<(Base, History)>> {
        let (Some(upstream), Some(held)) = (commit.upstream_commit(), commit.parents.last()) else {
            return Ok(None);
        };
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
            // A stand-in's author date is that of the commit which it stands in for.
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
        dated.sort_unstable_by(|a, b| b.cmp(a));
        self.others = dated.into_iter().map(|(_, id)| id).collect();
        Ok(())
    }
}

fn read(objects: &Scanner, id: &ObjectId) -> Result<Option<Commit>> {
    let commit = objects
        .get(id)
        .filter(|object| object.kind == ObjectKind::Commit);
    commit
        .map(|object| Commit::parse(&object.content))
        .transpose()
}
