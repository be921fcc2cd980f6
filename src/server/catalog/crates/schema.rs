//! The tables of what is known about crates. All of it can be made again, so a database of another version, or a damaged
//! one, is removed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tracing::{debug, warn};

use crate::server::catalog::is_damaged;

/// Counts the versions of the tables.
const VERSION: u32 = 2;

/// How long to wait for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// An id is the crate's place by weight when the database was built, the heaviest first, so that what SQLite finds by id
/// comes in a good order; crates that came later follow. `entry` is the git blob of the crate's file in the index, from which
/// the row was made. Times are seconds since 1970. `words` holds no text of its own, since the other tables have it.
const TABLES: &str = "
    CREATE TABLE crates (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        entry BLOB NOT NULL,
        versions INTEGER NOT NULL,
        default_version TEXT NOT NULL,
        newest_version TEXT NOT NULL,
        max_version TEXT,
        max_stable_version TEXT,
        is_yanked INTEGER NOT NULL,
        rust_version TEXT,
        created INTEGER,
        updated INTEGER,
        dependents INTEGER NOT NULL DEFAULT 0,
        downloads INTEGER,
        recent_downloads INTEGER,
        description TEXT,
        keywords TEXT NOT NULL DEFAULT '',
        categories TEXT NOT NULL DEFAULT '',
        license TEXT,
        homepage TEXT,
        documentation TEXT,
        repository TEXT,
        described TEXT
    );
    CREATE UNIQUE INDEX by_name ON crates (name COLLATE NOCASE);
    CREATE TABLE dependencies (
        dependency INTEGER NOT NULL,
        dependent INTEGER NOT NULL,
        PRIMARY KEY (dependency, dependent)
    ) WITHOUT ROWID;
    CREATE INDEX by_dependent ON dependencies (dependent);
    CREATE VIRTUAL TABLE words USING fts5(
        name, keywords, description,
        content = '', contentless_delete = 1, detail = none, prefix = '2 3 4 5',
        tokenize = 'porter unicode61 remove_diacritics 2'
    );
";

/// Opens the database for writing, and creates it where there is none that can be used.
pub(super) fn connect_or_recreate(path: &Path) -> rusqlite::Result<Connection> {
    match connect(path) {
        Ok(Some(database)) => Ok(database),
        Ok(None) => recreate(path),
        Err(error) if is_damaged(&error) => {
            let shown = path.display();
            debug!("{shown}: {error}");
            warn!("{shown} is damaged, or no database; making it again from the index");
            recreate(path)
        }
        Err(error) => Err(error),
    }
}

/// Opens the database for reading.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.pragma_update(None, "query_only", true)?;
    Ok(database)
}

/// Returns `None` where the tables are of another version.
fn connect(path: &Path) -> rusqlite::Result<Option<Connection>> {
    let database = Connection::open(path)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    // Readers do not wait for the writer, and a power cut undoes at most the last update.
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    let version: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        VERSION => Ok(Some(database)),
        0 => {
            database.execute_batch(&format!(
                "BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT"
            ))?;
            Ok(Some(database))
        }
        _ => Ok(None),
    }
}

fn recreate(path: &Path) -> rusqlite::Result<Connection> {
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        // What prevents a new one is reported when it is created.
        let _ = fs::remove_file(file);
    }
    let made = connect(path)?;
    made.ok_or(rusqlite::Error::QueryReturnedNoRows)
}
