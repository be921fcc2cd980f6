//! The objects that a span of history adds to what was there before it.
//!
//! A commit's tree is compared with those of its parents, path by path, and what differs from all of them is new. So each
//! new object comes with the one that stood at its path before, which is the natural base of a delta.
//!
//! A tree that was met before must not be skipped for that: a change that was undone brings the same tree twice, and
//! each time other parents decide what in it is new. Only the same comparison need not be made twice.

use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;
use std::iter::Peekable;
use std::rc::Rc;

use gix_object::TreeRefIter;
use gix_object::tree::{EntryKind, EntryRef};

use super::commits::{Commits, Span};
use super::objects::{Objects, missing, ours};
use super::pipe::{Failure, Result};
use crate::ObjectId;
use crate::wire::pack::ObjectKind;

/// What is left out of a walk: a partial clone's filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// Nothing.
    None,
    /// `blob:none`: files.
    Blobs,
    /// `tree:0`: files and directories.
    Trees,
}

/// Where a walk begins.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// The commits.
    pub(super) span: Span,
    /// Trees that are wanted by their ids.
    pub(super) trees: Vec<ObjectId>,
    /// Trees that the receiver has: they stand in for the parents of a commit that has none.
    pub(super) had: Vec<ObjectId>,
}

/// An object that a walk met.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Its id.
    pub(super) id: ObjectId,
    /// Its kind.
    pub(super) kind: ObjectKind,
    /// What stood at its path before, or for a new file, beside it.
    pub(super) before: Option<ObjectId>,
}

/// Walks from the roots and shows each object to `visit`, some more than once.
pub(super) fn walk(
    objects: &Objects,
    commits: &mut Commits<'_>,
    roots: &Roots,
    filter: Filter,
    visit: &mut dyn FnMut(Found) -> Result<()>,
) -> Result<()> {
    let mut trees = Trees {
        objects,
        recent: VecDeque::new(),
        compared: HashSet::new(),
        filter,
    };
    for id in &roots.trees {
        // An object that is wanted by its id passes every filter, as in git: so a client gets single trees.
        match filter {
            Filter::Trees => visit(tree(*id, None))?,
            _ => trees.descend(*id, &roots.had, visit)?,
        }
    }
    for id in &roots.span.commits {
        let kind = ObjectKind::Commit;
        visit(Found {
            id: *id,
            kind,
            before: None,
        })?;
        if filter == Filter::Trees {
            continue;
        }
        let commit = commits.get(*id)?;
        let mut before = Vec::with_capacity(commit.parents.len());
        for parent in &commit.parents {
            before.push(commits.get(*parent)?.tree);
        }
        if before.is_empty() {
            // A root, or where history is cut off: after a squash the receiver has nearly all of this tree.
            before.clone_from(&roots.had);
        }
        trees.descend(commit.tree, &before, visit)?;
    }
    Ok(())
}

fn tree(id: ObjectId, before: Option<ObjectId>) -> Found {
    let kind = ObjectKind::Tree;
    Found { id, kind, before }
}

struct Trees<'o> {
    objects: &'o Objects,
    /// Trees that were read, the last one last: one commit's tree is the next one's parent's.
    recent: VecDeque<(ObjectId, Rc<Vec<u8>>)>,
    /// Hashes of the comparisons made so far, 8 bytes each instead of the ids. Randomly keyed, so that nobody can make
    /// two comparisons collide, of which the second would be skipped.
    compared: HashSet<u64>,
    filter: Filter,
}

