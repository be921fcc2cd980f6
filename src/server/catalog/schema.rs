//! The tables of the catalog: made, brought up to date, and begun anew where the disk damaged them.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use tracing::warn;

/// For how long another process may be writing.
const PATIENCE: Duration = Duration::from_secs(10);

/// What leads from each version to the next; their number is the version of today.
const STEPS: [&str; 2] = [
    "CREATE TABLE files (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        checksum BLOB,
        used INTEGER NOT NULL,
        pinned INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID",
    // `modified` is when the file was written, in nanoseconds since 1970, where that is known. A pinned file that is not
    // there is kept as one that is not `present`. The totals and the number of changes follow whoever writes.
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

/// Opens a catalog for writing, made or brought up to date where need be.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut database = Connection::open(path)?;
    database.busy_timeout(PATIENCE)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    bring_up_to_date(&mut database)?;
    Ok(database)
}

/// Copies a catalog into memory, brought up to date there; `None` where there is none. The one on disk stays as it is.
pub(super) fn copy(path: &Path) -> rusqlite::Result<Option<Connection>> {
    if !path.is_file() {
        return Ok(None);
    }
    let database = Connection::open(path)?;
    database.busy_timeout(PATIENCE)?;
    database.pragma_update(None, "query_only", true)?;
    if with_end(path, "-wal").is_file() {
        // Who closes it last would otherwise write what a killed process left in its journal.
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    }
    let mut copy = Connection::open_in_memory()?;
    // In one piece: it is the catalog of one moment.
    let copied = Backup::new(&database, &mut copy)?.step(-1)?;
    if copied != StepResult::Done {
        return Ok(None);
    }
    bring_up_to_date(&mut copy)?;
    Ok(Some(copy))
}

/// Makes a catalog that is never written down.
pub(super) fn in_memory() -> rusqlite::Result<Connection> {
    let mut database = Connection::open_in_memory()?;
    bring_up_to_date(&mut database)?;
    Ok(database)
}

fn bring_up_to_date(database: &mut Connection) -> rusqlite::Result<()> {
    if version(database)? >= STEPS.len() {
        return Ok(());
    }
    let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    for (number, step) in STEPS.iter().enumerate().skip(version(&change)?) {
        change.execute_batch(step)?;
        change.pragma_update(None, "user_version", number + 1)?;
    }
    change.commit()
}

fn version(database: &Connection) -> rusqlite::Result<usize> {
    database.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Says whether the disk gave back other bytes than were written.
pub(super) fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    )
}

/// Empties a damaged catalog; what it was is kept beside it. Emptied in place: another process may have it open.
pub(super) fn begin_anew(path: &Path, why: &rusqlite::Error) -> rusqlite::Result<Connection> {
    // Where nobody can be kept out, it is emptied twice at worst.
    let folder = path.parent().and_then(|folder| File::open(folder).ok());
    let _alone = folder.filter(|folder| folder.lock().is_ok());
    if let Ok(database) = connect(path)
        && is_sound(&database)
    {
        return Ok(database);
    }
    let aside = path.with_extension("damaged");
    let (shown, old) = (path.display(), aside.display());
    warn!("{shown}: {why}; it is begun anew, without what was pinned, and the old one is {old}");
    for end in ["", "-wal"] {
        // A process that closes a file loses all of its locks on it: here it has none. There may be no such file; what stands in the way of the new catalog is told when it is made.
        let _ = fs::copy(with_end(path, end), with_end(&aside, end));
    }
    let database = Connection::open(path)?;
    database.busy_timeout(PATIENCE)?;
    // Read or not, the connection then writes to the journal that others have open.
    let _ = version(&database).and_then(|_| database.prepare("SELECT * FROM files").map(drop));
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
    database.execute_batch("VACUUM")?;
    drop(database);
    connect(path)
}

fn is_sound(database: &Connection) -> bool {
    let verdict = database.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0));
    verdict.is_ok_and(|verdict| verdict == "ok")
}

fn with_end(path: &Path, end: &str) -> std::path::PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}
