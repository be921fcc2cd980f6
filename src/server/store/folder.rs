//! A store in a folder.

use std::fs::{self, DirEntry, File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::Content;
use crate::index::stored_at;

/// The prefix of files that are being written.
const UNFINISHED: &str = ".unfinished-";

/// The permissions of files: other programs may read the store, but no secrets.
pub(super) const FOR_ALL: u32 = 0o644;
pub(super) const FOR_OWNER: u32 = 0o600;

/// A folder of crate files, whose paths are below it.
#[derive(Debug, Clone)]
pub struct StoreFolder {
    path: PathBuf,
}

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its path in the store.
    pub path: String,
    /// Its size, in bytes.
    pub size: u64,
    /// When it was written.
    pub modified: SystemTime,
}

impl StoredFile {
    fn of(path: String, about: &Metadata) -> io::Result<Self> {
        Ok(Self {
            path,
            size: about.len(),
            modified: about.modified()?,
        })
    }
}

/// What became of a file that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It was removed.
    Gone,
    /// It was not there.
    Absent,
    /// It stays: it is being read, or was just replaced.
    InUse,
}

impl StoreFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether the folder is empty or missing, as on a disk that is not mounted.
    pub fn is_empty(&self) -> bool {
        fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_none())
            || !self.path.is_dir()
    }

    /// Returns the path of a file on disk.
    pub fn place(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// Opens a file with a shared lock, which protects it from [`StoreFolder::remove`] while it is open.
    pub(super) async fn get(&self, path: &str) -> io::Result<Option<File>> {
        let (folder, path) = (self.clone(), path.to_owned());
        blocking(move || folder.open(&path)).await
    }

    /// Opens a file as [`super::Store::get`] does, on this thread.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn open(&self, path: &str) -> io::Result<Option<File>> {
        match File::open(self.place(path)) {
            Ok(file) => {
                // If the lock is refused the file is being removed, and stays readable.
                let _ = file.try_lock_shared();
                Ok(Some(file))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a file beside its place and then renames it; file and folder are synced, so that a power cut leaves it
    /// whole.
    pub(super) async fn put(&self, path: &str, content: Content<'_>) -> io::Result<()> {
        let place = self.place(path);
        match content {
            Content::Bytes(bytes) => {
                let write = move |file: &mut NamedTempFile| file.write_all(&bytes);
                blocking(move || put(&place, write)).await
            }
            Content::File(from) => {
                let from = from.to_owned();
                blocking(move || move_here(&from, &place)).await
            }
        }
    }

    /// Creates a file as [`StoreFolder::put`] writes one, unless there is one already.
    pub(super) async fn create_new(&self, path: &str, bytes: Bytes, mode: u32) -> io::Result<bool> {
        let place = self.place(path);
        blocking(move || {
            let folder = place.parent().unwrap_or(&place);
            let mut file = unfinished(folder)?;
            if mode != FOR_ALL {
                let permissions = Permissions::from_mode(mode);
                file.as_file().set_permissions(permissions)?;
            }
            file.write_all(&bytes)?;
            file.as_file().sync_all()?;
            match file.persist_noclobber(&place) {
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error.error),
                Ok(_) => File::open(folder)?.sync_all().map(|()| true),
            }
        })
        .await
    }

    pub(super) async fn set_aside(&self, path: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.place(path), self.place(to));
        blocking(move || {
            if !from.exists() {
                return Ok(());
            }
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            match fs::rename(&from, &to) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                renamed => renamed,
            }
        })
        .await
    }

    pub(super) async fn names_from(&self, folder: &str, first: &str) -> io::Result<Vec<String>> {
        let (root, first) = (self.place(folder), first.to_owned());
        blocking(move || {
            let mut found = Vec::new();
            let is_wanted = |name: &str| name >= first.as_str();
            walk(&root, "", &is_wanted, &mut |path, _| {
                found.push(path);
                Ok(())
            })?;
            Ok(found)
        })
        .await
    }

    /// Removes a file, unless it is being read.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn remove(&self, path: &str) -> io::Result<Removed> {
        let place = self.place(path);
        let file = match File::open(&place) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Removed::Absent),
            Err(error) => return Err(error),
        };
        // If the file system has no locks, as some on the network, readers still have the file to its end.
        let is_read = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        if is_read || !is_same(&file, &place) {
            return Ok(Removed::InUse);
        }
        fs::remove_file(&place).map(|()| Removed::Gone)
    }

    /// Removes a file as [`StoreFolder::remove`] does, on a thread that may block.
    pub(super) async fn remove_later(&self, path: &str) -> io::Result<Removed> {
        let (folder, path) = (self.clone(), path.to_owned());
        blocking(move || folder.remove(&path)).await
    }

    /// Returns the size and time of a file; `None` if it is not stored.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn about(&self, path: &str) -> io::Result<Option<StoredFile>> {
        match fs::metadata(self.place(path)) {
            Ok(about) if !about.is_file() => Ok(None),
            Ok(about) => StoredFile::of(path.to_owned(), &about).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says whether a file is known to be missing: a disk that cannot tell does not count as that.
    pub fn lacks(&self, path: &str) -> bool {
        matches!(self.about(path), Ok(None))
    }

    pub(super) async fn size(&self, path: &str) -> io::Result<Option<u64>> {
        let (folder, path) = (self.clone(), path.to_owned());
        let about = blocking(move || folder.about(&path)).await?;
        Ok(about.map(|about| about.size))
    }

    pub(super) async fn modified(&self, path: &str) -> io::Result<Option<SystemTime>> {
        let (folder, path) = (self.clone(), path.to_owned());
        let about = blocking(move || folder.about(&path)).await?;
        Ok(about.map(|about| about.modified))
    }

    pub(super) async fn every_file(&self) -> io::Result<Vec<StoredFile>> {
        let root = self.path.clone();
        blocking(move || list(&root, |_| true)).await
    }

    pub(super) async fn list(&self) -> io::Result<Vec<StoredFile>> {
        let root = self.path.clone();
        blocking(move || list(&root, |path| stored_at(path).is_some())).await
    }

    /// Removes unfinished files that a killed process left behind; those that are being written stay.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn clean(&self) -> io::Result<()> {
        clean(&self.path)
    }
}

