//! The index at one commit: its tree, of which directories are read when they are first needed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use super::objects::Objects;
use crate::error::Result;
use crate::git::ObjectId;
use crate::git::objects::{Commit, parse_tree};
use crate::git::tree::Mode;
use crate::index::{CrateName, ReservedNames, folded};

/// How many directories the path of a crate's file has at most, as `se/rd` in `se/rd/serde`.
// What is deeper is no part of an index. A tree of any depth can be sent in a few bytes a level, and what goes through the
// directories here is recursive, their drop as well.
const LEVELS: u8 = 2;

/// The index at one commit. Snapshots share the directories that did not change between them.
pub struct Snapshot {
    commit: ObjectId,
    seconds: i64,
    root: Arc<Directory>,
    objects: Objects,
    /// The crates that it does not show.
    hidden: Arc<ReservedNames>,
}

/// A directory of the tree, whose entries are read when they are first needed.
struct Directory {
    id: ObjectId,
    /// How many directories it is in.
    level: u8,
    entries: OnceLock<Entries>,
}

/// The entries of a directory, in the order of their names.
struct Entries(Box<[(Box<[u8]>, TreeEntry)]>);

enum TreeEntry {
    Directory(Arc<Directory>),
    File(ObjectId),
}

impl Snapshot {
    /// Reads the tree of a commit as far as the previous snapshot's was read, so that requests find the same in memory.
    pub(super) fn after(
        before: Option<&Self>,
        id: ObjectId,
        commit: &Commit,
        objects: Objects,
    ) -> Result<Self> {
        let root = match before {
            Some(before) => before.root.after(commit.tree, &objects)?,
            None => Directory::unread(commit.tree, 0),
        };
        // The root is always read: a copy that lacks it is damaged.
        root.entries(&objects)?;
        Ok(Self {
            commit: id,
            seconds: commit.seconds,
            root,
            objects,
            hidden: Arc::default(),
        })
    }

    /// Hides these crates: for all that asks it they are not there.
    pub(super) fn hiding(self, hidden: Arc<ReservedNames>) -> Self {
        Self { hidden, ..self }
    }

    /// Returns the same without these crates.
    pub(super) fn also_hiding(&self, hidden: Arc<ReservedNames>) -> Self {
        Self {
            hidden,
            root: Arc::clone(&self.root),
            objects: self.objects.clone(),
            ..*self
        }
    }

    /// Reads the snapshot of another commit of the same copy; `None` if it does not have it any more.
    pub fn at(&self, commit: ObjectId) -> Option<Self> {
        let read = Commit::parse(&self.objects.read(commit).ok()?).ok()?;
        let snapshot = Self::after(None, commit, &read, self.objects.clone()).ok()?;
        Some(snapshot.hiding(Arc::clone(&self.hidden)))
    }

    /// Returns the id of the commit.
    pub fn commit(&self) -> ObjectId {
        self.commit
    }

    /// Returns the id of its root tree.
    pub fn tree(&self) -> ObjectId {
        self.root.id
    }

    /// Returns when it was committed, in seconds since 1970.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Returns the object database of this copy.
    pub(super) fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Returns the id of a file, by its path with `/` between its parts.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn file(&self, path: &str) -> Result<Option<ObjectId>> {
        self.find(path, |directory| directory.entries(&self.objects))
    }

