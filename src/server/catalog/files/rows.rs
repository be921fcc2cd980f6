//! Queries and changes of single files, and totals.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::schema::durably;
use super::{COLUMNS, Catalog, CatalogEntry, nanoseconds, now};
use crate::error::Result;
use crate::index::Checksum;
use crate::server::store::StoredFile;

impl Catalog {
    /// Adds a file that is stored now, or updates it; it keeps its pin.
    ///
    /// # Errors
    /// `server` if the database cannot be read or written.
    pub fn add(&self, file: &StoredFile, checksum: Checksum) -> Result<()> {
        self.run(|database| {
            let mut query = database.prepare_cached(
                // `max`: a clock that was set back must not make a file look older than its last use.
                "INSERT INTO files (path, size, checksum, modified, used) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (path) DO UPDATE
                 SET size = ?2, checksum = ?3, modified = ?4, present = 1, used = max(used, ?5)",
            )?;
            let modified = nanoseconds(file.modified);
            let row = params![file.path, file.size, checksum.as_bytes(), modified, now()];
            query.execute(row).map(drop)
        })
    }

    /// Removes a file that is gone, but keeps its pin.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn remove(&self, path: &str) -> Result<()> {
        self.run(|database| {
            let known = "SELECT 1 FROM files WHERE path = ?1 AND present";
            // A write would wait for other processes, for nothing.
            match database.prepare_cached(known)?.exists([path])? {
                true => forget(database, path),
                false => Ok(()),
            }
        })
    }

    /// Pins a file, whether it is stored or is to come; says whether it was pinned before.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn pin(&self, path: &str) -> Result<bool> {
        self.run(|database| {
            // Read first: a prefetch pins what is mostly pinned already, and each write would wait for other processes.
            let pinned = "SELECT 1 FROM files WHERE path = ?1 AND pinned";
            if database.prepare_cached(pinned)?.exists([path])? {
                return Ok(true);
            }
            durably(database, |database| {
                let mut query = database.prepare_cached(
                    "INSERT INTO files (path, size, used, pinned, present) VALUES (?1, 0, ?2, 1, 0)
                     ON CONFLICT (path) DO UPDATE SET pinned = 1",
                )?;
                query.execute(params![path, now()])
            })?;
            Ok(false)
        })
    }

    /// Unpins a file; one that is not stored is removed.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn unpin(&self, path: &str) -> Result<()> {
        self.run(|database| {
            durably(database, |database| {
                let change = database.transaction()?;
                change
                    .prepare_cached("UPDATE files SET pinned = 0 WHERE path = ?1")?
                    .execute([path])?;
                change
                    .prepare_cached("DELETE FROM files WHERE path = ?1 AND NOT present")?
                    .execute([path])?;
                change.commit()
            })
        })
    }

    /// Returns the checksum of a stored file, if it is known.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn checksum(&self, path: &str) -> Result<Option<Checksum>> {
        self.run(|database| {
            let known = "SELECT checksum FROM files WHERE path = ?1 AND present";
            let found = database
                .prepare_cached(known)?
                .query_row([path], |row| row.get::<_, Option<[u8; 32]>>(0));
            let found = found.optional()?.flatten();
            Ok(found.map(Checksum::from_bytes))
        })
    }

    /// Returns all stored files, in the order of their paths.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn entries(&self) -> Result<Vec<CatalogEntry>> {
        self.flush()?;
        let query = format!("SELECT {COLUMNS} FROM files WHERE present ORDER BY path");
        self.run(|database| all(database, &query))
    }

    /// Returns the pinned files that are not stored, in the order of their paths.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn pinned_missing(&self) -> Result<Vec<CatalogEntry>> {
        let query =
            format!("SELECT {COLUMNS} FROM files WHERE NOT present AND pinned ORDER BY path");
        self.run(|database| all(database, &query))
    }

    /// Returns the paths of all stored files.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn paths(&self) -> Result<HashSet<String>> {
        self.run(|database| {
            let mut query = database.prepare_cached("SELECT path FROM files WHERE present")?;
            query.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// Returns the number of stored files and of their bytes; triggers keep the totals, so nothing is counted.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn total(&self) -> Result<(u64, u64)> {
        self.run(|database| {
            database
                .prepare_cached("SELECT files, bytes FROM totals")?
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        })
    }

    /// Returns a number that changes whenever files come or go, in whatever process. Reading it takes microseconds.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn version(&self) -> Result<u64> {
        self.run(|database| {
            database
                .prepare_cached("SELECT changes FROM totals")?
                .query_row([], |row| row.get(0))
        })
    }
}

/// Removes a file but keeps its pin, within a transaction or without one.
pub(super) fn forget(database: &Connection, path: &str) -> rusqlite::Result<()> {
    let gone = "UPDATE files SET present = 0, size = 0, checksum = NULL, modified = NULL
                WHERE path = ?1 AND pinned";
    if database.prepare_cached(gone)?.execute([path])? == 0 {
        let mut query =
            database.prepare_cached("DELETE FROM files WHERE path = ?1 AND NOT pinned")?;
        query.execute([path])?;
    }
    Ok(())
}

fn all(database: &Connection, query: &str) -> rusqlite::Result<Vec<CatalogEntry>> {
    let mut query = database.prepare(query)?;
    query.query_map([], CatalogEntry::of)?.collect()
}