/// Removes the unfinished files below a folder that nobody is writing.
fn clean(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let is_unfinished = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        if entry.file_type()?.is_dir() {
            clean(&path)?;
        } else if is_unfinished && is_left_behind(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Says whether nobody has a file locked. NFS grants an exclusive lock only to a file that is open for writing.
fn is_left_behind(path: &Path) -> bool {
    let file = File::options().write(true).open(path);
    file.is_ok_and(|file| file.try_lock().is_ok())
}

/// Says whether a path still leads to this open file: it may have been replaced meanwhile.
fn is_same(file: &File, place: &Path) -> bool {
    let inode = |about: Metadata| (about.dev(), about.ino());
    let there = fs::metadata(place).ok().map(inode);
    there.is_some() && file.metadata().ok().map(inode) == there
}

/// Creates a file with a name that is no crate file's, locked while it is open.
pub(super) fn unfinished(folder: &Path) -> io::Result<NamedTempFile> {
    fs::create_dir_all(folder)?;
    let file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        // tempfile's own default is 0600, and other programs may read the store, too.
        .permissions(Permissions::from_mode(FOR_ALL))
        .tempfile_in(folder)?;
    file.as_file().lock_shared()?;
    Ok(file)
}

fn put(place: &Path, write: impl FnOnce(&mut NamedTempFile) -> io::Result<()>) -> io::Result<()> {
    let folder = place.parent().unwrap_or(place);
    let mut file = unfinished(folder)?;
    write(&mut file)?;
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

fn move_here(from: &Path, place: &Path) -> io::Result<()> {
    let folder = place.parent().unwrap_or(place);
    fs::create_dir_all(folder)?;
    // Before the rename: a power cut after it could leave a name without bytes.
    File::open(from)?.sync_all()?;
    match fs::rename(from, place) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => put(place, |file| {
            io::copy(&mut File::open(from)?, file)?;
            fs::remove_file(from)
        }),
        moved => {
            moved?;
            File::open(folder)?.sync_all()
        }
    }
}

/// Lists the files below a folder whose paths are wanted.
fn list(root: &Path, is_wanted: impl Fn(&str) -> bool) -> io::Result<Vec<StoredFile>> {
    let mut found = Vec::new();
    walk(root, "", &|_| true, &mut |path, entry| {
        if is_wanted(&path) {
            match fs::metadata(entry.path()) {
                Ok(about) => found.push(StoredFile::of(path, &about)?),
                // Another process may have evicted it meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // The other files are listed all the same.
                Err(error) => warn!("{}: {error}", entry.path().display()),
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Visits the finished files below a folder with their paths, those whose first part is wanted.
fn walk(
    folder: &Path,
    prefix: &str,
    is_wanted: &dyn Fn(&str) -> bool,
    visit: &mut dyn FnMut(String, DirEntry) -> io::Result<()>,
) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // No file of the store has a name that is not UTF-8.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with(UNFINISHED) || !is_wanted(&name) {
            continue;
        }
        let path = format!("{prefix}{name}");
        match entry.file_type()?.is_dir() {
            true => walk(&entry.path(), &format!("{path}/"), &|_| true, visit)?,
            false => visit(path, entry)?,
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A folder for temporary files; a process that is killed leaves some behind.
#[derive(Debug, Clone)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates the folder, and removes what a killed process left there.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        clean(&path)?;
        Ok(Self(path))
    }

    /// Uses the folder as it is, if there is one.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Creates a file, which is removed when it is dropped.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn file(&self) -> io::Result<NamedTempFile> {
        unfinished(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_file_is_created_once_and_found_from_its_name_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = StoreFolder::new(folder.path().join("store"));
        let names = async |first| {
            let mut names = store.names_from("state/seen", first).await.unwrap();
            names.sort();
            names
        };
        assert!(names("2026-01-01").await.is_empty());
        for (path, bytes) in [
            ("state/seen/2026-01-01/a", "one"),
            ("state/seen/2026-01-02/b", "two"),
            ("state/seen/2026-01-02/b", "three"),
        ] {
            store.create_new(path, bytes.into(), FOR_ALL).await.unwrap();
        }
        assert_eq!(names("2026-01-01").await, ["2026-01-01/a", "2026-01-02/b"]);
        assert_eq!(names("2026-01-02").await, ["2026-01-02/b"]);
        let kept = fs::read(store.place("state/seen/2026-01-02/b")).unwrap();
        assert_eq!(kept, b"two");
        // Neither is a crate file.
        assert!(store.list().await.unwrap().is_empty());
    }
}
