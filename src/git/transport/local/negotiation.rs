//! A client's request to `upload-pack`: what it wants, what it has, where its history is cut off (`gitprotocol-v2`).

use std::collections::HashSet;

use super::commits::{Commits, Span};
use super::objects::{Objects, missing};
use super::pack_output::Abilities;
use super::pipe::{Failure, Result};
use super::reachable::{Filter, Roots};
use crate::ObjectId;
use crate::wire::pack::ObjectKind;

/// How many of the client's trees are compared with a history that leads to none of them: each is read beside it.
const HAD_TREES: usize = 32;

/// One `fetch` command.
#[derive(Debug)]
pub(super) struct Request {
    wants: Vec<ObjectId>,
    haves: Vec<ObjectId>,
    shallow: Vec<ObjectId>,
    deepen: Option<u32>,
    /// What the client leaves out.
    pub(super) filter: Filter,
    /// What the client can read.
    pub(super) abilities: Abilities,
    /// The client wants the pack now.
    pub(super) done: bool,
    /// The client will say when it wants the pack.
    wait_for_done: bool,
    /// Tags that point to what is sent are to be sent as well.
    pub(super) include_tag: bool,
}

impl Request {
    /// Reads a command's arguments.
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut request = Self {
            wants: Vec::new(),
            haves: Vec::new(),
            shallow: Vec::new(),
            deepen: None,
            filter: Filter::None,
            abilities: Abilities {
                thin: false,
                offsets: false,
            },
            done: false,
            wait_for_done: false,
            include_tag: false,
        };
        for argument in arguments {
            request.take(argument)?;
        }
        Ok(request)
    }

    fn take(&mut self, argument: &str) -> Result<()> {
        let (name, value) = argument.split_once(' ').unwrap_or((argument, ""));
        let id = || -> Result<ObjectId> {
            value
                .parse()
                .map_err(|_| Failure::new(format!("not an object id: {argument:?}")))
        };
        match name {
            "want" => self.wants.push(id()?),
            "have" => self.haves.push(id()?),
            "shallow" => self.shallow.push(id()?),
            "deepen" => {
                let depth = value.parse().ok().filter(|depth| *depth > 0);
                self.deepen =
                    Some(depth.ok_or_else(|| Failure::new(format!("not a depth: {value:?}")))?);
            }
            "filter" => {
                self.filter = match value {
                    "tree:0" => Filter::Trees,
                    "blob:none" => Filter::Blobs,
                    _ => return Err(Failure::new(format!("the filter {value} is not supported"))),
                }
            }
            "done" => self.done = true,
            "wait-for-done" => self.wait_for_done = true,
            "thin-pack" => self.abilities.thin = true,
            "ofs-delta" => self.abilities.offsets = true,
            "include-tag" => self.include_tag = true,
            "no-progress" => {}
            _ => return Err(Failure::new(format!("unexpected line: {argument:?}"))),
        }
        Ok(())
    }

    /// Says whether nothing is requested.
    pub(super) fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    /// Says whether the client offers something to be acknowledged first.
    pub(super) fn is_negotiating(&self) -> bool {
        !self.done && !self.haves.is_empty()
    }

    /// Says whether the client's history is cut off, or is to be.
    pub(super) fn is_shallow(&self) -> bool {
        self.deepen.is_some() || !self.shallow.is_empty()
    }
}

/// A request, resolved in the repository.
pub(super) struct Negotiation<'o> {
    objects: &'o Objects,
    /// The commits, cut off where the client's history is, or will be.
    pub(super) commits: Commits<'o>,
    wanted: Sorted,
    had: Sorted,
    /// What both the client and the repository have.
    pub(super) common: Vec<ObjectId>,
    /// Where history is to be cut off that was not yet.
    pub(super) shallow: Vec<ObjectId>,
    /// Where history is no longer to be cut off.
    pub(super) unshallow: Vec<ObjectId>,
}

/// Objects by their kinds; a tag is listed with what it points to.
#[derive(Debug, Default)]
struct Sorted {
    commits: Vec<ObjectId>,
    trees: Vec<ObjectId>,
    blobs: Vec<ObjectId>,
    tags: Vec<ObjectId>,
}

impl Sorted {
    fn take(&mut self, objects: &Objects, mut id: ObjectId) -> Result<bool> {
        let mut content = Vec::new();
        loop {
            match objects.kind(id)? {
                None => return Ok(false),
                Some(ObjectKind::Commit) => self.commits.push(id),
                Some(ObjectKind::Tree) => self.trees.push(id),
                Some(ObjectKind::Blob) => self.blobs.push(id),
                Some(ObjectKind::Tag) => {
                    self.tags.push(id);
                    objects.read(id, &mut content)?;
                    id = target(&content)
                        .ok_or_else(|| Failure::new(format!("the tag {id} cannot be read")))?;
                    continue;
                }
            }
            return Ok(true);
        }
    }
}

/// Reads what a tag points to.
pub(super) fn target(tag: &[u8]) -> Option<ObjectId> {
    let tag = gix_object::TagRefIter::from_bytes(tag, gix_hash::Kind::Sha1);
    tag.target_id().ok().map(|id| super::objects::ours(&id))
}

