//! The tables of the catalog: created, migrated, and recreated if the disk damaged them.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use tracing::{debug, warn};

use crate::server::catalog::is_damaged;

/// How long to wait for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The migrations from each version to the next; their number is the current version.
const MIGRATIONS: [&str; 2] = [
    "CREATE TABLE files (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        checksum BLOB,
        used INTEGER NOT NULL,
        pinned INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID",
    // `modified` is when the file was written, in nanoseconds since 1970, if that is known. A pinned file that is not
    // stored has a row that is not `present`. Triggers keep the totals and the number of changes, whichever process
    // writes. `changes` begins at random, so that a recreated catalog is not taken for the one before; divided, since
    // SQLite's `abs` fails for the least integer.
    "ALTER TABLE files ADD COLUMN modified INTEGER;
    ALTER TABLE files ADD COLUMN present INTEGER NOT NULL DEFAULT 1;
    CREATE INDEX by_use ON files (present, pinned, used, path);
    CREATE TABLE totals (files INTEGER NOT NULL, bytes INTEGER NOT NULL, changes INTEGER NOT NULL);
    INSERT INTO totals SELECT count(*), coalesce(sum(size), 0), abs(random() / 1024) FROM files;
    CREATE TRIGGER came AFTER INSERT ON files WHEN new.present BEGIN
        UPDATE totals SET files = files + 1, bytes = bytes + new.size, changes = changes + 1;
    END;
    CREATE TRIGGER went AFTER DELETE ON files WHEN old.present BEGIN
        UPDATE totals SET files = files - 1, bytes = bytes - old.size, changes = changes + 1;
    END;
    CREATE TRIGGER became AFTER UPDATE OF size, present ON files
    WHEN old.size <> new.size OR old.present <> new.present BEGIN
        UPDATE totals SET
            files = files + new.present - old.present,
            bytes = bytes + new.present * new.size - old.present * old.size,
            changes = changes + (old.present <> new.present);
    END",
];

/// Opens a catalog for writing; creates or migrates it if necessary.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut database = Connection::open(path)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    // Readers do not wait for a writer. With `NORMAL` a power cut may undo the last commits, but damages nothing, and
    // the folder tells again which files there are. It does not tell which are pinned: see `durably`.
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    migrate(&mut database)?;
    Ok(database)
}

/// Does work whose commits a power cut does not undo: each waits for the disk.
pub(super) fn durably<T>(
    database: &mut Connection,
    work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    database.pragma_update(None, "synchronous", "FULL")?;
    let done = work(database);
    let usual = database.pragma_update(None, "synchronous", "NORMAL");
    let done = done?;
    usual.map(|()| done)
}

/// Opens a catalog as [`connect`] does, and recreates a damaged one; says whether that was necessary.
pub(super) fn connect_or_recreate(path: &Path) -> rusqlite::Result<(Connection, bool)> {
    match connect(path) {
        Err(error) if is_damaged(&error) => Ok((recreate(path, &error)?, true)),
        opened => Ok((opened?, false)),
    }
}

/// Copies a catalog into memory and migrates the copy; `None` if there is none. The one on disk stays as it is.
pub(super) fn copy(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if !path.is_file() {
        return Ok(None);
    }
    // Opened for writing all the same: to read a catalog in WAL mode SQLite needs a `-shm` file, and may have to create
    // it.
    let database = Connection::open(path)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.pragma_update(None, "query_only", true)?;
    if with_suffix(path, "-wal").is_file() {
        // Otherwise closing the last connection would write what a killed process left in the journal.
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    }
    let mut copy = Connection::open_in_memory()?;
    // In one step, so that the copy is the catalog of one moment.
    let copied = Backup::new(&database, &mut copy)?.step(-1)?;
    if copied != StepResult::Done {
        return Ok(None);
    }
    migrate(&mut copy)?;
    Ok(Some(copy))
}

/// Creates a catalog in memory.
pub(super) fn in_memory() -> rusqlite::Result<Connection> {
    let mut database = Connection::open_in_memory()?;
    migrate(&mut database)?;
    Ok(database)
}

fn migrate(database: &mut Connection) -> rusqlite::Result<()> {
    if version(database)? >= MIGRATIONS.len() {
        return Ok(());
    }
    // Immediate: of several processes that start together one migrates, and the others wait for it.
    let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have migrated it meanwhile.
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(version(&change)?) {
        change.execute_batch(migration)?;
        change.pragma_update(None, "user_version", number + 1)?;
    }
    change.commit()
}

fn version(database: &Connection) -> rusqlite::Result<usize> {
    database.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Recreates a damaged catalog, and saves the old one beside it. It is emptied in place: another process may have it
/// open.
pub(super) fn recreate(path: &Path, why: &rusqlite::Error) -> rusqlite::Result<Connection> {
    // One process at a time. If the file system has no locks, the catalog is emptied twice at worst.
    let folder = path.parent().and_then(|folder| File::open(folder).ok());
    let _lock = folder.filter(|folder| folder.lock().is_ok());
    if let Ok(database) = connect(path)
        && is_sound(&database)
    {
        return Ok(database);
    }
    let aside = path.with_extension("damaged");
    let (shown, old) = (path.display(), aside.display());
    debug!("{shown}: {why}");
    warn!(
        "{shown} is damaged, or no database; recreating the catalog without its pins, and saving the old one as {old}"
    );
    for end in ["", "-wal"] {
        // Closing a file drops all locks that this process has on it: none here. Errors are ignored: there may be no
        // such file, and what prevents a new catalog is reported when it is created.
        let _ = fs::copy(with_suffix(path, end), with_suffix(&aside, end));
    }
    let database = Connection::open(path)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    // Reading, even in vain, attaches the connection to the journal that other processes have open.
    let _ = version(&database).and_then(|_| database.prepare("SELECT * FROM files").map(drop));
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
    database.execute_batch("VACUUM")?;
    drop(database);
    connect(path)
}

fn is_sound(database: &Connection) -> bool {
    let result = database.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0));
    result.is_ok_and(|result| result == "ok")
}

fn with_suffix(path: &Path, end: &str) -> std::path::PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}
