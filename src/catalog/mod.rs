//! What is known about kept crate files: size, checksum, when each was used last, what is pinned. Uses rusqlite.
//!
//! Uses are gathered in memory and written now and then: a use that is lost to a power cut only ages a file. The folder is
//! the truth about what is there; the catalog is made to agree with it at every start.

mod eviction;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _, params};
use tracing::warn;

use crate::error::{Error, Kind, Result};
use crate::index::Checksum;
use crate::store::KeptFile;
pub use eviction::{Limits, plan};

const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    checksum BLOB,
    used INTEGER NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
PRAGMA user_version = 1;";

/// For how long another process may be writing.
const PATIENCE: Duration = Duration::from_secs(10);

/// The catalog of a folder of crate files.
pub struct Catalog {
    database: Mutex<Connection>,
    uses: Mutex<HashMap<String, u64>>,
}

/// What the catalog knows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
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

impl Catalog {
    /// Opens the catalog of a file; one that is damaged is put aside and begun anew.
    ///
    /// # Errors
    /// `config` where the file cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let unusable = |error: rusqlite::Error| {
            Error::new(Kind::Config, format!("cannot use {}", path.display()))
                .because(error)
                .advise("serve.data_dir must be a folder that this user may write.")
        };
        let database = match connect(path) {
            Err(error) if is_damaged(&error) => {
                let aside = path.with_extension("damaged");
                let shown = aside.display();
                warn!(
                    "{}: {error}; it is begun anew, and the old one is {shown}",
                    path.display()
                );
                // What stands in the way of the new one is told when it is made.
                let _ = std::fs::rename(path, aside);
                connect(path).map_err(unusable)?
            }
            opened => opened.map_err(unusable)?,
        };
        Ok(Self {
            database: Mutex::new(database),
            uses: Mutex::default(),
        })
    }

    /// Takes in a file that is kept from now on.
    ///
    /// # Errors
    /// `server` where the database cannot be written.
    pub fn add(&self, path: &str, size: u64, checksum: Checksum) -> Result<()> {
        self.database()
            .execute(
                "INSERT INTO files (path, size, checksum, used) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (path) DO UPDATE SET size = ?2, checksum = ?3, used = max(used, ?4)",
                params![path, size, checksum.as_bytes(), now()],
            )
            .map(drop)
            .map_err(failed)
    }

    /// Takes in that a file was used, in memory.
    pub fn touch(&self, path: String) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.insert(path, now());
    }

    /// Writes the uses that were gathered.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn flush(&self) -> Result<()> {
        let uses = {
            let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *uses)
        };
        let mut database = self.database();
        let change = database.transaction().map_err(failed)?;
        for (path, used) in uses {
            change
                .execute(
                    "UPDATE files SET used = max(used, ?2) WHERE path = ?1",
                    params![path, used],
                )
                .map_err(failed)?;
        }
        change.commit().map_err(failed)
    }

    /// Forgets a file that is gone.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn remove(&self, path: &str) -> Result<()> {
        self.database()
            .execute("DELETE FROM files WHERE path = ?1", [path])
            .map(drop)
            .map_err(failed)
    }

    /// Pins a file, or lets it go; says whether the file is known.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn pin(&self, path: &str, is_pinned: bool) -> Result<bool> {
        self.database()
            .execute(
                "UPDATE files SET pinned = ?2 WHERE path = ?1",
                params![path, is_pinned],
            )
            .map(|changed| changed > 0)
            .map_err(failed)
    }

    /// Returns what a file hashes to, where that is known.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn checksum(&self, path: &str) -> Result<Option<Checksum>> {
        self.database()
            .query_row(
                "SELECT checksum FROM files WHERE path = ?1",
                [path],
                |row| Ok(row.get::<_, Option<[u8; 32]>>(0)?.map(Checksum::from_bytes)),
            )
            .optional()
            .map(Option::flatten)
            .map_err(failed)
    }

    /// Returns all files, in the order of their paths.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn entries(&self) -> Result<Vec<Entry>> {
        self.flush()?;
        let database = self.database();
        let mut query = database
            .prepare("SELECT path, size, checksum, used, pinned FROM files ORDER BY path")
            .map_err(failed)?;
        let rows = query.query_map([], |row| {
            Ok(Entry {
                path: row.get(0)?,
                size: row.get(1)?,
                checksum: row.get::<_, Option<[u8; 32]>>(2)?.map(Checksum::from_bytes),
                used: row.get(3)?,
                is_pinned: row.get(4)?,
            })
        });
        rows.and_then(Iterator::collect).map_err(failed)
    }

    /// Returns the number of files and of their bytes.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn total(&self) -> Result<(u64, u64)> {
        self.database()
            .query_row(
                "SELECT count(*), coalesce(sum(size), 0) FROM files",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(failed)
    }

    /// Makes the catalog agree with the folder, whose files were listed a moment ago: one that came by other ways counts as used
    /// when it was written, and one that is gone is forgotten. Others may be adding files at the same time.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn agree_with(&self, files: &[KeptFile], is_there: impl Fn(&str) -> bool) -> Result<()> {
        let mut database = self.database();
        let change = database.transaction().map_err(failed)?;
        for file in files {
            change
                .execute(
                    "INSERT INTO files (path, size, used) VALUES (?1, ?2, ?3)
                     ON CONFLICT (path) DO UPDATE SET size = ?2",
                    params![file.path, file.size, seconds(file.modified)],
                )
                .map_err(failed)?;
        }
        let listed: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        for path in paths(&change)? {
            if !listed.contains(path.as_str()) && !is_there(&path) {
                change
                    .execute("DELETE FROM files WHERE path = ?1", [&path])
                    .map_err(failed)?;
            }
        }
        change.commit().map_err(failed)
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn paths(database: &Connection) -> Result<Vec<String>> {
    let mut query = database.prepare("SELECT path FROM files").map_err(failed)?;
    let rows = query.query_map([], |row| row.get(0));
    rows.and_then(Iterator::collect).map_err(failed)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(PATIENCE)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    database.execute_batch(SCHEMA)?;
    Ok(database)
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    )
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