impl<'o> Negotiation<'o> {
    /// Looks up what a request names; `own_shallow` is where the repository's own history is cut off, `is_named` says whether the
    /// repository should have an object.
    pub(super) fn new(
        objects: &'o Objects,
        request: &Request,
        own_shallow: &HashSet<ObjectId>,
        is_named: impl Fn(ObjectId) -> bool,
    ) -> Result<Self> {
        let mut negotiation = Self {
            objects,
            commits: Commits::new(objects, own_shallow.clone()),
            wanted: Sorted::default(),
            had: Sorted::default(),
            common: Vec::new(),
            shallow: Vec::new(),
            unshallow: Vec::new(),
        };
        for id in &request.wants {
            // Any object may be wanted, reachable or not: v2 has no `allowAnySHA1InWant`, and nobody is here to be kept
            // from it.
            if !negotiation.wanted.take(objects, *id)? {
                if is_named(*id) {
                    return Err(missing(*id));
                }
                // git's own words, by which clients, ours among them, recognize a missing object.
                return Err(Failure::new(format!("upload-pack: not our ref {id}")));
            }
        }
        for id in &request.haves {
            if negotiation.had.take(objects, *id)? {
                negotiation.common.push(*id);
            }
        }
        negotiation.cut_off(request, own_shallow)?;
        Ok(negotiation)
    }

    fn cut_off(&mut self, request: &Request, own_shallow: &HashSet<ObjectId>) -> Result<()> {
        let clients: HashSet<_> = request.shallow.iter().copied().collect();
        // Neither side's ends move, so there is nothing to tell the client.
        if request.deepen.is_none() && own_shallow.is_empty() {
            self.commits.cut_off(clients);
            return Ok(());
        }
        let depth = request.deepen.unwrap_or(u32::MAX);
        let (whole, ends) = self.within(depth, own_shallow)?;
        self.shallow = ends
            .iter()
            .filter(|id| !clients.contains(*id))
            .copied()
            .collect();
        self.unshallow = clients
            .iter()
            .filter(|id| whole.contains(*id))
            .copied()
            .collect();
        for id in &self.unshallow {
            // The client lacks what comes before these, whatever it has.
            let parents = self.commits.get(*id)?.parents.to_vec();
            self.wanted.commits.extend(parents);
        }
        self.commits.cut_off(ends.into_iter().chain(clients));
        Ok(())
    }

    /// Returns the commits within `depth` generations of what is wanted: those whose parents count, and the last ones.
    fn within(
        &mut self,
        depth: u32,
        own_shallow: &HashSet<ObjectId>,
    ) -> Result<(HashSet<ObjectId>, HashSet<ObjectId>)> {
        let (mut whole, mut ends) = (HashSet::new(), HashSet::new());
        let mut generation: Vec<_> = self.wanted.commits.clone();
        let mut number = 1;
        while !generation.is_empty() {
            let mut next = Vec::new();
            for id in generation {
                if whole.contains(&id) || ends.contains(&id) {
                    continue;
                }
                if number >= depth || own_shallow.contains(&id) {
                    ends.insert(id);
                    continue;
                }
                whole.insert(id);
                next.extend(self.commits.get(id)?.parents.iter().copied());
            }
            generation = next;
            number += 1;
        }
        Ok((whole, ends))
    }

    /// Says whether every wanted commit leads to one that both sides have.
    pub(super) fn is_ready(&mut self, request: &Request) -> Result<bool> {
        if request.wait_for_done || self.had.commits.is_empty() {
            return Ok(false);
        }
        let had: HashSet<_> = self.had.commits.iter().copied().collect();
        let mut oldest = i64::MAX;
        for id in &had {
            oldest = oldest.min(self.commits.get(*id)?.seconds);
        }
        let wanted = self.wanted.commits.clone();
        let mut lost = HashSet::new();
        for want in wanted {
            if !self.leads_to(want, &had, oldest, &mut lost)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Searches from a commit for one of `had`, no further than to commits older than all of them.
    fn leads_to(
        &mut self,
        want: ObjectId,
        had: &HashSet<ObjectId>,
        oldest: i64,
        lost: &mut HashSet<ObjectId>,
    ) -> Result<bool> {
        let mut pending = vec![want];
        while let Some(id) = pending.pop() {
            if had.contains(&id) {
                return Ok(true);
            }
            if !lost.insert(id) {
                continue;
            }
            let commit = self.commits.get(id)?;
            // A commit older than all that the client has leads to none of it, unless clocks were wrong. Then the
            // client only has to negotiate for longer.
            if commit.seconds >= oldest {
                pending.extend(commit.parents.iter().copied());
            }
        }
        Ok(false)
    }

    /// Finds out where the walk over all that is to be sent begins.
    pub(super) fn roots(&mut self, alive: impl FnMut() -> Result<()>) -> Result<Roots> {
        let wants = self.wanted.commits.clone();
        let haves = self.had.commits.clone();
        let span = Span::between(&mut self.commits, wants, haves, alive)?;
        let mut had = self.had.trees.clone();
        let known = span
            .boundary
            .iter()
            .chain(&self.had.commits)
            .take(HAD_TREES);
        for id in known {
            had.push(self.commits.get(*id)?.tree);
        }
        had.dedup();
        Ok(Roots {
            span,
            trees: self.wanted.trees.clone(),
            had,
        })
    }

    /// Returns the blobs and tags that are wanted.
    pub(super) fn singles(&self) -> impl Iterator<Item = (ObjectId, ObjectKind)> + '_ {
        let blobs = self.wanted.blobs.iter().map(|id| (*id, ObjectKind::Blob));
        let tags = self
            .wanted
            .tags
            .iter()
            .filter(|id| !self.had.tags.contains(id));
        blobs.chain(tags.map(|id| (*id, ObjectKind::Tag)))
    }

    /// Returns the repository's objects.
    pub(super) fn objects(&self) -> &'o Objects {
        self.objects
    }
}
