//! Reads every kept file and compares its checksum with the index's.

use std::fmt;
use std::sync::Arc;

use indicatif::HumanBytes;
use serde::Serialize;

use super::removal::Failed;
use crate::config::ServeConfig;
use crate::error::Result;
use crate::index::{CrateFile, entry, stored_at};
use crate::progress::Progress;
use crate::server::catalog::CatalogEntry;
use crate::server::crate_files::CrateFiles;
use crate::server::index_copy::{IndexCopy, Snapshot};

/// What the check of all files came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Nothing was removed.
    pub dry_run: bool,
    /// How many files are right.
    pub right: usize,
    /// The bytes that were read.
    pub bytes: u64,
    /// Damaged files; they are gone, and will be fetched again.
    pub damaged: Vec<String>,
    /// Files that nobody vouches for: neither the index nor the catalog knows their checksum. They stay, and are never served.
    pub unknown: Vec<String>,
    /// Files that could not be read, and why.
    pub unreadable: Vec<Failed>,
}

pub(super) async fn run(
    config: &ServeConfig,
    files: &Arc<CrateFiles>,
    dry_run: bool,
    progress: &Progress,
) -> Result<Verification> {
    // Without a copy the catalog must do.
    let snapshot = IndexCopy::read_only(&config.serve.data_dir, &config.index.branch).ok();
    let entries = files.inventory().entries().await?;
    let mut verification = Verification {
        dry_run,
        ..Verification::default()
    };
    progress.phase("crate files");
    progress.files_to_do(entries.len());
    for kept in &entries {
        match vouched(snapshot.as_deref(), kept)? {
            Some(file) => verification.read(files, kept, &file).await,
            None => verification.unknown.push(kept.path.clone()),
        }
        progress.file_done(verification.bytes);
    }
    Ok(verification)
}

/// Finds the checksum that a kept file must have.
fn vouched(snapshot: Option<&Snapshot>, kept: &CatalogEntry) -> Result<Option<CrateFile>> {
    let Some((name, version)) = stored_at(&kept.path) else {
        return Ok(None);
    };
    let listed = match snapshot {
        Some(snapshot) => match snapshot.file(&name.index_path())? {
            Some(id) => entry::find(&snapshot.content(id)?, version.as_str()),
            None => None,
        },
        None => None,
    };
    let listed = listed.map(|file| file.checksum);
    let checksum = listed.or(kept.checksum);
    Ok(checksum.map(|checksum| CrateFile {
        name,
        version,
        checksum,
    }))
}

impl Verification {
    async fn read(&mut self, files: &Arc<CrateFiles>, kept: &CatalogEntry, file: &CrateFile) {
        let right = match files.inventory().store().has(&kept.path).await {
            Ok(true) => files.verify(file, !self.dry_run).await,
            Ok(false) => {
                if !self.dry_run {
                    files.inventory().forget(&kept.path).await;
                }
                return;
            }
            Err(error) => Err(error),
        };
        match right {
            Ok(true) => self.right += 1,
            Ok(false) => self.damaged.push(file.to_string()),
            Err(error) => {
                let (path, why) = (kept.path.clone(), error.to_string());
                self.unreadable.push(Failed { path, why });
                return;
            }
        }
        self.bytes += kept.size;
    }

    /// Says whether all files could be read and none was damaged.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.unreadable.is_empty()
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.damaged {
            let end = if self.dry_run {
                "damaged"
            } else {
                "damaged, removed"
            };
            writeln!(f, "{file}: {end}")?;
        }
        for path in &self.unknown {
            writeln!(f, "{path}: nobody vouches for it; it is never served")?;
        }
        for Failed { path, why } in &self.unreadable {
            writeln!(f, "{path}: cannot be read: {why}")?;
        }
        let bytes = HumanBytes(self.bytes);
        let (right, damaged) = (self.right, self.damaged.len());
        write!(
            f,
            "{right} crate files are right, {damaged} damaged; {bytes} read"
        )?;
        match self.unreadable.len() {
            0 => Ok(()),
            number => write!(f, "; {number} cannot be read"),
        }
    }
}