impl Trees<'_> {
    /// How many trees are cached: the directories on the path of one commit and of its neighbours.
    const RECENT: usize = 32;
    /// The largest tree that is cached, in bytes; a root tree of the index has some 40 KB.
    const RECENT_SIZE: usize = 128 << 10;

    /// Shows what a tree holds that none of the trees `before` holds at the same path.
    fn descend(
        &mut self,
        root: ObjectId,
        before: &[ObjectId],
        visit: &mut dyn FnMut(Found) -> Result<()>,
    ) -> Result<()> {
        if before.contains(&root) {
            return Ok(());
        }
        visit(tree(root, before.first().copied()))?;
        // Not by recursion: a pushed tree may nest deep enough to overflow the stack.
        let mut pending = vec![(root, before.to_vec())];
        while let Some((id, before)) = pending.pop() {
            let comparison = self.compared.hasher().hash_one((id, &before));
            if self.compared.insert(comparison) {
                self.compare(id, &before, visit, &mut pending)?;
            }
        }
        Ok(())
    }

    fn compare(
        &mut self,
        id: ObjectId,
        before: &[ObjectId],
        visit: &mut dyn FnMut(Found) -> Result<()>,
        pending: &mut Vec<(ObjectId, Vec<ObjectId>)>,
    ) -> Result<()> {
        let content = self.read(id)?.ok_or_else(|| missing(id))?;
        let mut bases = Vec::with_capacity(before.len());
        for base in before {
            // A base that is missing is no failure: without it only more is sent than is needed.
            bases.extend(self.read(*base)?);
        }
        let mut bases: Vec<_> = bases.iter().map(|base| Cursor::new(base)).collect();
        for entry in TreeRefIter::from_bytes(&content, gix_hash::Kind::Sha1) {
            let entry = entry.map_err(|error| {
                Failure::because(format_args!("the tree {id} cannot be read"), error)
            })?;
            let kind = match entry.mode.kind() {
                EntryKind::Tree => ObjectKind::Tree,
                // A submodule's commit is in a repository of its own.
                EntryKind::Commit => continue,
                _ => ObjectKind::Blob,
            };
            if kind == ObjectKind::Blob && self.filter == Filter::Blobs {
                continue;
            }
            let mut at_path = Vec::new();
            let mut is_had = false;
            for base in &mut bases {
                if let Some(found) = base.find(&entry) {
                    is_had |= found == entry.oid;
                    at_path.push(ours(found));
                }
            }
            if is_had {
                continue;
            }
            let id = ours(entry.oid);
            let neighbour = || bases.first()?.before.filter(|_| kind == ObjectKind::Blob);
            let before = at_path.first().copied().or_else(neighbour);
            visit(Found { id, kind, before })?;
            if kind == ObjectKind::Tree {
                pending.push((id, at_path));
            }
        }
        Ok(())
    }

    fn read(&mut self, id: ObjectId) -> Result<Option<Rc<Vec<u8>>>> {
        if let Some((_, content)) = self.recent.iter().rev().find(|(known, _)| *known == id) {
            return Ok(Some(Rc::clone(content)));
        }
        let mut content = Vec::new();
        match self.objects.try_read(id, &mut content)? {
            Some(ObjectKind::Tree) => {}
            Some(_) => return Err(Failure::new(format!("{id} is not a tree"))),
            None => return Ok(None),
        }
        let content = Rc::new(content);
        if content.len() <= Self::RECENT_SIZE {
            self.recent.push_back((id, Rc::clone(&content)));
            if self.recent.len() > Self::RECENT {
                self.recent.pop_front();
            }
        }
        Ok(Some(content))
    }
}

/// Goes through a tree beside another one; both are in git's order, so one pass finds every common name.
struct Cursor<'a> {
    entries: Peekable<TreeRefIter<'a>>,
    /// The last file that was passed, the base for a new file: crates with similar names mostly are of one project, and
    /// their index files resemble each other.
    before: Option<ObjectId>,
}

impl<'a> Cursor<'a> {
    fn new(content: &'a [u8]) -> Self {
        Self {
            entries: TreeRefIter::from_bytes(content, gix_hash::Kind::Sha1).peekable(),
            before: None,
        }
    }

    /// Returns the id of the entry with the same name, if both or neither are directories.
    fn find(&mut self, wanted: &EntryRef<'_>) -> Option<&'a gix_hash::oid> {
        while let Some(Ok(entry)) = self.entries.peek() {
            match entry.cmp(wanted) {
                std::cmp::Ordering::Less => {
                    if entry.mode.is_blob() {
                        self.before = Some(ours(entry.oid));
                    }
                    self.entries.next();
                }
                std::cmp::Ordering::Equal => {
                    let is_directory = |entry: &EntryRef<'_>| entry.mode.is_tree();
                    return (is_directory(entry) == is_directory(wanted)).then_some(entry.oid);
                }
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }
}
