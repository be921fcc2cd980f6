//! The catalog's file, and who reads and writes it: all that does not need the names in memory.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, TransactionBehavior};

use super::{lock, schema};
use crate::error::{Error, Result};
use crate::server::disk_error::of_database;

/// The catalog's file. Many read it, and one writes: a reader sees what the last change wrote, and waits for none.
#[derive(Debug)]
pub struct CatalogDatabase {
    pub(super) path: PathBuf,
    pub(super) writer: Mutex<Connection>,
    /// As many as ever read at the same time: the threads that may block bound that.
    readers: Mutex<Vec<Connection>>,
}

impl CatalogDatabase {
    /// Opens the file as it is, also beside a server that uses it; `None` where there is none of this version.
    ///
    /// # Errors
    /// `config` if the file cannot be read.
    pub fn open_existing(path: &Path) -> Result<Option<Self>> {
        if !path.is_file() {
            return Ok(None);
        }
        let opened =
            schema::importer(path).and_then(|database| match schema::is_current(&database)? {
                true => Ok(Some(Self::of(path, database))),
                false => Ok(None),
            });
        opened.map_err(|error| of_database(path, error))
    }

    pub(super) fn of(path: &Path, writer: Connection) -> Self {
        Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::default(),
        }
    }

    /// Closes the file, so that all of the catalog is in it.
    ///
    /// # Errors
    /// `server` or `config` if it cannot be written.
    pub fn close(self) -> Result<()> {
        drop(self.readers);
        let writer = self.writer.into_inner();
        let writer = writer.unwrap_or_else(std::sync::PoisonError::into_inner);
        let closed = writer.close();
        closed.map_err(|(_, error)| of_database(&self.path, error))
    }

    /// Says whether it can be changed, or lies on a disk that is only read.
    pub fn is_writable(&self) -> bool {
        schema::is_writable(&self.path)
    }

    /// Returns how many crates it has.
    ///
    /// # Errors
    /// `server` if it cannot be read.
    pub fn count(&self) -> Result<usize> {
        let query = "SELECT count(*) FROM crates";
        self.read(|database| database.query_row(query, [], |row| row.get(0)))
    }

    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let idle = lock(&self.readers).pop();
        let reader = idle.map_or_else(|| schema::reader(&self.path), Ok);
        let done = reader.and_then(|reader| {
            let done = work(&reader)?;
            // Only here: one that failed is not used again.
            lock(&self.readers).push(reader);
            Ok(done)
        });
        done.map_err(|error| self.failed(error))
    }

    /// Changes it in one transaction, unless the work fails.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let mut writer = lock(&self.writer);
        let change = writer.transaction_with_behavior(TransactionBehavior::Immediate);
        let done = change.and_then(|change| {
            let done = work(&change)?;
            change.commit()?;
            Ok(done)
        });
        done.map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> Error {
        of_database(&self.path, error)
    }
}
