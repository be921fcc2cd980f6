//! What the server did in the last week: samples of what it counts, what failed and what was synced, and which crates were
//! fetched most. Uses rusqlite.
//!
//! A database of its own. The catalog of crates is made anew from the index at any time, and there is no catalog of files
//! where the store is a bucket; this one is small, is written once a minute, and nothing depends on it: one that is lost or
//! damaged begins again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Row, params};

use crate::error::Result;
use crate::server::catalog::is_damaged;
use crate::server::disk_error::of_database;

/// How long is remembered, in seconds.
pub const WEEK: i64 = 7 * 86_400;
/// How many seconds a sample stands for.
pub const STEP: i64 = 600;
/// How many events are remembered, and how many crates of each day.
const EVENTS: i64 = 200;
const CRATES: i64 = 500;
/// How long another process may hold the database.
const BUSY: Duration = Duration::from_secs(2);
/// Raised with the tables: a history of other tables begins again.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE samples (
        at INTEGER PRIMARY KEY,
        answered INTEGER NOT NULL, refused INTEGER NOT NULL, failed INTEGER NOT NULL, sent_bytes INTEGER NOT NULL,
        hits INTEGER NOT NULL, misses INTEGER NOT NULL, fetched_bytes INTEGER NOT NULL,
        behind INTEGER, store_bytes INTEGER
    );
    CREATE TABLE events (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, failed INTEGER NOT NULL, text TEXT NOT NULL);
    CREATE TABLE fetched (day INTEGER NOT NULL, name TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (day, name)) WITHOUT ROWID;
    PRAGMA user_version = 1;";

/// What was counted in [`STEP`] seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// When they began, in seconds since 1970.
    pub at: i64,
    /// Responses with what was asked for, or where it is.
    pub answered: u64,
    /// Responses that refused (4xx).
    pub refused: u64,
    /// Responses that failed (5xx).
    pub failed: u64,
    /// Bytes of responses.
    pub sent_bytes: u64,
    /// Requests for crate files that were here.
    pub hits: u64,
    /// Requests for crate files that were fetched.
    pub misses: u64,
    /// Bytes of crate files that were fetched.
    pub fetched_bytes: u64,
    /// The longest time since the index was compared with its repository, in seconds; `None` before the first time.
    pub behind: Option<u64>,
    /// The bytes of the store at the end; `None` for a bucket.
    pub store_bytes: Option<u64>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in seconds since 1970.
    pub at: i64,
    /// What it was part of, as in `sync`.
    pub kind: String,
    /// Whether it failed.
    pub is_failure: bool,
    /// What happened, in a sentence without secrets.
    pub text: String,
}

/// The last week.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recent {
    /// Samples, the oldest first.
    pub samples: Vec<Sample>,
    /// Events, the newest first.
    pub events: Vec<Event>,
    /// The crates whose files were asked for most, and how often.
    pub fetched: Vec<(String, u64)>,
}

/// The history of a server.
pub struct History {
    path: PathBuf,
    database: Mutex<Connection>,
}

impl History {
    /// Returns the path of the database in a data directory.
    pub fn path_in(data_dir: &Path) -> PathBuf {
        data_dir.join("history.sqlite")
    }