    /// Says whether there is a file at this path, also one that is hidden.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn has_even_hidden(&self, path: &str) -> Result<bool> {
        let found = self.find_shown(path, |directory| directory.entries(&self.objects));
        found.map(|file| file.is_some())
    }

    /// Returns the id of a file as [`Snapshot::file`] does, but reads nothing: `None` if a directory of its path was
    /// not read yet.
    pub fn file_in_memory(&self, path: &str) -> Option<Option<ObjectId>> {
        self.find(path, |directory| directory.entries.get().ok_or(()))
            .ok()
    }

    fn find<'s, E>(
        &'s self,
        path: &str,
        entries: impl Fn(&'s Directory) -> Result<&'s Entries, E>,
    ) -> Result<Option<ObjectId>, E> {
        match self.hidden.covers(path.as_bytes()) {
            true => Ok(None),
            false => self.find_shown(path, entries),
        }
    }

    fn find_shown<'s, E>(
        &'s self,
        path: &str,
        entries: impl Fn(&'s Directory) -> Result<&'s Entries, E>,
    ) -> Result<Option<ObjectId>, E> {
        let mut directory = &self.root;
        let mut parts = path.as_bytes().split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            match entries(directory)?.get(part) {
                Some(TreeEntry::Directory(inner)) if parts.peek().is_some() => directory = inner,
                Some(TreeEntry::File(id)) if parts.peek().is_none() => return Ok(Some(*id)),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Returns the content of a file.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn content(&self, id: ObjectId) -> Result<Vec<u8>> {
        self.objects.read(id)
    }

    /// Returns the names of all crates, in the order of their paths.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn crates(&self) -> Result<Vec<CrateName>> {
        let files = self.crate_files()?.into_iter();
        Ok(files.map(|(name, _)| name).collect())
    }

    /// Returns the files of all crates, in the order of their paths: the name in lower case, and the file's id.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn crate_files(&self) -> Result<Vec<(CrateName, ObjectId)>> {
        let mut files = Vec::new();
        let all = self.root.visit_crates("", &self.objects, &mut |name, id| {
            if !self.hides(&name) {
                files.push((name, id));
            }
            ControlFlow::Continue(())
        });
        all.map(|_| files)
    }

    /// Returns the files of the crates that differ from another commit's, each with its id here, `None` where it is gone. Reads
    /// the directories that changed.
    ///
    /// # Errors
    /// `server` if a copy is damaged.
    pub fn changes_since(&self, before: &Self) -> Result<Vec<(CrateName, Option<ObjectId>)>> {
        let mut changes = Vec::new();
        let sides = [
            (Some(&*before.root), &before.objects),
            (Some(&*self.root), &self.objects),
        ];
        differ("", sides, &mut |name, id| {
            if !self.hides(&name) {
                changes.push((name, id));
            }
        })?;
        Ok(changes)
    }

    fn hides(&self, name: &CrateName) -> bool {
        !self.hidden.is_empty() && self.hidden.find(&folded(name.as_str())).is_some()
    }

    /// Says whether there is any crate; reads no further than to the first.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub(super) fn has_crate(&self) -> Result<bool> {
        let visited = self
            .root
            .visit_crates("", &self.objects, &mut |_, _| ControlFlow::Break(()))?;
        Ok(visited.is_break())
    }

    /// Returns the files in the directories of a directory at the root, each with its path and id: of `crates` those at
    /// `crates/NAME/FILE`. `None` if there are more than `most`.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub fn files_in(&self, folder: &str, most: usize) -> Result<Option<Vec<(String, ObjectId)>>> {
        let mut files = Vec::new();
        let root = self.root.entries(&self.objects)?;
        let Some(TreeEntry::Directory(directory)) = root.get(folder.as_bytes()) else {
            return Ok(Some(files));
        };
        for (name, entry) in &directory.entries(&self.objects)?.0 {
            let TreeEntry::Directory(inner) = entry else {
                continue;
            };
            let name = String::from_utf8_lossy(name);
            for (file, entry) in &inner.entries(&self.objects)?.0 {
                if let TreeEntry::File(id) = entry {
                    let file = String::from_utf8_lossy(file);
                    files.push((format!("{folder}/{name}/{file}"), *id));
                }
                if files.len() > most {
                    return Ok(None);
                }
            }
        }
        Ok(Some(files))
    }

    /// Says whether there is such a directory at the root.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub(super) fn has_folder(&self, name: &str) -> Result<bool> {
        let entries = self.root.entries(&self.objects)?;
        let found = entries.get(name.as_bytes());
        Ok(found.is_some_and(|entry| entry.directory().is_some()))
    }

    /// Says whether there are directories at the root.
    ///
    /// # Errors
    /// `server` if the copy is damaged.
    pub(super) fn has_directories(&self) -> Result<bool> {
        let entries = &self.root.entries(&self.objects)?.0;
        // Those that begin with a dot are for CI, in an index, too.
        let is_directory = |(name, entry): &(Box<[u8]>, TreeEntry)| {
            matches!(entry, TreeEntry::Directory(_)) && !name.starts_with(b".")
        };
        Ok(entries.iter().any(is_directory))
    }
}

