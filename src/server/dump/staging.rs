//! Where the tables of a dump are kept while it is read: a database of its own, beside the catalog. Tables refer to one another,
//! and come in any order; the catalog changes when all of them are there.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Statement, params_from_iter};
use tempfile::NamedTempFile;

use super::DumpError;
use super::bounds::BOUNDS;
use super::tables::{TABLES, Table};
use crate::error::Result;
use crate::server::disk_error::{of_database, unwritable};
use crate::server::store::Scratch;

/// What a row takes beside its texts, in bytes.
const ROW: u64 = 32;

/// The tables of a dump.
pub(super) struct Staging {
    /// Removed with it; what a killed process left there is removed by the next one.
    file: NamedTempFile,
    database: Connection,
    staged: u64,
    /// The downloads of each version in the days that the dump lists, by its number.
    recent: Vec<u32>,
    /// When the dump was made.
    pub(super) made: Option<Timestamp>,
    /// What it has in a form that is not known.
    pub(super) left_out: Vec<String>,
}

impl Staging {
    /// Makes empty tables, in a file below the folder of what the server stores, or where there is none in the system's folder for
    /// what is temporary.
    ///
    /// # Errors
    /// `config` or `server` where it cannot be written.
    pub(super) fn create(data_dir: Option<&Path>) -> Result<Self> {
        let folder = data_dir.map_or_else(std::env::temp_dir, |folder| folder.join("tmp"));
        let file = match data_dir {
            // What a command left there that was killed goes first.
            Some(_) => Scratch::open(folder.clone()).and_then(|scratch| scratch.file()),
            None => NamedTempFile::new(),
        };
        let file = file.map_err(|error| unwritable(&folder, error))?;
        let database = Self::open(file.path());
        let database = database.map_err(|error| of_database(file.path(), error))?;
        Ok(Self {
            file,
            database,
            staged: 0,
            recent: Vec::new(),
            made: None,
            left_out: Vec::new(),
        })
    }

    fn open(path: &Path) -> rusqlite::Result<Connection> {
        let database = Connection::open(path)?;
        // What is lost is read again.
        database.pragma_update(None, "journal_mode", "OFF")?;
        database.pragma_update(None, "synchronous", "OFF")?;
        let tables: String = TABLES.iter().map(Table::create).collect();
        database.execute_batch(&format!(
            "{tables} CREATE TABLE recent (version_id INTEGER PRIMARY KEY, downloads INTEGER NOT NULL); BEGIN"
        ))?;
        Ok(database)
    }

    /// Returns what adds rows to a table.
    pub(super) fn insert_into(&mut self, table: &Table) -> Result<Insert<'_>, DumpError> {
        let path = self.file.path();
        let insert = self.database.prepare(&table.insert());
        let insert = insert.map_err(|error| DumpError::of_disk(of_database(path, error)))?;
        Ok(Insert {
            insert,
            path,
            staged: &mut self.staged,
        })
    }

    pub(super) fn add_downloads(&mut self, version: u32, downloads: u32) {
        let place = version as usize;
        if self.recent.len() <= place {
            self.recent.resize(place + 1, 0);
        }
        self.recent[place] = self.recent[place].saturating_add(downloads);
    }

    /// Returns the file of the tables, when they are complete.
    pub(super) fn finish(self) -> Result<Staged> {
        let path = self.file.path().to_owned();
        self.write_recent()
            .and_then(|()| self.database.close().map_err(|(_, error)| error))
            .map_err(|error| of_database(&path, error))?;
        Ok(Staged {
            file: self.file,
            made: self.made,
            left_out: self.left_out,
        })
    }

    fn write_recent(&self) -> rusqlite::Result<()> {
        let mut insert = self.database.prepare("INSERT INTO recent VALUES (?, ?)")?;
        for (version, downloads) in self.recent.iter().enumerate() {
            if *downloads > 0 {
                insert.execute((version, downloads))?;
            }
        }
        self.database.execute_batch("COMMIT")
    }
}

/// Adds rows to a table.
pub(super) struct Insert<'s> {
    insert: Statement<'s>,
    path: &'s Path,
    staged: &'s mut u64,
}

impl Insert<'_> {
    pub(super) fn add(&mut self, row: &[Value]) -> Result<(), DumpError> {
        let texts = row.iter().map(|value| match value {
            Value::Text(text) => text.len() as u64,
            _ => 0,
        });
        *self.staged += texts.sum::<u64>() + ROW;
        if *self.staged > BOUNDS.staged {
            let text = format!("it says more than {} GiB of crates", BOUNDS.staged >> 30);
            return Err(DumpError::new(text));
        }
        match self.insert.execute(params_from_iter(row)) {
            Ok(_) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(DumpError::new("this is there twice"))
            }
            Err(error) => Err(DumpError::of_disk(of_database(self.path, error))),
        }
    }
}

/// A dump whose tables were read.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    /// When it was made, where it says so.
    pub made: Option<Timestamp>,
    /// What it has in a form that is not known, and so is left out: a sentence each.
    pub left_out: Vec<String>,
}

impl Staged {
    /// Returns the database of its tables.
    pub fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }
}
