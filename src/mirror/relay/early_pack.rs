//! Upstream's pack, asked for before the plan is made: upstream's new commits and trees are read from its beginning, which saves
//! the round trips in which they would be asked for.

use std::collections::{BTreeSet, HashMap};

use super::observe::Observation;
use super::{Base, MirrorView, NewCommits, Session};
use crate::config::History;
use crate::error::Result;
use crate::git::ObjectId;
use crate::git::objects::{NewTree, parse_tree};
use crate::git::transport::{PackStream, UploadPack};
use crate::git::tree::Tree;
use crate::git::wire::pack::{Object, ObjectKind, Scanner};
use crate::git::wire::upload_pack::Fetch;
use crate::mirror::plan::Relation;

/// A pack of which the beginning has been read. It is sent to the mirror if the plan turns out to need it, else dropped.
pub struct EarlyPack<'r> {
    fetch: Fetch,
    stream: PackStream<'r>,
    arrived: Scanner,
    /// Whether more objects can be read from what arrives.
    is_readable: bool,
}

impl<'r> EarlyPack<'r> {
    /// The most that is read before the plan is made, in bytes.
    const LIMIT: usize = 1024 * 1024;
    /// The most new commits with which it is worth while: the trees follow them in the pack, and a thousand commits take a quarter
    /// of the limit.
    const COMMITS: usize = 4000;
    /// The most objects of a pack that is to begin with so many new commits, of which each brings a file and its directories.
    const OBJECTS: u32 = 20_000;
    /// The most ends of the mirror's fetched history with which a pack is asked for before upstream's commits are known.
    const ENDS: usize = 64;

    fn of(fetch: Fetch, stream: PackStream<'r>) -> Self {
        Self {
            fetch,
            stream,
            arrived: Scanner::new(),
            is_readable: true,
        }
    }

    /// Asks upstream for the pack of all that leads from the base to its tip, and reads upstream's new commits from its beginning.
    ///
    /// `None` where the tip does not lead to the base, of which no pack is sent; where the pack does not begin with the commits, or
    /// with more than are read; and where not all of them are new. They are then to be asked for by themselves, which also tells
    /// what is wrong with them.
    ///
    /// # Errors
    /// As [`UploadPack::fetch`] and [`PackStream::data`]; `server` for a commit that cannot be parsed.
    pub(super) async fn with_commits(
        upstream: &mut UploadPack<'r>,
        tip: ObjectId,
        view: &MirrorView,
        base: &Base,
    ) -> Result<Option<(Self, NewCommits)>> {
        let ends = view.ends_of(base.held)?;
        // A mirror without upstream's history takes another pack. A server that speaks v0 sends one only after `done`, whether or
        // not the tip leads to the base.
        if !upstream.is_v2() || base.held != base.upstream || ends.len() > Self::ENDS {
            return Ok(None);
        }
        let fetch = Fetch {
            wants: vec![tip],
            haves: vec![base.upstream],
            // For deltas that build on the base's trees, as in `Observation::pack`. Not the base itself: what left its history
            // shortly before it, and was merged since, would bring all of its own history along.
            shallow: ends,
            thin: true,
            ..Fetch::default()
        };
        let Some(stream) = upstream.try_fetch_pack(&fetch).await? else {
            return Ok(None);
        };
        let mut pack = Self::of(fetch, stream);
        let new_commits = pack.new_commits(tip, view).await?;
        Ok(new_commits.map(|new_commits| (pack, new_commits)))
    }

