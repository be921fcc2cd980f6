//! The tables of what is known about crates. All of it can be made again, so a database of another version, or a damaged
//! one, is removed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, access};
use tracing::{debug, warn};
use url::Url;

use crate::server::catalog::is_damaged;

/// Counts the versions of the tables.
const VERSION: u32 = 3;

/// How long to wait for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How much memory a large change takes for what is not written yet, in KiB.
const IMPORT_CACHE: i64 = 16 << 10;

/// An id is the crate's place by weight when the database was built, the heaviest first, so that what SQLite finds by id
/// comes in a good order; crates that came later follow, and none moves while a server knows its id. `entry` is the git blob of the crate's file in the index, from which
/// the row was made. Times are seconds since 1970. `words` holds no text of its own, since the other tables have it.
///
/// `described` is the version whose crate file said what the crate is, and `is_dumped` says that the dump did. `versions`, `owners`,
/// `accounts` and `imports` are the dump's, and so are name, description and time of a label. A label is a keyword (kind 0) or a
/// category (kind 1), an owner a user (kind 0) or a team (kind 1), as in the dump. Of `imports` one row is the dump that was imported,
/// and another, with `is_left`, the one that a source had since and that was left.
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
        described TEXT,
        is_dumped INTEGER NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX by_name ON crates (name COLLATE NOCASE);
    CREATE TABLE dependencies (
        dependency INTEGER NOT NULL,
        dependent INTEGER NOT NULL,
        PRIMARY KEY (dependency, dependent)
    ) WITHOUT ROWID;
    CREATE INDEX by_dependent ON dependencies (dependent);
    CREATE TABLE versions (
        crate INTEGER NOT NULL,
        num TEXT NOT NULL,
        created INTEGER,
        downloads INTEGER,
        size INTEGER,
        license TEXT,
        PRIMARY KEY (crate, num)
    ) WITHOUT ROWID;
    CREATE TABLE labels (
        kind INTEGER NOT NULL,
        label TEXT NOT NULL,
        name TEXT,
        description TEXT,
        created INTEGER,
        crates INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (kind, label)
    ) WITHOUT ROWID;
    CREATE TABLE crate_labels (
        kind INTEGER NOT NULL,
        label TEXT NOT NULL,
        crate INTEGER NOT NULL,
        PRIMARY KEY (kind, label, crate)
    ) WITHOUT ROWID;
    CREATE INDEX labels_of ON crate_labels (crate);
    CREATE TRIGGER labelled AFTER INSERT ON crate_labels BEGIN
        INSERT INTO labels (kind, label, crates) VALUES (new.kind, new.label, 1)
        ON CONFLICT (kind, label) DO UPDATE SET crates = crates + 1;
    END;
    CREATE TRIGGER unlabelled AFTER DELETE ON crate_labels BEGIN
        UPDATE labels SET crates = crates - 1 WHERE kind = old.kind AND label = old.label;
    END;
    CREATE TABLE owners (
        crate INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        account INTEGER NOT NULL,
        PRIMARY KEY (crate, kind, account)
    ) WITHOUT ROWID;
    CREATE INDEX owned_by ON owners (kind, account);
    CREATE TABLE accounts (
        kind INTEGER NOT NULL,
        id INTEGER NOT NULL,
        login TEXT NOT NULL,
        name TEXT,
        avatar TEXT,
        PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
    CREATE TABLE imports (
        source TEXT NOT NULL,
        tag TEXT,
        modified TEXT,
        made INTEGER,
        imported INTEGER NOT NULL,
        is_left INTEGER NOT NULL
    );
    CREATE VIRTUAL TABLE words USING fts5(
        name, keywords, description,
        content = '', contentless_delete = 1, detail = none, prefix = '2 3 4 5',
        tokenize = 'porter unicode61 remove_diacritics 2'
    );
";

/// Opens the database for writing, and reads of it what is kept in memory; creates it where there is none that can be used.
pub(super) fn read_or_recreate<T>(
    path: &Path,
    read: impl Fn(Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // Damage may show only where more is read than the first page.
    let opened = connect(path).and_then(|database| database.map(&read).transpose());
    match opened {
        Ok(Some(done)) => Ok(done),
        Ok(None) => recreate(path).and_then(read),
        Err(error) if is_damaged(&error) => {
            let shown = path.display();
            debug!("{shown}: {error}");
            warn!("{shown} is damaged, or no database; making it again from the index");
            recreate(path).and_then(read)
        }
        Err(error) => Err(error),
    }
}

/// Opens the database for a large change, which no other one here does at the same time.
pub(super) fn importer(path: &Path) -> rusqlite::Result<Connection> {
    let database = open(path)?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    database.pragma_update(None, "cache_size", -IMPORT_CACHE)?;
    Ok(database)
}

/// Says whether the database can be changed, or lies on a disk that is only read.
pub(super) fn is_writable(path: &Path) -> bool {
    let whole = std::path::absolute(path).ok();
    let folder = whole.as_deref().and_then(Path::parent);
    folder.is_none_or(|folder| access(folder, Access::WRITE_OK).is_ok())
}

/// Opens a database that is there. Beside one that is only read SQLite cannot make the files by which it shares one; where there is
/// no log, and so nobody who writes, it needs none.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let whole = std::path::absolute(path).ok();
    let address = whole.filter(|_| !is_writable(path));
    let database = match address.and_then(|path| Url::from_file_path(path).ok()) {
        None => Connection::open_with_flags(path, flags)?,
        Some(mut address) => {
            let log = path.with_extension("sqlite-wal");
            let is_shared = fs::metadata(log).is_ok_and(|log| log.len() > 0);
            address.set_query(Some(match is_shared {
                true => "mode=ro",
                false => "mode=ro&immutable=1",
            }));
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(address.as_str(), flags)?
        }
    };
    database.busy_timeout(BUSY_TIMEOUT)?;
    Ok(database)
}

/// Says whether the database has the tables of this version.
pub(super) fn is_current(database: &Connection) -> rusqlite::Result<bool> {
    let version: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version == VERSION)
}

/// Opens the database for reading.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let database = open(path)?;
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
