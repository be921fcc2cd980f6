//! What a killed push leaves in a repository, and how the next one tells it from what a running push still needs.
//!
//! A note says whose it is, and its process holds a lock on it (`flock`) for as long as it lives, which the kernel gives back
//! whatever ends the process. So a note of ours that can be locked is a dead process's. A process id would not tell: another
//! machine or container may write to the repository as well, and ids are given out again.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// How the folders of quarantines begin: as git names its own, so that `git prune` removes them, too.
pub(super) const QUARANTINE: &str = "tmp_objdir-incoming-";

/// The note in the folder of a quarantine.
const NOTE: &str = "crates-ferry";

/// Ends what a note of ours says; no note is longer than this and a process id.
const OURS: &str = " of crates-ferry\n";

/// A file that says that this process is at work; dropping it removes the file.
#[must_use]
pub(super) struct Note {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl Note {
    /// Leaves a note where there is no file yet; `None` where there is one.
    ///
    /// It appears with its content and locked, by way of the folder `aside` on the same file system.
    pub(super) fn leave(path: PathBuf, aside: &Path) -> io::Result<Option<Self>> {
        let mut file = NamedTempFile::new_in(aside)?;
        // Whoever pushes next may be another user, and has to read it.
        file.as_file()
            .set_permissions(Permissions::from_mode(0o444))?;
        write!(file, "receive-pack {}{OURS}", std::process::id())?;
        // A file system without locks: nobody else can lock it either, so that the note counts as that of a live process.
        if let Err(error) = file.as_file().try_lock() {
            tracing::debug!("cannot lock {}: {error}", path.display());
        }
        match file.persist_noclobber(&path) {
            Ok(file) => Ok(Some(Self { path, _file: file })),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error.error),
        }
    }

    /// Leaves a note in the folder of a quarantine.
    pub(super) fn leave_in(folder: &Path) -> io::Result<Option<Self>> {
        Self::leave(folder.join(NOTE), folder)
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            // A quarantine's goes with its folder.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("cannot remove {}: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

/// Removes from a repository's `objects` what dead processes of ours left: their quarantines, and the `.keep` beside packs that
/// no ref led to yet, for which `git gc` would leave those packs as they are for ever.
///
/// Never fails: a push does not depend on it, and the next one tries again.
pub(super) fn remove(objects: &Path) {
    for folder in entries(objects, |name| name.starts_with(QUARANTINE)) {
        if let Some(_lock) = abandoned(&folder.join(NOTE)) {
            log(&folder, fs::remove_dir_all(&folder));
        }
    }
    for keep in entries(&objects.join("pack"), |name| name.ends_with(".keep")) {
        if let Some(_lock) = abandoned(&keep) {
            log(&keep, fs::remove_file(&keep));
        }
    }
}

fn entries(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&is_meant))
        .map(|entry| entry.path())
        .collect()
}

/// Returns a note of ours that no living process holds, locked; `None` for any other file.
fn abandoned(path: &Path) -> Option<File> {
    let mut file = File::open(path).ok()?;
    let mut said = String::new();
    (&mut file).take(100).read_to_string(&mut said).ok()?;
    let is_ours = said.starts_with("receive-pack ") && said.ends_with(OURS);
    (is_ours && file.try_lock().is_ok()).then_some(file)
}

fn log(path: &Path, removed: io::Result<()>) {
    let path = path.display();
    match removed {
        Ok(()) => tracing::info!("removed {path}, which a push that was killed left behind"),
        Err(error) => tracing::debug!("cannot remove {path}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_notes_of_ours_that_nobody_holds_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let objects = folder.path();
        let pack = objects.join("pack");
        fs::create_dir(&pack).unwrap();
        let held = Note::leave(pack.join("held.keep"), objects)
            .unwrap()
            .unwrap();
        let dead = "receive-pack 4194999 of crates-ferry\n";
        fs::write(pack.join("dead.keep"), dead).unwrap();
        fs::write(pack.join("git.keep"), "receive-pack 1 on a.example").unwrap();
        fs::write(pack.join("person.keep"), "").unwrap();
        let quarantine = |name: &str| {
            let path = objects.join(format!("{QUARANTINE}{name}"));
            fs::create_dir(&path).unwrap();
            path
        };
        let (living, died, gits) = (quarantine("a"), quarantine("b"), quarantine("c"));
        let _note = Note::leave_in(&living).unwrap().unwrap();
        fs::write(died.join(NOTE), dead).unwrap();
        remove(objects);
        let exist = |paths: &[&Path]| paths.iter().map(|path| path.exists()).collect::<Vec<_>>();
        let keeps =
            ["held", "dead", "git", "person"].map(|name| pack.join(name).with_extension("keep"));
        let keeps: Vec<&Path> = keeps.iter().map(PathBuf::as_path).collect();
        assert_eq!(exist(&keeps), [true, false, true, true]);
        assert_eq!(exist(&[&living, &died, &gits]), [true, false, true]);
        drop(held);
        assert!(!keeps[0].exists());
    }
}
