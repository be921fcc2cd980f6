//! What the crates of the index are: names, versions and dependents, made from the index, and what crate files and the
//! registry's dump say beside it. All of it can be made again, so the database may be removed at any time.
//!
//! Many readers and one writer: a search reads what the last update wrote, and waits for none.

mod build;
mod database;
mod filter;
mod holdings;
mod import;
mod import_guard;
mod labels;
mod letter_sets;
mod name_table;
mod name_words;
mod names;
mod owners;
mod part;
mod place;
mod rank_set;
mod rows;
mod schema;
mod search;
#[cfg(test)]
mod tests;
mod typing_errors;
mod versions;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::index::{CrateName, CrateVersion};
use crate::server::crate_archive::Manifest;
use crate::server::disk_error::of_database;
use crate::server::index_copy::Snapshot;
use build::{BuildError, Changes, ReadObject};
pub use database::CatalogDatabase;
pub use filter::Filter;
pub use holdings::Holdings;
pub use import::{Import, Imported};
pub use labels::{Label, LabelKind};
pub use name_table::CrateId;
use names::Names;
pub use owners::{Owner, OwnerKind};
pub use rows::CrateRow;
pub use search::{Found, Query, Sort};
pub use versions::VersionRow;

/// The catalog of the crates of an index.
pub struct CrateCatalog {
    database: CatalogDatabase,
    names: ArcSwap<Names>,
    /// The index of the last update.
    seen: Mutex<Option<Arc<Snapshot>>>,
    /// Whether there was an update. Read while another one holds `seen`.
    was_updated: AtomicBool,
    /// SQLite's number for what the writer saw last of other processes.
    data_version: AtomicI64,
    /// How many crates have been read of the first build, and of how many.
    filling: [AtomicUsize; 2],
}

/// For what needs no names.
impl AsRef<CatalogDatabase> for CrateCatalog {
    fn as_ref(&self) -> &CatalogDatabase {
        &self.database
    }
}

/// What an update of the catalog did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Updated {
    /// How many crates are new or have changed.
    pub changed: usize,
    /// How many are gone.
    pub gone: usize,
}

impl CrateCatalog {
    /// Returns the catalog's file below the folder of what the server stores.
    pub fn path_in(data_dir: &Path) -> PathBuf {
        data_dir.join("crates.sqlite")
    }

