//! What a `.crate` file has in it: its manifest, its README and its files, read within bounds.
//!
//! A `.crate` is a gzipped tar archive of regular files below the folder `NAME-VERSION`. Whoever published the crate made it:
//! nothing of it is written to a disk, and what cargo does not make is refused.

mod bounds;
mod entries;
pub(in crate::server) mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

pub use entries::ArchivedFile;
use entries::{Archived, Wanted, walk};
pub use manifest::{Manifest, Readme};

use crate::index::{CrateName, CrateVersion};
use crate::shown::printable;

/// The manifest, as cargo rewrote it for the registry.
const MANIFEST: &str = "Cargo.toml";
/// What cargo takes for a README where the manifest does not say, in its order.
const READMES: [&str; 3] = ["README.md", "README.txt", "README"];

/// What is wrong with a `.crate` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArchiveError(String);

impl ArchiveError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Makes it of an error of a library, whose text may repeat what it read.
    pub(in crate::server) fn of(what: &str, error: impl ToString) -> Self {
        let why: String = error.to_string().chars().take(200).collect();
        Self(format!("{what}: {}", printable(&why)))
    }
}

/// The bytes of a file in an archive, as far as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The first of them.
    pub bytes: Vec<u8>,
    /// How many there are in all.
    pub size: u64,
}

impl Content {
    /// Says whether bytes were left out at the end.
    pub fn is_cut(&self) -> bool {
        self.size > self.bytes.len() as u64
    }

    /// Returns the text; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        let whole = match self.bytes.utf8_chunks().last() {
            // A letter that was cut in two is left out.
            Some(last) if self.is_cut() => self.bytes.len() - last.invalid().len(),
            _ => self.bytes.len(),
        };
        String::from_utf8_lossy(&self.bytes[..whole]).into_owned()
    }
}

/// The path of a README, and what is in it.
pub type ReadmeFile = (String, Content);

/// All files of a crate, and what is in some of them, by their paths.
pub type FilesWithContents = (Vec<ArchivedFile>, BTreeMap<String, Content>);

/// A `.crate` file that is read. Each question reads it from its beginning to its end.
pub struct CrateArchive<R> {
    file: R,
    /// The folder that all is in.
    root: String,
}

impl<R: Read + Seek> CrateArchive<R> {
    /// Takes the file of this version; nothing is read yet.
    pub fn new(file: R, name: &CrateName, version: &CrateVersion) -> Self {
        let root = format!("{name}-{version}");
        Self { file, root }
    }

    /// Lists the files, in the order of the archive.
    ///
    /// # Errors
    /// What is wrong with the archive, in this file or another one.
    pub fn files(&mut self) -> Result<Vec<ArchivedFile>, ArchiveError> {
        Ok(self.read(&[])?.files)
    }

    /// Reads a file, the first 1 MiB of it; `None` where there is none.
    ///
    /// # Errors
    /// As [`CrateArchive::files`].
    pub fn file(&mut self, path: &str) -> Result<Option<Content>, ArchiveError> {
        Ok(self.read(&[path])?.kept.remove(path))
    }

    /// Reads the manifest.
    ///
    /// # Errors
    /// As [`CrateArchive::files`], and what is wrong with the manifest.
    pub fn manifest(&mut self) -> Result<Manifest, ArchiveError> {
        manifest_of(&self.read(&[MANIFEST])?.kept)
    }

    /// Lists the files with their checksums, in the order of the archive.
    ///
    /// # Errors
    /// As [`CrateArchive::files`].
    pub fn checksums(&mut self) -> Result<Vec<ArchivedFile>, ArchiveError> {
        Ok(self.read_as(&Wanted::checksums())?.files)
    }

    /// Lists the files, and reads some of them, the first 1 MiB of each; those that are not there are left out.
    ///
    /// # Errors
    /// As [`CrateArchive::files`].
    pub fn contents(&mut self, paths: &[&str]) -> Result<FilesWithContents, ArchiveError> {
        let Archived { files, kept } = self.read(paths)?;
        Ok((files, kept))
    }

    /// Reads the README that the manifest names, or that lies where cargo looks for one, the first 1 MiB of it; `None`
    /// where there is none.
    ///
    /// # Errors
    /// As [`CrateArchive::manifest`].
    pub fn readme(&mut self) -> Result<Option<Content>, ArchiveError> {
        let (readme, _) = self.readme_with_files()?;
        Ok(readme.map(|(_, content)| content))
    }

    /// Reads the README as [`CrateArchive::readme`] does, with its path, and lists all files.
    ///
    /// # Errors
    /// As [`CrateArchive::manifest`].
    pub fn readme_with_files(
        &mut self,
    ) -> Result<(Option<ReadmeFile>, Vec<ArchivedFile>), ArchiveError> {
        let wanted: Vec<_> = READMES.into_iter().chain([MANIFEST]).collect();
        let Archived { files, mut kept } = self.read(&wanted)?;
        let named = match manifest_of(&kept)?.readme {
            Readme::At(path) => path,
            Readme::None => return Ok((None, files)),
            Readme::Unsaid => {
                let found = READMES.iter().find_map(|path| kept.remove_entry(*path));
                return Ok((found, files));
            }
        };
        let found = match kept.remove(&named) {
            Some(content) => Some(content),
            // Mostly it is called as it always is: only here the archive is read again.
            None if READMES.contains(&named.as_str()) => None,
            None => self.file(&named)?,
        };
        Ok((found.map(|content| (named, content)), files))
    }

    fn read(&mut self, paths: &[&str]) -> Result<Archived, ArchiveError> {
        self.read_as(&Wanted::files(paths))
    }

    fn read_as(&mut self, wanted: &Wanted<'_>) -> Result<Archived, ArchiveError> {
        let rewound = self.file.seek(SeekFrom::Start(0));
        rewound.map_err(|error| ArchiveError::of("the file cannot be read", error))?;
        walk(&mut self.file, &self.root, wanted)
    }
}

fn manifest_of(kept: &BTreeMap<String, Content>) -> Result<Manifest, ArchiveError> {
    let content = kept.get(MANIFEST);
    let content = content.ok_or_else(|| ArchiveError::new("there is no Cargo.toml in it"))?;
    // Of one that was cut the rest is missed.
    Manifest::parse(&content.bytes)
}
