//! Who fetched which crate file: this server's own record, for the day on which one of them turns out to be malicious. Uses
//! rusqlite.
//!
//! A row stands for all fetches of a file by the same token or address on one day. Rows are written in batches, and are bounded in
//! age and number: nothing that clients do makes the file grow without end.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use serde::Serialize;

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::index::CrateSpec;
use crate::server::disk_error::{of_database, unwritable};
use crate::server::owner_only;
use crate::shown::one_line;

/// How many rows are kept: of more the oldest days are forgotten.
const ROWS: i64 = 2_000_000;
/// How many rows are told of a crate at most.
const TOLD: i64 = 10_000;
/// How long another process may hold the database.
const BUSY: Duration = Duration::from_secs(2);
/// Raised with the tables.
const VERSION: i64 = 1;
const DAY: i64 = 86_400;

const TABLES: &str = "
    CREATE TABLE callers (id INTEGER PRIMARY KEY, is_token INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (name, is_token));
    CREATE TABLE files (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE NOCASE, version TEXT NOT NULL, checksum TEXT NOT NULL,
        UNIQUE (name, version, checksum)
    );
    CREATE TABLE fetches (
        file INTEGER NOT NULL, day INTEGER NOT NULL, caller INTEGER NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (file, day, caller)
    ) WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// All fetches of a crate file by one caller on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetch {
    /// The crate.
    #[serde(rename = "crate")]
    pub name: String,
    /// The version.
    pub version: String,
    /// The SHA-256 of the file.
    pub checksum: String,
    /// The first time on that day.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
    /// The name of the token, or the address where there was none.
    pub by: String,
    /// Whether it is a token's name.
    pub is_token: bool,
}

impl Fetch {
    /// Says who it was: `token ci-3`, or the address.
    pub fn who(&self) -> String {
        match (self.is_token, self.by.as_str()) {
            (true, "") => "a token without a name".to_owned(),
            (true, name) => format!("token {name}"),
            (false, address) => address.to_owned(),
        }
    }
}

/// The record of a server.
pub struct Audit {
    path: PathBuf,
    database: Mutex<Connection>,
    /// The hour in which what is old was forgotten last.
    forgotten: AtomicI64,
}

impl Audit {
    /// Returns the path of the database in a data directory.
    pub fn path_in(data_dir: &Path) -> PathBuf {
        data_dir.join("audit.sqlite")
    }

    /// Opens the record.
    ///
    /// # Errors
    /// `config` or `server` if the file cannot be used.
    pub fn open(path: &Path) -> Result<Self> {
        owner_only::file(path).map_err(|error| unwritable(path, error))?;
        let opened = connect(path).map_err(|error| of_database(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            database: Mutex::new(opened),
            forgotten: AtomicI64::new(i64::MIN),
        })
    }

    /// Adds fetches, and forgets those that ended before `since`.
    ///
    /// # Errors
    /// As [`Audit::open`]; then nothing is added.
    pub fn add(&self, fetches: &[Fetch], since: Timestamp) -> Result<()> {
        let hour = since.as_second().div_euclid(3_600);
        // It looks at all rows.
        let is_time = self.forgotten.swap(hour, Ordering::Relaxed) != hour;
        if fetches.is_empty() && !is_time {
            return Ok(());
        }
        self.run(|database| {
            let change = database.transaction()?;
            for fetch in fetches {
                add(&change, fetch)?;
            }
            change.commit()?;
            if !is_time {
                return Ok(());
            }
            forget(database, since.as_second().div_euclid(DAY), ROWS)
        })
    }

    /// Returns who fetched a crate, or a version of it, the newest day first.
    ///
    /// # Errors
    /// As [`Audit::open`].
    pub fn of(&self, spec: &CrateSpec) -> Result<Vec<Fetch>> {
        let version = spec.version.as_ref().map(|version| version.as_str());
        self.run(|database| {
            let mut query = database.prepare_cached(
                "SELECT name, version, checksum, first, last, count, caller_name, is_token FROM
                 (SELECT f.name, f.version, f.checksum, first, last, count, c.name AS caller_name, is_token
                  FROM files f JOIN fetches ON file = f.id JOIN callers c ON c.id = caller
                  WHERE f.name = ?1 AND (?2 IS NULL OR f.version = ?2))
                 ORDER BY last DESC, version, caller_name LIMIT ?3",
            )?;
            let rows = query.query_map(params![spec.name.as_str(), version, TOLD], fetch)?;
            rows.collect()
        })
    }

