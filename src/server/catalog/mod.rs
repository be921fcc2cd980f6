//! What is known about kept crate files: size, checksum, when each was used last, what is pinned. Uses rusqlite.
//!
//! Uses are gathered in memory and written now and then: a use that is lost to a power cut only ages a file. The folder is
//! the truth about what is there; the catalog is made to agree with it at every start. A pin outlives its file. Every
//! change is a small transaction, since several processes write.

mod eviction;
mod files;
mod last_used;
mod reconcile;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Row};

use crate::error::{Error, Kind, Result};
use crate::index::Checksum;
pub use eviction::{Limits, Position};

/// The catalog of a folder of crate files.
pub struct Catalog {
    path: PathBuf,
    database: Mutex<Connection>,
    uses: Mutex<HashMap<String, u64>>,
    /// It is only looked at: nothing is written to the disk.
    is_read_only: bool,
    /// It was begun anew and knows nothing of what is there.
    is_new: AtomicBool,
}

/// What the catalog knows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    /// Its path in the store.
    pub path: String,
    /// Its size, in bytes.
    pub size: u64,
    /// What its bytes hash to, where that is known.
    pub checksum: Option<Checksum>,
    /// When it was used last, in seconds since 1970.
    pub used: u64,
    /// Whether it is never evicted.
    pub is_pinned: bool,
}

/// The columns of an entry.
const COLUMNS: &str = "path, size, checksum, used, pinned";

impl CatalogEntry {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let checksum = row.get::<_, Option<[u8; 32]>>(2)?;
        Ok(Self {
            path: row.get(0)?,
            size: row.get(1)?,
            checksum: checksum.map(Checksum::from_bytes),
            used: row.get(3)?,
            is_pinned: row.get(4)?,
        })
    }
}

impl Catalog {
    /// Opens the catalog of a file; one that is damaged is put aside and begun anew, then or later.
    ///
    /// # Errors
    /// `config` where the file cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let unusable = |error: rusqlite::Error| unusable(path, error);
        let (database, is_new) = match schema::connect(path) {
            Err(error) if schema::is_damaged(&error) => {
                let database = schema::begin_anew(path, &error).map_err(unusable)?;
                (database, true)
            }
            opened => (opened.map_err(unusable)?, false),
        };
        Ok(Self::new(path, database, false, is_new))
    }

    /// Copies the catalog of a file into memory, where it may change: nothing changes on disk. One that cannot be read is
    /// begun anew there.
    ///
    /// # Errors
    /// As [`Catalog::open`].
    pub fn read_only(path: &Path) -> Result<Self> {
        if let Ok(Some(database)) = schema::copy(path) {
            return Ok(Self::new(path, database, true, false));
        }
        let database = schema::in_memory().map_err(|error| unusable(path, error))?;
        Ok(Self::new(path, database, true, true))
    }

    fn new(path: &Path, database: Connection, is_read_only: bool, is_new: bool) -> Self {
        Self {
            path: path.to_owned(),
            database: Mutex::new(database),
            uses: Mutex::default(),
            is_read_only,
            is_new: AtomicBool::new(is_new),
        }
    }

    /// Says, once, whether the catalog was begun anew: it has to be made to agree with the folder.
    pub fn take_is_new(&self) -> bool {
        self.is_new.swap(false, Ordering::Relaxed)
    }

    /// Works with the database; one that turns out to be damaged is begun anew, and the work done again.
    fn run<T>(&self, mut work: impl FnMut(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut database = self.database();
        let done = match work(&mut database) {
            Err(error) if schema::is_damaged(&error) => {
                // Closed before another is opened.
                *database = Connection::open_in_memory().map_err(failed)?;
                *database = match self.is_read_only {
                    true => schema::in_memory(),
                    false => schema::begin_anew(&self.path, &error),
                }
                .map_err(failed)?;
                self.is_new.store(true, Ordering::Relaxed);
                work(&mut database)
            }
            done => done,
        };
        done.map_err(failed)
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unusable(path: &Path, error: rusqlite::Error) -> Error {
    Error::new(Kind::Config, format!("cannot use {}", path.display()))
        .because(error)
        .advise("serve.data_dir must be a folder that this user may write.")
}

fn failed(error: rusqlite::Error) -> Error {
    Error::new(Kind::Server, "the catalog of crate files cannot be used")
        .because(error)
        .advise("The disk may be full, or serve.data_dir read-only.")
}

/// Returns the seconds since 1970.
pub fn now() -> u64 {
    seconds(SystemTime::now())
}

/// Returns a time in seconds since 1970.
pub fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Returns a time in nanoseconds since 1970, as the database keeps it.
fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