    /// Opens a history; one that is damaged, or of another version, begins again.
    ///
    /// # Errors
    /// `config` if the file cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| of_database(path, error);
        let opened = match connect(path) {
            Err(error) if is_damaged(&error) => {
                begin_again(path);
                connect(path)
            }
            opened => opened,
        };
        Ok(Self {
            path: path.to_owned(),
            database: Mutex::new(opened.map_err(failed)?),
        })
    }

    /// Adds what was counted since the last time, and forgets what is older than a week.
    ///
    /// # Errors
    /// `server` or `config` if the database cannot be written.
    pub fn add(&self, sample: Sample, events: &[Event], fetched: &[(String, u64)]) -> Result<()> {
        self.run(|database| {
            let change = database.transaction()?;
            add_sample(&change, &sample)?;
            for event in events {
                let row = params![event.at, event.kind, event.is_failure, event.text];
                change.execute("INSERT INTO events (at, kind, failed, text) VALUES (?1, ?2, ?3, ?4)", row)?;
            }
            let day = sample.at.div_euclid(86_400);
            for (name, count) in fetched {
                change
                    .prepare_cached(
                        "INSERT INTO fetched VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET count = count + ?3",
                    )?
                    .execute(params![day, name, count])?;
            }
            forget(&change, sample.at, day)?;
            change.commit()
        })
    }

    /// Reads the week before this time.
    ///
    /// # Errors
    /// As [`History::add`].
    pub fn read(&self, now: i64, crates: usize) -> Result<Recent> {
        self.run(|database| {
            let since = now - WEEK;
            let mut query = database.prepare_cached("SELECT * FROM samples WHERE at > ?1 AND at <= ?2 ORDER BY at")?;
            let samples = query.query_map([since, now], sample)?.collect::<rusqlite::Result<_>>()?;
            let mut query = database
                .prepare_cached("SELECT at, kind, failed, text FROM events WHERE at > ?1 ORDER BY id DESC LIMIT 20")?;
            let events = query.query_map([since], event)?.collect::<rusqlite::Result<_>>()?;
            let mut query = database.prepare_cached(
                "SELECT name, sum(count) AS times FROM fetched WHERE day >= ?1 GROUP BY name ORDER BY times DESC, name LIMIT ?2",
            )?;
            let rows = params![since.div_euclid(86_400), crates as i64];
            let fetched = query.query_map(rows, |row| Ok((row.get(0)?, row.get(1)?)))?;
            let fetched = fetched.collect::<rusqlite::Result<_>>()?;
            Ok(Recent { samples, events, fetched })
        })
    }

    fn run<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        let database = self.database.lock();
        let mut database = database.unwrap_or_else(PoisonError::into_inner);
        work(&mut database).map_err(|error| of_database(&self.path, error))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        database.execute_batch("BEGIN IMMEDIATE; DROP TABLE IF EXISTS samples; DROP TABLE IF EXISTS events; DROP TABLE IF EXISTS fetched;")?;
        database.execute_batch(TABLES)?;
        database.execute_batch("COMMIT")?;
    }
    // A damaged page would show later only.
    let check: String = database.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    match check.as_str() {
        "ok" => Ok(database),
        _ => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(check),
        )),
    }
}

/// Removes a damaged history. What prevents that is told when the next one is opened.
fn begin_again(path: &Path) {
    tracing::warn!(
        "{} is damaged: the history of this server begins again",
        path.display()
    );
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        let _ = fs::remove_file(name);
    }
}

fn add_sample(change: &Connection, sample: &Sample) -> rusqlite::Result<()> {
    let at = sample.at - sample.at.rem_euclid(STEP);
    change
        .prepare_cached(
            "INSERT INTO samples VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO UPDATE SET
             answered = answered + ?2, refused = refused + ?3, failed = failed + ?4, sent_bytes = sent_bytes + ?5,
             hits = hits + ?6, misses = misses + ?7, fetched_bytes = fetched_bytes + ?8,
             behind = max(coalesce(behind, ?9), coalesce(?9, behind)), store_bytes = coalesce(?10, store_bytes)",
        )?
        .execute(params![
            at,
            sample.answered,
            sample.refused,
            sample.failed,
            sample.sent_bytes,
            sample.hits,
            sample.misses,
            sample.fetched_bytes,
            sample.behind,
            sample.store_bytes,
        ])
        .map(drop)
}

/// Keeps a week, and no more of it than there is room for.
fn forget(change: &Connection, now: i64, today: i64) -> rusqlite::Result<()> {
    let since = now - WEEK;
    // Those that are still to come were written by a clock that was wrong.
    let (future, days) = (now + STEP, since.div_euclid(86_400));
    change.execute(
        "DELETE FROM samples WHERE at < ?1 OR at > ?2",
        [since, future],
    )?;
    change.execute(
        "DELETE FROM events WHERE at < ?1 OR id <= (SELECT max(id) FROM events) - ?2",
        [since, EVENTS],
    )?;
    change.execute(
        "DELETE FROM fetched WHERE day < ?1 OR day > ?2",
        [days, today],
    )?;
    change
        .execute(
            "DELETE FROM fetched WHERE day = ?1 AND name NOT IN
             (SELECT name FROM fetched WHERE day = ?1 ORDER BY count DESC, name LIMIT ?2)",
            [today, CRATES],
        )
        .map(drop)
}