    /// Reads the new commits: those that lead from the tip to commits that the mirror has.
    async fn new_commits(
        &mut self,
        tip: ObjectId,
        view: &MirrorView,
    ) -> Result<Option<NewCommits>> {
        let held: BTreeSet<ObjectId> = view.haves().into_iter().collect();
        let mut new_commits = NewCommits::default();
        while let Some(object) = self.next().await? {
            let is_large = self.arrived.left().is_some_and(|left| left > Self::OBJECTS);
            // The mirror has some of them where a person merged them from beyond the base.
            if is_large || object.kind != ObjectKind::Commit || view.has(&object.id) {
                break;
            }
            let taken = new_commits.take_commit(&object, &tip);
            taken.map_err(|error| self.stream.of_remote(error))?;
            // A branch that left before what was fetched of the mirror's history: some of its commits may not be new.
            if !new_commits.roots.is_empty() {
                break;
            }
            if new_commits.tip.is_some() && new_commits.edges.is_subset(&held) {
                new_commits.has_pack = true;
                return Ok(Some(new_commits));
            }
        }
        Ok(None)
    }

    /// Returns the next object from the beginning of the pack; `None` where no more of it is read.
    async fn next(&mut self) -> Result<Option<Object>> {
        while self.is_readable {
            match self.arrived.next().await {
                Ok(Some(object)) => return Ok(Some(object)),
                Ok(None) if self.arrived.size() >= Self::LIMIT => break,
                Ok(None) => {
                    let next = self.stream.data().await;
                    let next = next.map_err(|error| self.stream.error(error))?;
                    let Some(chunk) = next else { break };
                    let taken = self.arrived.push(&chunk);
                    taken.map_err(|error| self.stream.error(error))?;
                }
                // Too large for planning, perhaps, and still good for the mirror, which judges it by itself.
                Err(_) => self.is_readable = false,
            }
        }
        Ok(None)
    }

    /// Supplies a root tree that the mirror has: a thin pack may build on it.
    fn supply(&mut self, tree: NewTree) {
        self.arrived.supply(tree.id, ObjectKind::Tree, tree.content);
    }

    /// Returns those of the trees that the beginning of the pack contains.
    ///
    /// # Errors
    /// As [`PackStream::data`]; `server` for a tree that cannot be parsed.
    pub async fn find(&mut self, ids: &[ObjectId]) -> Result<HashMap<ObjectId, Tree>> {
        while !ids.iter().all(|id| self.arrived.has(id)) && self.next().await?.is_some() {}
        let mut found = HashMap::new();
        for id in ids {
            // One that cannot be read here is asked for by itself, which tells what is wrong with it.
            if let Ok(Some(object)) = self.arrived.get(id) {
                found.insert(*id, parse_tree(&object.content)?);
            }
        }
        Ok(found)
    }

    /// Returns the fetch whose pack this is.
    pub(super) fn fetch(&self) -> Fetch {
        self.fetch.clone()
    }

    /// Says whether this is the pack of a fetch.
    pub fn is_of(&self, fetch: &Fetch) -> bool {
        self.fetch == *fetch
    }

    /// Returns the whole pack, from its first byte.
    pub fn into_stream(mut self) -> PackStream<'r> {
        self.stream.put_back(self.arrived.into_pack());
        self.stream
    }
}

impl Observation {
    /// Asks upstream for the pack if that has not been done, unless more may have to be asked before it is known which.
    pub(super) async fn ask_for_pack(
        &self,
        session: &mut Session<'_>,
        history: History,
    ) -> Result<()> {
        let fetch = self.pack(history);
        session.early_pack.take_if(|pack| !pack.is_of(&fetch));
        let Session {
            upstream,
            early_pack,
            ..
        } = session;
        // One that talks to one client at a time would keep every other waiting until the pack is read.
        let is_possible =
            !upstream.is_plain() && (history == History::Merge || upstream.can_want_any());
        let is_worth_while = self.new_commits.count <= EarlyPack::COMMITS;
        let is_known = self.relation == Relation::Advanced;
        if early_pack.is_none() && is_known && is_possible && is_worth_while {
            let stream = upstream.fetch_pack(&fetch).await?;
            *early_pack = Some(EarlyPack::of(fetch, stream));
        }
        if let Some(pack) = early_pack {
            for id in [self.base.tree, self.view.commit.tree] {
                self.root(&id)?
                    .into_iter()
                    .for_each(|root| pack.supply(root));
            }
        }
        Ok(())
    }
}
