//! What a probe remembers until the next one, in a small file beside the switch, and the lock that keeps two apart.

use std::fs::{File, TryLockError};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::error::{Error, Kind, Result};
use crate::index::{Checksum, CrateFile, CrateName, CrateVersion};
use crate::server::cargo_config::{Fallback, Switch, replace};

/// The most that is read of the file.
const LARGEST: u64 = 64 << 10;
/// How often a lock that another process holds is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// What a probe remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// How many probes in a row spoke for a switch.
    pub(super) in_a_row: u32,
    /// Whether they spoke for the mirror: somebody may have switched by hand since.
    pub(super) for_the_mirror: bool,
    /// The mirror said, when it last answered, that crates.io may replace it.
    pub(super) is_open: bool,
    /// For what the configuration was prepared.
    pub(super) fallback: Option<Fallback>,
    /// The entry that crates.io's index had, so that the next request for it is conditional.
    pub(super) entry: Option<Entry>,
}

/// A crate's entry in an index, as far as a probe needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its address.
    pub(super) url: String,
    /// What the next request is conditional on.
    pub(super) etag: Option<String>,
    name: String,
    version: String,
    checksum: String,
}

impl Entry {
    pub(super) fn new(url: &str, etag: Option<String>, file: &CrateFile) -> Self {
        Self {
            url: url.to_owned(),
            etag,
            name: file.name.to_string(),
            version: file.version.to_string(),
            checksum: file.checksum.to_string(),
        }
    }

    /// Returns the crate file; `None` if the file that it was read from is damaged.
    pub(super) fn file(&self) -> Option<CrateFile> {
        Some(CrateFile {
            name: CrateName::new(&self.name).ok()?,
            version: CrateVersion::new(&self.version).ok()?,
            checksum: self.checksum.parse::<Checksum>().ok()?,
        })
    }
}

impl Memory {
    /// Reads it. What is not there or is damaged is forgotten: the next probes learn it again.
    pub(super) fn read(switch: &Switch) -> Self {
        let path = switch.beside("json");
        let Ok(file) = File::open(&path) else {
            return Self::default();
        };
        let mut bytes = Vec::new();
        let read = file.take(LARGEST).read_to_end(&mut bytes);
        let read = read
            .map_err(|error| error.to_string())
            .and_then(|_| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
        read.unwrap_or_else(|error| {
            warn!("{} is damaged and begun anew: {error}", path.display());
            Self::default()
        })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// `config` if it cannot be written.
    pub(super) fn write(&self, switch: &Switch) -> Result<()> {
        let path = switch.beside("json");
        let failed = |error: std::io::Error| {
            Error::new(Kind::Config, format!("cannot write {}", path.display()))
                .because(error)
                .advise("Give this user write access to that directory, and check that its disk is not full.")
        };
        let text = serde_json::to_string(self).map_err(|error| failed(error.into()))?;
        replace(&path, &text).map_err(failed)
    }
}

/// Waits until no other probe works on the switch. The lock is held as long as the file is open.
///
/// # Errors
/// `config` if there can be no lock; `race` if another process held it all the time.
pub(super) async fn lock(switch: &Switch, longest: Duration) -> Result<File> {
    let path = switch.beside("lock");
    let failed = |error: std::io::Error, advice| {
        Error::new(Kind::Config, format!("cannot lock {}", path.display()))
            .because(error)
            .advise(advice)
    };
    // The file is never removed: who had it open would keep the lock of a file that the next process does not find.
    let file = create(&path).map_err(|error| {
        failed(
            error,
            "Give this user write access to that directory: the lock file keeps two probes from running at once.",
        )
    })?;
    let deadline = Instant::now() + longest;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => {
                let advice = "Use a directory on a file system that supports file locks.";
                return Err(failed(error, advice));
            }
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(AGAIN).await,
            Err(TryLockError::WouldBlock) => {
                let message = format!("another probe holds {}", path.display());
                return Err(Error::new(Kind::Race, message)
                    .advise("Try again when the other process has ended."));
            }
        }
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    File::create(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_damaged_file_is_forgotten_and_a_whole_one_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let switch = Switch::new(folder.path().to_owned(), "mirror");
        assert_eq!(Memory::read(&switch), Memory::default());
        let memory = Memory {
            in_a_row: 2,
            for_the_mirror: true,
            ..Memory::default()
        };
        memory.write(&switch).unwrap();
        assert_eq!(Memory::read(&switch), memory);
        for damage in ["", "[]", "{\"in_a_row\":-1}"] {
            std::fs::write(switch.beside("json"), damage).unwrap();
            assert_eq!(Memory::read(&switch), Memory::default(), "{damage}");
        }
    }
}
