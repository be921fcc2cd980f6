//! Reads every kept file and compares its checksum with the index's.

use std::fmt;
use std::sync::Arc;

use indicatif::HumanBytes;
use serde::Serialize;

use crate::catalog::Entry;
use crate::config::ServeConfig;
use crate::crate_files::CrateFiles;
use crate::error::{Error, Kind, Result};
use crate::index::{Checksum, CrateFile, entry, kept_at};
use crate::index_copy::{IndexCopy, Snapshot};
use crate::progress::Progress;

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
}

pub(super) async fn run(
    config: &ServeConfig,
    files: &Arc<CrateFiles>,
    dry_run: bool,
    progress: &Progress,
) -> Result<Verification> {
    // Without a copy the catalog must do.
    let snapshot = IndexCopy::read_only(&config.serve.data_dir, &config.index.branch).ok();
    let entries = super::entries(files).await?;
    let mut verification = Verification {
        dry_run,
        ..Verification::default()
    };
    for (number, kept) in entries.iter().enumerate() {
        progress.phase(&format!("crate files: {number} of {} read", entries.len()));
        verification.bytes += kept.size;
        let Some(file) = vouched(snapshot.as_deref(), kept)? else {
            verification.unknown.push(kept.path.clone());
            continue;
        };
        let is_right = files.is_right(&file, !dry_run).await.map_err(|error| {
            Error::new(Kind::Server, format!("{}: cannot be read", kept.path)).because(error)
        })?;
        match is_right {
            true => verification.right += 1,
            false => verification.damaged.push(file.to_string()),
        }
    }
    Ok(verification)
}

/// Finds the checksum that a kept file must have.
fn vouched(snapshot: Option<&Snapshot>, kept: &Entry) -> Result<Option<CrateFile>> {
    let Some((name, version)) = kept_at(&kept.path) else {
        return Ok(None);
    };
    let listed = match snapshot {
        Some(snapshot) => match snapshot.file(&name.index_path())? {
            Some(id) => listed(&snapshot.content(id)?, &version.to_string()),
            None => None,
        },
        None => None,
    };
    let checksum = listed.or(kept.checksum);
    Ok(checksum.map(|checksum| CrateFile {
        name,
        version,
        checksum,
    }))
}

fn listed(content: &[u8], version: &str) -> Option<Checksum> {
    let mut files = entry::versions(content).map(|listed| listed.file);
    let file = files.find(|file| file.version.as_str() == version)?;
    Some(file.checksum)
}

impl Verification {
    /// Says whether nothing was damaged.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty()
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
        let bytes = HumanBytes(self.bytes);
        let (right, damaged) = (self.right, self.damaged.len());
        write!(
            f,
            "{right} crate files are right, {damaged} damaged; {bytes} read"
        )
    }
}