fn sample(row: &Row<'_>) -> rusqlite::Result<Sample> {
    Ok(Sample {
        at: row.get(0)?,
        answered: row.get(1)?,
        refused: row.get(2)?,
        failed: row.get(3)?,
        sent_bytes: row.get(4)?,
        hits: row.get(5)?,
        misses: row.get(6)?,
        fetched_bytes: row.get(7)?,
        behind: row.get(8)?,
        store_bytes: row.get(9)?,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        at: row.get(0)?,
        kind: row.get(1)?,
        is_failure: row.get(2)?,
        text: row.get(3)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn sample(at: i64) -> Sample {
        Sample {
            at,
            answered: 2,
            hits: 1,
            behind: Some(30),
            ..Sample::default()
        }
    }

    fn failure(at: i64) -> Event {
        Event {
            at,
            kind: "refresh".to_owned(),
            is_failure: true,
            text: "it failed".to_owned(),
        }
    }

    #[test]
    fn what_is_added_within_a_step_is_one_sample_and_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = History::path_in(folder.path());
        let history = History::open(&path).unwrap();
        let fetched = [("serde".to_owned(), 3), ("rand".to_owned(), 1)];
        history.add(sample(NOW), &[failure(NOW)], &fetched).unwrap();
        drop(history);
        let history = History::open(&path).unwrap();
        let later = Sample {
            behind: None,
            store_bytes: Some(7),
            ..sample(NOW + 60)
        };
        history.add(later, &[], &fetched[1..]).unwrap();
        let recent = history.read(NOW + 60, 10).unwrap();
        let expected = Sample {
            at: NOW - NOW % STEP,
            answered: 4,
            hits: 2,
            behind: Some(30),
            store_bytes: Some(7),
            ..Sample::default()
        };
        assert_eq!(recent.samples, [expected]);
        assert_eq!(recent.events, [failure(NOW)]);
        assert_eq!(
            recent.fetched,
            [("serde".to_owned(), 3), ("rand".to_owned(), 2)]
        );
    }

    #[test]
    fn what_is_older_than_a_week_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&History::path_in(folder.path())).unwrap();
        let fetched: Vec<_> = (0..CRATES as u64 + 20)
            .map(|number| (format!("c{number}"), number))
            .collect();
        let events: Vec<_> = (0..EVENTS + 20).map(|_| failure(NOW)).collect();
        history.add(sample(NOW), &events, &fetched).unwrap();
        let all = history.read(NOW, 10_000).unwrap();
        assert_eq!(all.fetched.len() as i64, CRATES);
        assert_eq!(all.fetched[0].1, CRATES as u64 + 19);
        let count = |table: &str| {
            let query = format!("SELECT count(*) FROM {table}");
            history
                .run(|database| database.query_row(&query, [], |row| row.get::<_, i64>(0)))
                .unwrap()
        };
        assert_eq!(count("events"), EVENTS);
        let later = NOW + WEEK + 86_400;
        history.add(sample(later), &[], &[]).unwrap();
        assert_eq!(
            (count("samples"), count("events"), count("fetched")),
            (1, 0, 0)
        );
        // A clock that was ahead, and is right again.
        history.add(sample(NOW), &[], &[]).unwrap();
        assert_eq!(count("samples"), 1);
    }

    #[test]
    fn a_damaged_history_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = History::path_in(folder.path());
        let events: Vec<_> = (0..EVENTS).map(|_| failure(NOW)).collect();
        let history = History::open(&path).unwrap();
        history.add(sample(NOW), &events, &[]).unwrap();
        drop(history);
        // Its first page is whole, as if a disk had lost some of the others.
        let mut one = fs::read(&path).unwrap();
        one[4096..].fill(0xff);
        let other = "no database, but long enough to be taken for one".repeat(100);
        for damaged in [one, other.into_bytes()] {
            fs::write(&path, damaged).unwrap();
            let history = History::open(&path).unwrap();
            history.add(sample(NOW), &[], &[]).unwrap();
            let recent = history.read(NOW, 1).unwrap();
            assert_eq!((recent.samples.len(), recent.events.len()), (1, 0));
        }
    }
}