impl TreeEntry {
    fn directory(&self) -> Option<&Directory> {
        match self {
            Self::Directory(directory) => Some(directory),
            Self::File(_) => None,
        }
    }

    fn file(&self) -> Option<ObjectId> {
        match self {
            Self::File(id) => Some(*id),
            Self::Directory(_) => None,
        }
    }
}

impl Entries {
    fn get(&self, name: &[u8]) -> Option<&TreeEntry> {
        let found = self.0.binary_search_by(|(there, _)| (**there).cmp(name));
        found.ok().map(|place| &self.0[place].1)
    }
}

impl Directory {
    fn unread(id: ObjectId, level: u8) -> Arc<Self> {
        let entries = OnceLock::new();
        Arc::new(Self { id, level, entries })
    }

    fn entries(&self, objects: &Objects) -> Result<&Entries> {
        if let Some(entries) = self.entries.get() {
            return Ok(entries);
        }
        // Two requests may read it at the same time; the first result stays.
        let below = self.level + 1;
        let read = Self::read(self.id, self.level, objects, |_, id| {
            Ok(Self::unread(id, below))
        })?;
        Ok(self.entries.get_or_init(|| read))
    }

    /// Returns the directory that this one became: itself if it did not change, else one that is read as far as this
    /// one.
    fn after(self: &Arc<Self>, id: ObjectId, objects: &Objects) -> Result<Arc<Self>> {
        if self.id == id {
            return Ok(Arc::clone(self));
        }
        let Some(before) = self.entries.get() else {
            return Ok(Self::unread(id, self.level));
        };
        let level = self.level;
        let entries = Self::read(id, level, objects, |name, id| match before.get(name) {
            Some(TreeEntry::Directory(inner)) => inner.after(id, objects),
            _ => Ok(Self::unread(id, level + 1)),
        })?;
        let entries = OnceLock::from(entries);
        Ok(Arc::new(Self { id, level, entries }))
    }

    fn read(
        id: ObjectId,
        level: u8,
        objects: &Objects,
        directory: impl Fn(&[u8], ObjectId) -> Result<Arc<Self>>,
    ) -> Result<Entries> {
        let tree = parse_tree(&objects.read(id)?)?;
        let mut entries = Vec::with_capacity(tree.len());
        for (name, entry) in tree {
            let entry = match entry.mode {
                mode if mode.is_tree() && level < LEVELS => {
                    TreeEntry::Directory(directory(&name, entry.id)?)
                }
                mode if mode.is_same_type(Mode::FILE) => TreeEntry::File(entry.id),
                // Symbolic links, submodules and what is too deep are not part of an index.
                _ => continue,
            };
            entries.push((name.into_boxed_slice(), entry));
        }
        Ok(Entries(entries.into_boxed_slice()))
    }

