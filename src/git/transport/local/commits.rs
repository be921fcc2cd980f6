//! History: which commits lead from what is wanted to what the client has.

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::rc::Rc;

use gix_object::CommitRefIter;

use super::objects::{Objects, missing, ours};
use super::pipe::{Failure, Result};
use crate::ObjectId;
use crate::wire::pack::ObjectKind;

/// What a walk needs of a commit.
#[derive(Debug)]
pub(super) struct Commit {
    /// Its root tree.
    pub(super) tree: ObjectId,
    /// Its parents; none where history is cut off.
    pub(super) parents: Box<[ObjectId]>,
    /// When it was committed, in seconds since 1970.
    pub(super) seconds: i64,
}

/// The commits of a repository, each read once.
pub(super) struct Commits<'o> {
    objects: &'o Objects,
    /// Commits whose parents are disregarded.
    cut_off: HashSet<ObjectId>,
    known: HashMap<ObjectId, Rc<Commit>>,
    buffer: Vec<u8>,
}

impl<'o> Commits<'o> {
    /// Reads commits from `objects`; those in `cut_off` appear to have no parents.
    pub(super) fn new(objects: &'o Objects, cut_off: HashSet<ObjectId>) -> Self {
        Self {
            objects,
            cut_off,
            known: HashMap::new(),
            buffer: Vec::new(),
        }
    }

    /// Reads a commit.
    pub(super) fn get(&mut self, id: ObjectId) -> Result<Rc<Commit>> {
        if let Some(commit) = self.known.get(&id) {
            return Ok(Rc::clone(commit));
        }
        let kind = self.objects.try_read(id, &mut self.buffer)?;
        match kind {
            Some(ObjectKind::Commit) => {}
            Some(_) => return Err(Failure::new(format!("{id} is not a commit"))),
            None => return Err(missing(id)),
        }
        let mut commit = parse(&self.buffer)
            .ok_or_else(|| Failure::new(format!("the commit {id} cannot be read")))?;
        if self.cut_off.contains(&id) {
            commit.parents = Box::default();
        }
        let commit = Rc::new(commit);
        self.known.insert(id, Rc::clone(&commit));
        Ok(commit)
    }

    /// Disregards the parents of these commits from now on.
    pub(super) fn cut_off(&mut self, ids: impl IntoIterator<Item = ObjectId>) {
        for id in ids {
            // It may have been read with its parents.
            self.known.remove(&id);
            self.cut_off.insert(id);
        }
    }
}

fn parse(content: &[u8]) -> Option<Commit> {
    let commit = CommitRefIter::from_bytes(content, gix_hash::Kind::Sha1);
    Some(Commit {
        tree: ours(&commit.clone().tree_id().ok()?),
        parents: commit.parent_ids().map(|id| ours(&id)).collect(),
        // As in git, a malformed date counts as 0.
        seconds: commit
            .committer()
            .map_or(0, |committer| committer.seconds()),
    })
}

/// What lies between what is wanted and what the client has.
#[derive(Debug, Default)]
pub(super) struct Span {
    /// The commits that are wanted and not had, mostly the newest first.
    pub(super) commits: Vec<ObjectId>,
    /// The commits that are had from which those descend directly.
    pub(super) boundary: Vec<ObjectId>,
}

impl Span {
    /// Walks from both sides, the newest commit first, until the client has all that is left in the queue.
    ///
    /// As in git, a commit that is dated before its ancestors may hide from the walk that the client has it, and more
    /// is sent than needed.
    pub(super) fn between(
        commits: &mut Commits<'_>,
        wants: impl IntoIterator<Item = ObjectId>,
        haves: impl IntoIterator<Item = ObjectId>,
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<Self> {
        let mut walk = Walk::default();
        // Before the wants: what is both had and wanted is had.
        for id in haves {
            walk.meet(commits, id, true)?;
        }
        for id in wants {
            walk.meet(commits, id, false)?;
        }
        let mut order = Vec::new();
        while let Some((_, _, id)) = walk.queue.pop() {
            alive()?;
            let is_had = walk.is_had(id);
            if !is_had {
                walk.undecided -= 1;
                order.push(id);
            } else if walk.undecided == 0 {
                // All that is left in the queue is had, and so are its ancestors.
                break;
            }
            for parent in &commits.get(id)?.parents {
                walk.meet(commits, *parent, is_had)?;
            }
        }
        // What was met from the wanted side first may have turned out to be had later.
        order.retain(|id| !walk.is_had(*id));
        let mut boundary = Vec::new();
        let mut seen = HashSet::new();
        for id in &order {
            let commit = commits.get(*id)?;
            let had = commit.parents.iter().filter(|parent| walk.is_had(**parent));
            boundary.extend(had.filter(|parent| seen.insert(**parent)));
        }
        Ok(Self {
            commits: order,
            boundary,
        })
    }
}

/// A walk: what was met, and what is still to be looked at.
#[derive(Default)]
struct Walk {
    /// The newest first; of the same second, the one that was met first.
    queue: BinaryHeap<(i64, u64, ObjectId)>,
    /// For each commit that was met, whether the client has it.
    had: HashMap<ObjectId, bool>,
    /// How many in the queue are not had.
    undecided: usize,
    met: u64,
}

impl Walk {
    fn is_had(&self, id: ObjectId) -> bool {
        self.had.get(&id).copied().unwrap_or(false)
    }

    fn meet(&mut self, commits: &mut Commits<'_>, id: ObjectId, is_had: bool) -> Result<()> {
        match self.had.get(&id) {
            None => {
                let seconds = commits.get(id)?.seconds;
                // The heap pops the greatest: the complement lets the first of a second come first.
                self.queue.push((seconds, u64::MAX - self.met, id));
                self.met += 1;
                self.had.insert(id, is_had);
                self.undecided += usize::from(!is_had);
                Ok(())
            }
            Some(false) if is_had => self.turn_out_had(commits, id),
            Some(_) => Ok(()),
        }
    }

    /// Marks what was taken for wanted as had, with all its ancestors that were met.
    fn turn_out_had(&mut self, commits: &mut Commits<'_>, id: ObjectId) -> Result<()> {
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            match self.had.get_mut(&id) {
                Some(is_had) if !*is_had => *is_had = true,
                _ => continue,
            }
            let is_queued = self.queue.iter().any(|(_, _, queued)| *queued == id);
            self.undecided -= usize::from(is_queued);
            pending.extend(commits.get(id)?.parents.iter().copied());
        }
        Ok(())
    }
}