    fn run<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        let database = self.database.lock();
        let mut database = database.unwrap_or_else(PoisonError::into_inner);
        work(&mut database).map_err(|error| of_database(&self.path, error))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let mut database = Connection::open(path)?;
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    let change = database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        change.execute_batch(
            "DROP TABLE IF EXISTS callers; DROP TABLE IF EXISTS files; DROP TABLE IF EXISTS fetches;",
        )?;
        change.execute_batch(TABLES)?;
    }
    change.commit()?;
    Ok(database)
}

fn add(change: &Transaction<'_>, fetch: &Fetch) -> rusqlite::Result<()> {
    let (name, version, checksum) = (&fetch.name, &fetch.version, &fetch.checksum);
    let file = id_of(
        change,
        "SELECT id FROM files WHERE name = ?1 AND version = ?2 AND checksum = ?3",
        "INSERT INTO files (name, version, checksum) VALUES (?1, ?2, ?3)",
        params![name, version, checksum],
    )?;
    let caller = id_of(
        change,
        "SELECT id FROM callers WHERE name = ?1 AND is_token = ?2",
        "INSERT INTO callers (name, is_token) VALUES (?1, ?2)",
        params![fetch.by, fetch.is_token],
    )?;
    let (first, last) = (fetch.first.as_second(), fetch.last.as_second());
    let count = i64::try_from(fetch.count).unwrap_or(i64::MAX);
    change
        .prepare_cached(
            "INSERT INTO fetches VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
             first = min(first, ?4), last = max(last, ?5), count = count + ?6",
        )?
        .execute(params![
            file,
            first.div_euclid(DAY),
            caller,
            first,
            last,
            count
        ])
        .map(drop)
}

/// Returns the id of a row, which is made where there is none.
fn id_of(
    change: &Transaction<'_>,
    find: &str,
    make: &str,
    values: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<i64> {
    let found = change
        .prepare_cached(find)?
        .query_row(values, |row| row.get(0));
    match found.optional()? {
        Some(id) => Ok(id),
        None => {
            change.prepare_cached(make)?.execute(values)?;
            Ok(change.last_insert_rowid())
        }
    }
}

/// Forgets the days before one, and the oldest where there are too many rows; then what nothing is left of.
fn forget(database: &mut Connection, day: i64, most: i64) -> rusqlite::Result<()> {
    let oldest: Option<i64> = database
        .prepare_cached("SELECT min(day) FROM fetches")?
        .query_row([], |row| row.get(0))?;
    let rows: i64 = database
        .prepare_cached("SELECT count(*) FROM fetches")?
        .query_row([], |row| row.get(0))?;
    let is_old = oldest.is_some_and(|oldest| oldest < day);
    if !is_old && rows <= most {
        return Ok(());
    }
    let change = database.transaction()?;
    change.execute("DELETE FROM fetches WHERE day < ?1", [day])?;
    // Of the days that are left, the newest that fit.
    change.execute(
        "DELETE FROM fetches WHERE day <= (SELECT max(day) FROM (
             SELECT day, sum(count(*)) OVER (ORDER BY day DESC) AS newer FROM fetches GROUP BY day
         ) WHERE newer > ?1) AND day < (SELECT max(day) FROM fetches)",
        [most],
    )?;
    // One day alone may have too many.
    change.execute(
        "DELETE FROM fetches WHERE (file, day, caller) IN (
             SELECT file, day, caller FROM fetches ORDER BY last DESC LIMIT -1 OFFSET ?1)",
        [most],
    )?;
    change.execute(
        "DELETE FROM files WHERE id NOT IN (SELECT file FROM fetches)",
        [],
    )?;
    change.execute(
        "DELETE FROM callers WHERE id NOT IN (SELECT caller FROM fetches)",
        [],
    )?;
    change.commit()
}

fn fetch(row: &Row<'_>) -> rusqlite::Result<Fetch> {
    let time = |at: i64| Timestamp::from_second(at).unwrap_or_default();
    Ok(Fetch {
        name: row.get(0)?,
        version: row.get(1)?,
        checksum: row.get(2)?,
        first: time(row.get(3)?),
        last: time(row.get(4)?),
        count: row.get(5)?,
        by: row.get(6)?,
        is_token: row.get(7)?,
    })
}

/// Who fetched a crate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetches {
    /// What was asked for.
    pub of: String,
    /// Their fetches, the newest first.
    pub fetches: Vec<Fetch>,
}

