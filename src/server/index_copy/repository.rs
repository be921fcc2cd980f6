//! The files of a bare repository of one branch.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::server::disk_error::unwritable;
use crate::server::owner_only;

/// The repository, and the name of its branch.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    path: PathBuf,
    branch: String,
    /// Whether other users of the machine may not read it.
    is_private: bool,
}

impl Repository {
    pub(super) fn new(path: PathBuf, branch: &str) -> Self {
        Self {
            path,
            branch: branch.to_owned(),
            is_private: false,
        }
    }

    /// Keeps what is made from now on from other users of the machine, or does not.
    pub(super) fn private(self, is_private: bool) -> Self {
        Self { is_private, ..self }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    pub(super) fn pack_folder(&self) -> PathBuf {
        self.path.join("objects/pack")
    }

    fn branch_file(&self) -> PathBuf {
        self.path.join("refs/heads").join(&self.branch)
    }

    /// Returns the path of the copy that will replace this one.
    pub(super) fn beside(&self) -> Self {
        self.with_ending("new")
    }

    /// Returns the path to which this copy moves while it is being replaced.
    fn before(&self) -> Self {
        self.with_ending("old")
    }

    fn with_ending(&self, ending: &str) -> Self {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{ending}"));
        Self {
            path: path.into(),
            ..self.clone()
        }
    }

    /// Replaces this copy with another one, which is complete.
    pub(super) fn replace_with(&self, beside: &Self) -> Result<()> {
        let before = self.before();
        before.remove()?;
        // Two steps, since a rename cannot replace a directory that is not empty; `recover` undoes the first if the
        // second did not come.
        let moved = fs::rename(&self.path, &before.path)
            .and_then(|()| fs::rename(&beside.path, &self.path));
        moved.map_err(|e| unwritable(&self.path, e))?;
        before.remove()
    }

    /// Finishes or undoes a replacement during which the process was killed.
    pub(super) fn recover(&self) -> Result<()> {
        let before = self.before();
        // Killed between the two renames: the old copy goes back, although the new one is complete. It is fetched
        // again.
        if !self.path.exists() && before.path.exists() {
            fs::rename(&before.path, &self.path).map_err(|e| unwritable(&self.path, e))?;
        }
        before.remove()?;
        self.beside().remove()
    }

    /// Creates what is missing; removes what a killed process left behind, and a copy of another origin.
    pub(super) fn prepare(&self, origin: &str) -> Result<()> {
        // Within quotes git escapes only these.
        let origin = origin.replace('\\', "\\\\").replace('"', "\\\"");
        let config = format!(
            "[core]\n\trepositoryformatversion = 0\n\tbare = true\n[remote \"origin\"]\n\turl = \"{origin}\"\n"
        );
        // Written with the URL in it, as `git clone` does: so the copy itself says where it came from, and can be
        // inspected with git.
        let place = self.path.join("config");
        if fs::read_to_string(&place).is_ok_and(|there| there != config) {
            self.remove()?;
        }
        if self.is_private {
            owner_only::folder(&self.path).map_err(|e| unwritable(&self.path, e))?;
        }
        for folder in ["objects/info", "objects/pack", "refs/heads"] {
            let folder = self.path.join(folder);
            fs::create_dir_all(&folder).map_err(|e| unwritable(&folder, e))?;
        }
        let head = format!("ref: refs/heads/{}\n", self.branch);
        self.write(&self.path.join("HEAD"), &head)?;
        self.write(&place, &config)?;
        self.clean()
    }

    /// Removes temporary files, and packs without an index.
    fn clean(&self) -> Result<()> {
        for path in entries(&self.pack_folder()) {
            let ending = path.extension().and_then(|ending| ending.to_str());
            let is_whole = match ending {
                Some("pack") => path.with_extension("idx").is_file(),
                Some("idx") => path.with_extension("pack").is_file(),
                _ => false,
            };
            // Temporary files of gix and tempfile have no fixed names: whatever is not a whole pack goes.
            if !is_whole {
                fs::remove_file(&path).map_err(|e| unwritable(&path, e))?;
            }
        }
        Ok(())
    }

    /// Removes the repository, if there is one.
    pub(super) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|e| unwritable(&self.path, e)),
        }
    }

    /// Returns the paths of all packs.
    pub(super) fn packs(&self) -> Vec<PathBuf> {
        let mut packs = entries(&self.pack_folder());
        packs.retain(|path| path.extension().is_some_and(|ending| ending == "pack"));
        packs
    }

    /// Returns the commit of the branch; `None` before the first fetch.
    ///
    /// # Errors
    /// `config` if the file is damaged, or cannot be read.
    pub(super) fn branch(&self) -> Result<Option<ObjectId>> {
        let path = self.branch_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let text = format!("cannot read {}", path.display());
                return Err(Error::new(Kind::Config, text).because(error));
            }
        };
        let id = text.trim_end().parse().map_err(|e| {
            Error::new(Kind::Config, format!("{} is damaged", path.display())).because(e)
        })?;
        Ok(Some(id))
    }

    /// Moves the branch to a shallow commit, all of whose objects are on disk.
    pub(super) fn move_branch(&self, tip: ObjectId) -> Result<()> {
        let shallow = self.path.join("shallow");
        // With both commits first: whatever moment a power cut picks, git finds the branch among the shallow commits.
        let before = self.branch().ok().flatten();
        let both: String = before
            .iter()
            .chain([&tip])
            .map(|id| format!("{id}\n"))
            .collect();
        self.write(&shallow, &both)?;
        self.write(&self.branch_file(), &format!("{tip}\n"))?;
        self.write(&shallow, &format!("{tip}\n"))
    }

    /// Writes a file whole or not at all.
    fn write(&self, path: &Path, text: &str) -> Result<()> {
        if fs::read_to_string(path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        let write = || {
            let folder = path.parent().unwrap_or(&self.path);
            fs::create_dir_all(folder)?;
            // In the folder that `clean` clears of what a killed process leaves behind.
            let mut file = NamedTempFile::new_in(self.pack_folder())?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|e| e.error)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|e| unwritable(path, e))
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(folder) else {
        return Vec::new();
    };
    found
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect()
}