    /// Calls `visit` with the name and the file of each crate, until it breaks off.
    fn visit_crates(
        &self,
        path: &str,
        objects: &Objects,
        visit: &mut impl FnMut(CrateName, ObjectId) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        for (name, entry) in &self.entries(objects)?.0 {
            let Ok(name) = std::str::from_utf8(name) else {
                continue;
            };
            let visited = match entry {
                TreeEntry::Directory(inner) => {
                    inner.visit_crates(&format!("{path}{name}/"), objects, visit)?
                }
                TreeEntry::File(id) => match crate_at(path, name) {
                    Some(name) => visit(name, *id),
                    None => ControlFlow::Continue(()),
                },
            };
            if visited.is_break() {
                return Ok(visited);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Returns the crate whose file this is: others, such as config.json, are not at the path of a crate of their name.
fn crate_at(path: &str, name: &str) -> Option<CrateName> {
    let found = CrateName::new(name).ok()?;
    let expected = found.index_path();
    (expected.strip_prefix(path) == Some(name)).then_some(found)
}

/// A directory before or after, if there is one, and what its objects are read from.
type Side<'d> = (Option<&'d Directory>, &'d Objects);

/// Calls `visit` with each crate's file that differs, and what it is on the second side.
fn differ(
    path: &str,
    sides: [Side<'_>; 2],
    visit: &mut impl FnMut(CrateName, Option<ObjectId>),
) -> Result<()> {
    let mut entries = BTreeMap::<&[u8], [Option<&TreeEntry>; 2]>::new();
    for (side, (directory, objects)) in sides.into_iter().enumerate() {
        if let Some(directory) = directory {
            for (name, entry) in &directory.entries(objects)?.0 {
                entries.entry(name).or_default()[side] = Some(entry);
            }
        }
    }
    for (name, both) in entries {
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        let directories = both.map(|entry| entry.and_then(TreeEntry::directory));
        if directories[0].map(|it| it.id) != directories[1].map(|it| it.id) {
            let [(_, before), (_, after)] = sides;
            let inner = [(directories[0], before), (directories[1], after)];
            differ(&format!("{path}{name}/"), inner, visit)?;
        }
        let files = both.map(|entry| entry.and_then(TreeEntry::file));
        if files[0] != files[1]
            && let Some(name) = crate_at(path, name)
        {
            visit(name, files[1]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::git::wire::pack::{ObjectKind, whole_entry};
    use crate::server::index_copy::receive::tests::{Copy, pack};

    /// Adds an object to the entries of a pack.
    fn add(entries: &mut Vec<bytes::Bytes>, kind: ObjectKind, content: &[u8]) -> ObjectId {
        entries.push(whole_entry(kind, content).unwrap());
        kind.id_of(content)
    }

    fn tree(entries: &[(&str, ObjectId)]) -> Vec<u8> {
        let lines = entries.iter();
        lines
            .flat_map(|(name, id)| [name.as_bytes(), b"\0", id.as_bytes()].concat())
            .collect()
    }

    #[tokio::test]
    async fn directories_are_read_as_deep_as_an_index_has_them_and_no_deeper() {
        let mut entries = Vec::new();
        let file = add(&mut entries, ObjectKind::Blob, b"a line");
        let mut deep = add(&mut entries, ObjectKind::Tree, &tree(&[("100644 f", file)]));
        for _ in 0..50_000 {
            deep = add(&mut entries, ObjectKind::Tree, &tree(&[("40000 de", deep)]));
        }
        let rd = tree(&[("40000 deeper", deep), ("100644 serde", file)]);
        let rd = add(&mut entries, ObjectKind::Tree, &rd);
        let se = add(&mut entries, ObjectKind::Tree, &tree(&[("40000 rd", rd)]));
        let root = tree(&[("40000 de", deep), ("40000 se", se)]);
        let tree = add(&mut entries, ObjectKind::Tree, &root);
        let text = format!(
            "tree {tree}\nauthor a <a@b.example> 1 +0000\ncommitter a <a@b.example> 1 +0000\n\nAll\n"
        );
        let tip = add(&mut entries, ObjectKind::Commit, text.as_bytes());
        let copy = Copy::new();
        copy.index(pack(&entries)).await.unwrap();

        let commit = Commit::parse(&copy.objects.read(tip).unwrap()).unwrap();
        let first = Snapshot::after(None, tip, &commit, copy.objects.clone()).unwrap();
        let second = Snapshot::after(Some(&first), tip, &commit, copy.objects.clone()).unwrap();
        for snapshot in [first, second] {
            let names = snapshot.crates().unwrap();
            assert_eq!(names.len(), 1);
            assert_eq!(names[0].as_str(), "serde");
            assert_eq!(snapshot.file("se/rd/serde").unwrap(), Some(file));
            assert_eq!(snapshot.file("de/de/de/de").unwrap(), None);
        }
    }
}
