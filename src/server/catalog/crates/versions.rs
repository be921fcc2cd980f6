//! What the registry's dump says of single versions.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::CrateCatalog;
use super::name_table::CrateId;
use crate::error::Result;

/// What is known of a version beyond the index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionRow {
    /// When it was published, in seconds since 1970.
    pub created: Option<i64>,
    /// How often it was downloaded from the registry.
    pub downloads: Option<u64>,
    /// The size of its crate file, in bytes.
    pub size: Option<u64>,
    /// Its licence, an SPDX expression.
    pub license: Option<String>,
}

impl VersionRow {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            created: row.get(0)?,
            downloads: row.get(1)?,
            size: row.get(2)?,
            license: row.get(3)?,
        })
    }
}

/// Reads what is known of a version.
pub(super) fn find(
    database: &Connection,
    id: CrateId,
    version: &str,
) -> rusqlite::Result<Option<VersionRow>> {
    let mut query = database.prepare_cached(
        "SELECT created, downloads, size, license FROM versions WHERE crate = ?1 AND num = ?2",
    )?;
    query.query_row((id, version), VersionRow::of).optional()
}

/// Reads what is known of all versions of a crate, by their numbers.
pub(super) fn all(
    database: &Connection,
    id: CrateId,
) -> rusqlite::Result<HashMap<String, VersionRow>> {
    let mut query = database.prepare_cached(
        "SELECT created, downloads, size, license, num FROM versions WHERE crate = ?1",
    )?;
    query
        .query_map([id], |row| Ok((row.get(4)?, VersionRow::of(row)?)))?
        .collect()
}

impl CrateCatalog {
    /// Returns what the dump says of a version; nothing where it does not have it.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn version(&self, id: CrateId, version: &str) -> Result<VersionRow> {
        let found = self.read(|database| find(database, id, version))?;
        Ok(found.unwrap_or_default())
    }

    /// Returns what the dump says of the versions of a crate, by their numbers.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn versions(&self, id: CrateId) -> Result<HashMap<String, VersionRow>> {
        self.read(|database| all(database, id))
    }
}
