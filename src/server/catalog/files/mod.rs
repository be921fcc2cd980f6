//! The catalog of stored crate files: size, checksum, time of the last use, pins. Uses rusqlite.
//!
//! The folder is the truth about which files there are; the catalog is reconciled with it at every start. Uses are
//! collected in memory and written now and then: one that is lost to a power cut only makes a file seem older. A pin
//! outlives its file. Every change is a small transaction, since several processes write.

mod eviction;
mod last_used;
mod of_crates;
mod reconcile;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Row};

use crate::error::Result;
use crate::index::Checksum;
use crate::server::disk_error::of_database;
pub use eviction::{Limits, Position};

/// The catalog of a folder of crate files.
pub struct Catalog {
    path: PathBuf,
    /// `None` after it was found damaged and could not be recreated, as on a full disk: the next work tries again.
    database: Mutex<Option<Connection>>,
    /// Uses that are not written yet.
    uses: Mutex<HashMap<String, u64>>,
    /// Whether it is a copy in memory, of which nothing is written to the disk.
    is_read_only: bool,
    /// Whether it was recreated, and does not know the files of the folder yet.
    is_new: AtomicBool,
}

/// A file, as the catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    /// Its path in the store.
    pub path: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its SHA-256 checksum, if that is known.
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
    /// Opens a catalog; one that is found damaged, now or later, is put aside and recreated.
    ///
    /// # Errors
    /// `config` if the file cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let opened = schema::connect_or_recreate(path);
        let (database, is_new) = opened.map_err(|error| of_database(path, error))?;
        Ok(Self::new(path, database, false, is_new))
    }

    /// Copies a catalog into memory, where it may change: nothing changes on disk. One that cannot be read is recreated
    /// there.
    ///
    /// # Errors
    /// As [`Catalog::open`].
    pub fn read_only(path: &Path) -> Result<Self> {
        // In memory, since opening and closing a catalog may write: the tables are migrated, and the journal is written
        // back.
        if let Ok(Some(database)) = schema::copy(path) {
            return Ok(Self::new(path, database, true, false));
        }
        let database = schema::in_memory().map_err(|error| of_database(path, error))?;
        Ok(Self::new(path, database, true, true))
    }

    fn new(path: &Path, database: Connection, is_read_only: bool, is_new: bool) -> Self {
        Self {
            path: path.to_owned(),
            database: Mutex::new(Some(database)),
            uses: Mutex::default(),
            is_read_only,
            is_new: AtomicBool::new(is_new),
        }
    }

    /// Says, once, whether the catalog was recreated, and has to be reconciled with the folder.
    pub fn take_is_new(&self) -> bool {
        self.is_new.swap(false, Ordering::Relaxed)
    }

    /// Works with the database; one that turns out to be damaged is recreated, and the work repeated.
    fn run<T>(&self, mut work: impl FnMut(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut place = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut database = match place.take() {
            Some(database) => database,
            None => self
                .reopen()
                .map_err(|error| of_database(&self.path, error))?,
        };
        // `work` may run twice: what it did before the damage showed went with the old database.
        let done = match work(&mut database) {
            Err(error) if crate::server::catalog::is_damaged(&error) => {
                // The damaged database must be closed before another is opened.
                drop(database);
                database = self
                    .recreate(&error)
                    .map_err(|error| of_database(&self.path, error))?;
                work(&mut database)
            }
            done => done,
        };
        *place = Some(database);
        done.map_err(|error| of_database(&self.path, error))
    }

    fn recreate(&self, why: &rusqlite::Error) -> rusqlite::Result<Connection> {
        let database = match self.is_read_only {
            true => schema::in_memory(),
            false => schema::recreate(&self.path, why),
        }?;
        self.is_new.store(true, Ordering::Relaxed);
        Ok(database)
    }

    /// Opens the database again after it could not be recreated: it may have been emptied already.
    fn reopen(&self) -> rusqlite::Result<Connection> {
        let database = match self.is_read_only {
            true => schema::in_memory(),
            false => schema::connect_or_recreate(&self.path).map(|(database, _)| database),
        }?;
        self.is_new.store(true, Ordering::Relaxed);
        Ok(database)
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// Returns a time in nanoseconds since 1970, as the database stores it.
fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
