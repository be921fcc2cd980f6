//! How much the catalog holds.

use rusqlite::Connection;

use super::import::{self, Import};
use super::{CatalogDatabase, CrateCatalog};
use crate::error::Result;

/// What the catalog holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holdings {
    /// How many crates.
    pub crates: u64,
    /// How many versions, as the index lists them.
    pub versions: u64,
    /// Of how many crates it knows what they are: from their crate files, or from the dump.
    pub described: u64,
    /// Of how many it knows the downloads.
    pub downloads: u64,
    /// Of how many it knows the owners.
    pub owned: u64,
    /// Which dump was imported last.
    pub import: Option<Import>,
}

fn count(database: &Connection) -> rusqlite::Result<Holdings> {
    let mut found = database.query_row(
        "SELECT count(*), coalesce(sum(versions), 0), count(description),
            count(downloads), (SELECT count(DISTINCT crate) FROM owners)
         FROM crates",
        [],
        |row| {
            Ok(Holdings {
                crates: row.get(0)?,
                versions: row.get(1)?,
                described: row.get(2)?,
                downloads: row.get(3)?,
                owned: row.get(4)?,
                import: None,
            })
        },
    )?;
    found.import = import::last(database, false)?;
    Ok(found)
}

impl CatalogDatabase {
    /// Counts what the catalog holds.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn holdings(&self) -> Result<Holdings> {
        self.read(count)
    }
}

impl CrateCatalog {
    /// Returns how often all crates together were downloaded from the registry, as far as that is known.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn total_downloads(&self) -> Result<u64> {
        // Not `sum`, which fails where the dump's numbers are beyond all reason.
        let query = "SELECT CAST(total(downloads) AS INTEGER) FROM crates";
        self.read(|database| database.query_row(query, [], |row| row.get(0)))
    }
}