/// Says who fetched a crate, or a version of it, from the server of this directory.
///
/// # Errors
/// `config` if nothing is recorded there, or it cannot be read.
pub fn run(config: &ServeConfig, spec: &CrateSpec) -> Result<Fetches> {
    let path = Audit::path_in(&config.serve.data_dir);
    if !path.exists() {
        let text = format!(
            "nothing is recorded of who fetched crates: {} is not there",
            path.display()
        );
        return Err(
            Error::new(Kind::Config, text).advise(match config.serve.audit {
                None => "Set serve.audit to a duration, such as 90d.",
                Some(_) => "Set serve.data_dir to that of the server, and start it once.",
            }),
        );
    }
    Ok(Fetches {
        of: spec.to_string(),
        fetches: Audit::open(&path)?.of(spec)?,
    })
}

/// Says it, a line for each: `foo 1.0.0: 2026-12-01 07:52 to 08:10 UTC, 3 times, by token ci-3`.
impl fmt::Display for Fetches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, fetch) in self.fetches.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            let first = fetch.first.strftime("%Y-%m-%d %H:%M");
            let last = fetch.last.strftime("%H:%M");
            write!(
                f,
                "{} {}: {first}",
                one_line(&fetch.name),
                one_line(&fetch.version)
            )?;
            match fetch.count {
                1 => write!(f, " UTC")?,
                count => write!(f, " to {last} UTC, {count} times")?,
            }
            write!(f, ", by {}", one_line(&fetch.who()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn fetched(name: &str, version: &str, at: i64, by: &str) -> Fetch {
        let at = Timestamp::from_second(at).unwrap();
        Fetch {
            name: name.to_owned(),
            version: version.to_owned(),
            checksum: "ab".repeat(32),
            first: at,
            last: at,
            count: 1,
            by: by.to_owned(),
            is_token: !by.contains('.'),
        }
    }

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(NOW + number * DAY).unwrap()
    }

    #[test]
    fn fetches_of_a_day_by_the_same_caller_are_one_and_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = Audit::path_in(folder.path());
        let audit = Audit::open(&path).unwrap();
        let first = [
            fetched("Foo", "1.0.0", NOW + 60, "ci-3"),
            fetched("foo", "1.0.0", NOW, "10.1.2.3"),
            fetched("other", "1.0.0", NOW, "ci-3"),
        ];
        audit.add(&first, day(-1)).unwrap();
        drop(audit);
        let audit = Audit::open(&path).unwrap();
        let later = [
            fetched("foo", "1.0.0", NOW + 120, "ci-3"),
            fetched("foo", "1.1.0", NOW + DAY, "ci-3"),
        ];
        audit.add(&later, day(-1)).unwrap();
        let of = |spec: &str| {
            let all = audit.of(&spec.parse().unwrap()).unwrap();
            let told = Fetches {
                of: String::new(),
                fetches: all,
            };
            told.to_string()
        };
        assert_eq!(
            of("foo@1.0.0"),
            "Foo 1.0.0: 2027-01-15 08:01 to 08:02 UTC, 2 times, by token ci-3\nFoo 1.0.0: 2027-01-15 08:00 UTC, by 10.1.2.3"
        );
        assert_eq!(of("FOO").lines().count(), 3);
        assert_eq!(of("bar"), "");
    }

    #[test]
    fn old_days_and_what_is_too_much_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(&Audit::path_in(folder.path())).unwrap();
        let fetches: Vec<_> = (0..10)
            .flat_map(|number| {
                let at = NOW + number * DAY;
                [
                    fetched("foo", "1.0.0", at, "a"),
                    fetched("foo", "1.0.0", at, "b"),
                ]
            })
            .collect();
        audit.add(&fetches, day(0)).unwrap();
        let count = |table: &str| {
            let query = format!("SELECT count(*) FROM {table}");
            let counted =
                audit.run(|database| database.query_row(&query, [], |row| row.get::<_, i64>(0)));
            counted.unwrap()
        };
        assert_eq!(count("fetches"), 20);
        audit.add(&[], day(4)).unwrap();
        assert_eq!(count("fetches"), 12);
        let first = NOW.div_euclid(DAY);
        audit.run(|database| forget(database, first, 5)).unwrap();
        assert_eq!(count("fetches"), 4);
        audit.run(|database| forget(database, first, 1)).unwrap();
        assert_eq!(
            (count("fetches"), count("files"), count("callers")),
            (1, 1, 1)
        );
        audit.add(&[], day(100)).unwrap();
        assert_eq!(
            (count("fetches"), count("files"), count("callers")),
            (0, 0, 0)
        );
    }
}
