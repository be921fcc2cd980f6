//! New commits on top of a tip: files are read and replaced, and the objects that come of it are kept in memory until they are pushed.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::objects::{Author, NewTree, OwnCommit, parse_tree, write_tree};
use crate::git::tree::{MergedEntry, MergedTree, Mode, Tree, TreeEntry};
use crate::git::wire::pack::{ObjectKind, pack_of, whole_entry};

/// Reads an object of the tip that is built on.
pub type Read<'r> = &'r (dyn Fn(ObjectId) -> Result<Vec<u8>> + 'r);

/// A chain of commits that is being made.
pub struct Draft<'r> {
    read: Read<'r>,
    made: HashMap<ObjectId, (ObjectKind, Vec<u8>)>,
    /// The commits, the oldest first.
    commits: Vec<ObjectId>,
    tip: Option<ObjectId>,
    seconds: i64,
    /// The tree of the tip; `None` for an empty one.
    committed: Option<ObjectId>,
    /// The tree as it is edited.
    root: Option<ObjectId>,
}

/// The state of a draft's files, to which it can go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(Option<ObjectId>);

impl<'r> Draft<'r> {
    /// Begins on a tip with this tree and date; without one on nothing.
    pub fn on(tip: Option<(ObjectId, ObjectId, i64)>, read: Read<'r>) -> Self {
        Self {
            read,
            made: HashMap::new(),
            commits: Vec::new(),
            tip: tip.map(|(id, _, _)| id),
            seconds: tip.map_or(0, |(_, _, seconds)| seconds),
            committed: tip.map(|(_, tree, _)| tree),
            root: tip.map(|(_, tree, _)| tree),
        }
    }

    /// Returns the tip: of the commits that were made, else the one that it began on.
    pub fn tip(&self) -> Option<ObjectId> {
        self.tip
    }

    /// Says whether no commit was made.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// Returns the state of the files.
    pub fn mark(&self) -> Mark {
        Mark(self.root)
    }

