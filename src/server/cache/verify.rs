//! `verify`: reads every stored file and compares its checksum with the index's.

use std::fmt;
use std::sync::Arc;

use indicatif::HumanBytes;
use serde::Serialize;

use super::removal::Failed;
use crate::config::ServeConfig;
use crate::count::{counted, is_or_are};
use crate::error::Result;
use crate::index::{CrateFile, ReservedNames, entry, stored_at};
use crate::progress::Progress;
use crate::server::catalog::files::CatalogEntry;
use crate::server::crate_files::{CrateFiles, Verified};
use crate::server::index_copy::{IndexCopy, Snapshot};

/// The result of verifying all files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Whether this was a dry run, in which nothing was removed.
    pub dry_run: bool,
    /// How many files are right.
    pub right: usize,
    /// How many bytes were read.
    pub bytes: u64,
    /// Damaged files; they were removed, unless it is a dry run, and will be fetched again.
    pub damaged: Vec<String>,
    /// Those of the damaged files that stayed because they were being read.
    pub in_use: Vec<String>,
    /// Files whose checksum neither the index nor the catalog knows. They stay, but are never served.
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
    // Without a copy of the index the catalog alone knows checksums.
    let snapshot = IndexCopy::read_only(
        &config.serve.data_dir,
        &config.index.branch,
        // What is hidden may be stored from before, and is verified as all else.
        ReservedNames::default(),
    )
    .ok();
    let entries = files.inventory().entries().await?;
    let mut verification = Verification {
        dry_run,
        ..Verification::default()
    };
    progress.phase("crate files");
    progress.files_to_do(entries.len());
    for stored in &entries {
        match expected(snapshot.as_deref(), stored)? {
            Some(file) => verification.read(files, stored, &file).await,
            None => verification.unknown.push(stored.path.clone()),
        }
        progress.file_done(verification.bytes);
    }
    Ok(verification)
}

/// Returns a stored file with the checksum that it must have, if that is known.
fn expected(snapshot: Option<&Snapshot>, stored: &CatalogEntry) -> Result<Option<CrateFile>> {
    let Some((name, version)) = stored_at(&stored.path) else {
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
    // The index decides; the catalog stands in for versions that the index no longer lists.
    let checksum = listed.or(stored.checksum);
    Ok(checksum.map(|checksum| CrateFile {
        name,
        version,
        checksum,
    }))
}

impl Verification {
    async fn read(&mut self, files: &Arc<CrateFiles>, stored: &CatalogEntry, file: &CrateFile) {
        match files.verify(file, !self.dry_run).await {
            Ok(Verified::Right) => self.right += 1,
            // A server that runs meanwhile may have evicted it: neither right nor damaged.
            Ok(Verified::Absent) => {
                if !self.dry_run {
                    files.inventory().forget(&stored.path).await;
                }
                return;
            }
            Ok(Verified::Damaged { stays }) => {
                let name = file.to_string();
                if stays && !self.dry_run {
                    self.in_use.push(name.clone());
                }
                self.damaged.push(name);
            }
            Err(error) => {
                let (path, why) = (stored.path.clone(), error.to_string());
                self.unreadable.push(Failed { path, why });
                return;
            }
        }
        self.bytes += stored.size;
    }

    /// Says whether all files could be read and none is damaged.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.unreadable.is_empty()
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.damaged {
            let end = if self.dry_run {
                "damaged"
            } else if self.in_use.contains(file) {
                "damaged, but being read; it stays until it is verified or fetched again"
            } else {
                "damaged, removed"
            };
            writeln!(f, "{file}: {end}")?;
        }
        for path in &self.unknown {
            writeln!(
                f,
                "{path}: neither the index nor the catalog knows its checksum; it is never served"
            )?;
        }
        for Failed { path, why } in &self.unreadable {
            writeln!(f, "cannot read {path}: {why}")?;
        }
        let bytes = HumanBytes(self.bytes);
        let (right, are) = (counted(self.right, "crate file"), is_or_are(self.right));
        let damaged = self.damaged.len();
        write!(f, "{right} {are} intact, {damaged} damaged; {bytes} read")?;
        match self.unreadable.len() {
            0 => Ok(()),
            number => write!(f, "; {number} cannot be read"),
        }
    }
}