    /// Opens the catalog in this file; makes an empty one where there is none, or none that can be used.
    ///
    /// # Errors
    /// `config` if the file cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        schema::read_or_recreate(path, |database| Self::of(path, database))
            .map_err(|error| of_database(path, error))
    }

    fn of(path: &Path, database: Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            data_version: AtomicI64::new(import::data_version(&database)?),
            names: ArcSwap::from_pointee(rows::names(&database, None)?),
            database: CatalogDatabase::of(path, database),
            seen: Mutex::default(),
            was_updated: AtomicBool::new(false),
            filling: Default::default(),
        })
    }

    /// Leaves only the file.
    pub fn into_database(self) -> CatalogDatabase {
        self.database
    }

    /// Returns how many crates there are.
    pub fn len(&self) -> usize {
        self.names.load().len()
    }

    /// Says whether it knows no crate yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many crates have been read of the first build, and of how many, while that is under way.
    pub fn filling(&self) -> Option<(usize, usize)> {
        let [read, of] = &self.filling;
        let of = of.load(Ordering::Relaxed);
        (of > 0).then(|| (read.load(Ordering::Relaxed), of))
    }

    /// Brings the catalog up to date with the index: reads the files that changed, which the first time are all.
    ///
    /// # Errors
    /// `server` if the copy of the index or the database cannot be read or written; the catalog then stays as it was.
    pub fn update(&self, index: &Arc<Snapshot>) -> Result<Updated> {
        // Locked throughout: of two updates the second one sees what the first one did.
        let mut seen = lock(&self.seen);
        let names = self.names.load();
        let changes = match &*seen {
            Some(before) => Changes::of(&names, index.changes_since(before)?),
            None => Changes::between(&names, index.crate_files()?),
        };
        let updated = self.apply(&changes, &|blob| index.content(blob))?;
        *seen = Some(Arc::clone(index));
        Ok(updated)
    }

    /// Says whether it knows what there is, which may be no crate at all.
    pub fn is_made(&self) -> bool {
        !self.is_empty() || self.was_updated.load(Ordering::Acquire)
    }

    fn apply(&self, changes: &Changes, read: ReadObject<'_>) -> Result<Updated> {
        let updated = match changes.is_empty() {
            true => Updated::default(),
            false => self.write(changes, read)?,
        };
        self.was_updated.store(true, Ordering::Release);
        Ok(updated)
    }

    fn write(&self, changes: &Changes, read: ReadObject<'_>) -> Result<Updated> {
        let mut database = lock(&self.database.writer);
        let names = match self.is_empty() {
            true => self.build(&mut database, changes, read),
            false => self.change(&mut database, changes, read),
        };
        let names = names.map_err(|error| match error {
            BuildError::Index(error) => error,
            BuildError::Database(error) => self.failed(error),
        })?;
        self.names.store(Arc::new(names));
        Ok(Updated {
            changed: changes.changed.len(),
            gone: changes.gone.len(),
        })
    }

    fn change(
        &self,
        database: &mut Connection,
        changes: &Changes,
        read: ReadObject<'_>,
    ) -> Result<Names, BuildError> {
        let touched = build::update(database, changes, read)?;
        let mut changed = Vec::new();
        for id in &touched {
            changed.extend(rows::facts_of(database, *id)?);
        }
        Ok(self.names.load().after(&touched, changed))
    }

    fn build(
        &self,
        database: &mut Connection,
        changes: &Changes,
        read: ReadObject<'_>,
    ) -> Result<Names, BuildError> {
        let [count, of] = &self.filling;
        of.store(changes.changed.len(), Ordering::Relaxed);
        let done = build::build(database, &changes.changed, read, || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        count.store(0, Ordering::Relaxed);
        of.store(0, Ordering::Relaxed);
        done?;
        Ok(rows::names(database, None)?)
    }

    /// Says whether [`CrateCatalog::learn`] would write what this version's manifest says.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn wants(&self, name: &CrateName, version: &CrateVersion) -> Result<bool> {
        let row = self.read(|database| row_of(database, name))?;
        Ok(row.is_some_and(|row| {
            row.described.as_deref() != Some(version.as_str()) && is_better(&row, version)
        }))
    }

    /// Takes what the manifest of a version says of its crate, if that is the default version, or higher than the one whose
    /// manifest was read before; says whether it did. One of a crate that is not in the index changes nothing.
    ///
    /// # Errors
    /// `server` if the database cannot be read or written.
    pub fn learn(
        &self,
        name: &CrateName,
        version: &CrateVersion,
        manifest: &Manifest,
    ) -> Result<bool> {
        self.database.write(|database| {
            let better = row_of(database, name)?.filter(|row| is_better(row, version));
            let Some(row) = better else {
                return Ok(false);
            };
            rows::describe(database, row.id, version.as_str(), manifest)?;
            Ok(true)
        })
    }

    /// Returns the default versions whose manifests were not read, of those that are stored: each with its crate's name.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn undescribed(
        &self,
        is_stored: impl Fn(&str, &str) -> bool,
    ) -> Result<Vec<(String, String)>> {
        self.read(|database| rows::undescribed(database, is_stored))
    }

    /// Finds crates.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn search(&self, query: &Query) -> Result<Found> {
        self.search_among(&Filter::default(), query)
    }

    /// Finds crates that pass a filter.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn search_among(&self, filter: &Filter, query: &Query) -> Result<Found> {
        let names = self.names.load_full();
        self.read(|database| search::search(&names, database, query, filter))
    }

    /// Returns the crates whose names are a typing error away from this one, a few of them, the nearest first.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn near(&self, name: &str) -> Result<Vec<CrateRow>> {
        /// As many as a client is told of, and some that nobody depends on.
        const FEW: usize = 10;
        let near = self.names.load().near(&name.to_ascii_lowercase(), FEW);
        self.crates(&near)
    }

    /// Returns what is known of these crates, in their order.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn crates(&self, ids: &[CrateId]) -> Result<Vec<CrateRow>> {
        self.read(|database| rows::crate_rows(database, ids))
    }

    /// Returns what is known of a crate, by its name, in which case, `-` and `_` do not matter.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn find(&self, name: &str) -> Result<Option<CrateRow>> {
        let names = self.names.load();
        let lower = name.to_ascii_lowercase();
        let mut alike = names.exact(&lower);
        let Some(place) = names.place_of(&lower).or_else(|| alike.next()) else {
            return Ok(None);
        };
        let id = names.facts(place).id;
        self.read(|database| rows::crate_row(database, id))
    }

    /// Returns the crates that need this one, the heaviest first: a part of them, and how many there are.
    ///
    /// # Errors
    /// `server` if the database cannot be read.
    pub fn dependents(
        &self,
        id: CrateId,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<CrateRow>, usize)> {
        let names = self.names.load_full();
        let mut ids = self.read(|database| rows::dependents(database, id))?;
        ids.sort_by_key(|id| names.rank_of(*id).unwrap_or(u32::MAX));
        let wanted: Vec<_> = ids.iter().skip(offset).take(limit).copied().collect();
        Ok((self.crates(&wanted)?, ids.len()))
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.database.read(work)
    }

    fn failed(&self, error: rusqlite::Error) -> Error {
        self.database.failed(error)
    }
}

/// Reads the row of a crate; `-` and `_` are not alike here.
fn row_of(database: &Connection, name: &CrateName) -> rusqlite::Result<Option<CrateRow>> {
    let id = rows::id_of(database, name.as_str())?;
    let row = id.map(|id| rows::crate_row(database, id)).transpose()?;
    Ok(row.flatten())
}

/// Says whether the manifest of this version describes the crate better than what did so far: that of the default version does,
/// and else that of the highest, but the registry's dump before that.
fn is_better(row: &CrateRow, version: &CrateVersion) -> bool {
    if row.is_dumped {
        return version.as_str() == row.default_version;
    }
    let rank = |version: &str| {
        let number = semver::Version::parse(version).ok();
        (version == row.default_version, number)
    };
    let described = row.described.as_deref();
    described.is_none_or(|described| rank(version.as_str()) >= rank(described))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