    /// Takes back what was written since.
    pub fn go_back(&mut self, mark: Mark) {
        self.root = mark.0;
    }

    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    /// If an object of the tip cannot be read.
    pub fn file(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Some(mut tree) = self.root else {
            return Ok(None);
        };
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let entries = self.tree(tree)?;
            match entries.get(part.as_bytes()) {
                Some(entry) if entry.mode.is_tree() && parts.peek().is_some() => tree = entry.id,
                Some(entry) if entry.mode.is_same_type(Mode::FILE) && parts.peek().is_none() => {
                    return self.object(entry.id).map(Some);
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If an object of the tip cannot be read, or a file stands where a directory is needed.
    pub fn write(&mut self, path: &str, content: Vec<u8>) -> Result<()> {
        let blob = self.add(ObjectKind::Blob, content);
        let parts: Vec<_> = path.split('/').collect();
        self.root = Some(self.replaced(self.root, &parts, path, blob)?);
        Ok(())
    }

    /// Returns the tree with the file at the end of these parts replaced.
    fn replaced(
        &mut self,
        tree: Option<ObjectId>,
        parts: &[&str],
        path: &str,
        blob: ObjectId,
    ) -> Result<ObjectId> {
        let mut entries = match tree {
            Some(tree) => self.tree(tree)?,
            None => Tree::new(),
        };
        let blocked = || {
            let message =
                format!("the private index has something at {path} that is no file of a crate");
            Error::new(Kind::Conflict, message).advise("Remove it from the repository by a commit.")
        };
        let Some((name, below)) = parts.split_first() else {
            return Err(blocked());
        };
        let there = entries.get(name.as_bytes()).copied();
        let entry = match (there, below.is_empty()) {
            (Some(entry), true) if !entry.mode.is_same_type(Mode::FILE) => return Err(blocked()),
            // An executable file stays one.
            (there, true) => TreeEntry {
                mode: there.map_or(Mode::FILE, |entry| entry.mode),
                id: blob,
            },
            (Some(entry), false) if !entry.mode.is_tree() => return Err(blocked()),
            (there, false) => {
                let inner = there.map(|entry| entry.id);
                TreeEntry::directory(self.replaced(inner, below, path, blob)?)
            }
        };
        entries.insert(name.as_bytes().to_vec(), entry);
        let entries = entries.into_iter();
        let entries = entries.map(|(name, entry)| (name, MergedEntry::from(entry)));
        let mut made: Vec<NewTree> = Vec::new();
        let id = write_tree(&MergedTree::New(entries.collect()), &mut made)?;
        for tree in made {
            self.add(ObjectKind::Tree, tree.content);
        }
        Ok(id)
    }

    /// Commits what was written since the last commit; says whether there was anything. A commit is never older than its parent.
    ///
    /// # Errors
    /// `config` for an author whose name cannot be in a commit.
    pub fn commit(
        &mut self,
        author: &Author,
        committer: &Author,
        now: i64,
        message: &str,
    ) -> Result<bool> {
        let Some(root) = self.root.filter(|_| self.root != self.committed) else {
            return Ok(false);
        };
        self.seconds = self.seconds.max(now);
        let content = OwnCommit {
            tree: root,
            parent: self.tip,
            author,
            committer,
            seconds: self.seconds,
            message,
        }
        .content()?;
        let id = self.add(ObjectKind::Commit, content);
        self.commits.push(id);
        (self.tip, self.committed) = (Some(id), Some(root));
        Ok(true)
    }

    /// Makes the pack with all that the commits add.
    ///
    /// # Errors
    /// None in practice: the objects were all made here.
    pub fn pack(&self) -> Result<Bytes> {
        let mut wanted = Vec::new();
        let mut seen = HashSet::new();
        for commit in &self.commits {
            if let Some((_, content)) = self.made.get(commit) {
                seen.insert(*commit);
                wanted.push(*commit);
                self.collect(
                    crate::git::objects::Commit::parse(content)?.tree,
                    &mut seen,
                    &mut wanted,
                )?;
            }
        }
        let entries = wanted.iter().filter_map(|id| self.made.get(id));
        let entries = entries.map(|(kind, content)| whole_entry(*kind, content));
        let entries = entries.collect::<std::io::Result<Vec<_>>>();
        let failed = |error| Error::new(Kind::Server, "the pack cannot be made").because(error);
        Ok(pack_of(&entries.map_err(failed)?))
    }

    /// Collects what was made of a tree: what an edit made that another one replaced is left out.
    fn collect(
        &self,
        id: ObjectId,
        seen: &mut HashSet<ObjectId>,
        wanted: &mut Vec<ObjectId>,
    ) -> Result<()> {
        let Some((kind, content)) = self.made.get(&id) else {
            return Ok(());
        };
        if !seen.insert(id) {
            return Ok(());
        }
        wanted.push(id);
        if *kind == ObjectKind::Tree {
            for entry in parse_tree(content)?.values() {
                self.collect(entry.id, seen, wanted)?;
            }
        }
        Ok(())
    }

    fn tree(&self, id: ObjectId) -> Result<Tree> {
        parse_tree(&self.object(id)?)
    }

    fn object(&self, id: ObjectId) -> Result<Vec<u8>> {
        match self.made.get(&id) {
            Some((_, content)) => Ok(content.clone()),
            None => (self.read)(id),
        }
    }

    fn add(&mut self, kind: ObjectKind, content: Vec<u8>) -> ObjectId {
        let id = kind.id_of(&content);
        self.made.insert(id, (kind, content));
        id
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn author() -> Author {
        Author {
            name: "a".to_owned(),
            email: "a@b.example".to_owned(),
        }
    }

    fn missing(id: ObjectId) -> Result<Vec<u8>> {
        Err(Error::new(Kind::Server, format!("no {id}")))
    }

    #[test]
    fn what_is_written_is_read_and_committed_and_taken_back() {
        let mut draft = Draft::on(None, &missing);
        assert_eq!(draft.file("ab/cd/abcd").unwrap(), None);
        draft.write("ab/cd/abcd", b"one".to_vec()).unwrap();
        draft.write("ab/cd/abce", b"two".to_vec()).unwrap();
        assert!(draft.commit(&author(), &author(), 5, "First").unwrap());
        assert!(!draft.commit(&author(), &author(), 5, "Nothing").unwrap());
        let mark = draft.mark();
        draft.write("ab/cd/abcd", b"three".to_vec()).unwrap();
        assert_eq!(draft.file("ab/cd/abcd").unwrap().unwrap(), b"three");
        draft.go_back(mark);
        assert_eq!(draft.file("ab/cd/abcd").unwrap().unwrap(), b"one");
        assert_eq!(draft.file("ab/cd").unwrap(), None);
        assert!(draft.write("ab/cd/abcd/x", Vec::new()).is_err());
        assert!(draft.write("ab/cd", Vec::new()).is_err());
        // A commit, three trees and two files; nothing of what was taken back, nor the trees with one file only.
        let pack = draft.pack().unwrap();
        assert_eq!(pack[8..12], [0, 0, 0, 6]);
    }
}
