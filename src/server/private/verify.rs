//! `private verify`: compares the lines of the index with the stored files.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::files::{PrivateFiles, Unread};
use super::index::PrivateIndex;
use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::Result;
use crate::index::{CrateFile, CrateName, entry};
use crate::progress::Progress;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// How many versions have the file that their line names.
    pub right: usize,
    /// Versions whose file is not stored.
    pub missing: Vec<String>,
    /// Versions whose file has other bytes than those that were published.
    pub damaged: Vec<String>,
    /// Lines that cannot be read: a path in the repository, and the number of the line.
    pub unreadable: Vec<String>,
    /// Files that no line names. A server removes them a day after it has first seen them so.
    pub unlisted: Vec<String>,
}

impl Verification {
    /// Says whether every version has its file.
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty() && self.damaged.is_empty() && self.unreadable.is_empty()
    }
}

/// Fetches the private index, and reads the file of every version.
///
/// # Errors
/// `config` where there is no private index; else as the repository or the store fails.
pub async fn verify(config: &ServeConfig, progress: &Progress) -> Result<Verification> {
    let (index, _folder) = PrivateIndex::open_beside(config).await?;
    let files = PrivateFiles::open(config)?;
    // Before the index: what is published meanwhile is not taken for a file without a line.
    let stored = files.list().await?;
    index.refresh().await?;
    let mut verification = Verification::default();
    let mut named = HashSet::new();
    if let Some(snapshot) = index.snapshot()? {
        let crates = snapshot.crate_files()?;
        progress.phase("private crate files");
        progress.files_to_do(crates.len());
        for (name, id) in crates {
            let content = snapshot.content(id)?;
            verification.unreadable.extend(unreadable(&name, &content));
            for listed in entry::by_version(&content).into_values() {
                verification.read(&files, &listed.file).await?;
                named.insert(listed.file);
            }
            progress.file_done(0);
        }
    }
    let unlisted = stored.into_iter().filter(|stored| {
        stored
            .file
            .as_ref()
            .is_none_or(|file| !named.contains(file))
    });
    verification.unlisted = unlisted.map(|stored| stored.path).collect();
    for list in [
        &mut verification.missing,
        &mut verification.damaged,
        &mut verification.unreadable,
        &mut verification.unlisted,
    ] {
        list.sort();
    }
    Ok(verification)
}

/// Finds the lines of a crate's file that are not those of a version of it.
fn unreadable(name: &CrateName, content: &[u8]) -> Vec<String> {
    let path = name.index_path();
    let is_right = |line: &[u8]| {
        let listed = entry::versions(line).next();
        listed.is_some_and(|listed| listed.file.name.index_path() == path)
    };
    let lines = content.split(|byte| *byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !is_right(line))
        .map(|(number, _)| format!("{path} line {}", number + 1))
        .collect()
}

impl Verification {
    async fn read(&mut self, files: &PrivateFiles, file: &CrateFile) -> Result<()> {
        match files.get(file).await {
            Ok(_) => self.right += 1,
            Err(Unread::Absent) => self.missing.push(file.to_string()),
            Err(Unread::Damaged) => self.damaged.push(file.to_string()),
            Err(Unread::Failed(error)) => return Err(error),
        }
        Ok(())
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with the right file", counted(self.right, "version"))?;
        let lists = [
            (
                &self.missing,
                "missing: the file is not stored; restore it from a backup",
            ),
            (
                &self.damaged,
                "damaged: the file has other bytes; restore it from a backup",
            ),
            (
                &self.unreadable,
                "cannot be read as the line of a version of this crate; cargo leaves it out",
            ),
            (&self.unlisted, "no line of the index names it"),
        ];
        for (list, what) in lists {
            for one in list {
                write!(f, "\n{one}  {what}")?;
            }
        }
        Ok(())
    }
}
