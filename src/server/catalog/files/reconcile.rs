//! Reconciles the catalog with the folder: in portions, and writing only what differs.

use std::collections::HashMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::rows::forget;
use super::{Catalog, nanoseconds, now};
use crate::error::Result;
use crate::server::store::StoredFile;

/// How many files are compared, and perhaps changed, in one transaction: other processes may be waiting to write.
const PORTION: usize = 1_000;

/// What catalog and folder both know of a file.
struct Known {
    size: u64,
    modified: Option<i64>,
    is_present: bool,
}

impl Catalog {
    /// Makes the catalog agree with the folder, whose files were listed a moment ago: a new file counts as used now, a
    /// changed one loses its checksum until it is verified, and one that is gone is removed, but not its pin. Other
    /// processes may be adding files at the same time, so `is_there` is asked again before a difference is believed.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn reconcile_with(
        &self,
        mut files: Vec<StoredFile>,
        is_there: impl Fn(&str) -> bool,
    ) -> Result<()> {
        // Rust orders strings by their bytes, as SQLite's default collation does: the ranges of both sides match.
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        let mut after = String::new();
        for portion in files.chunks(PORTION) {
            let last = portion.last().map(|file| file.path.clone());
            self.reconcile_range(&after, last.as_deref(), portion, &is_there)?;
            after = last.unwrap_or(after);
        }
        // Rows after the last file of the listing: those files are gone.
        self.reconcile_range(&after, None, &[], &is_there)
    }

    /// Reconciles the files after a path, and up to another one if there is one.
    fn reconcile_range(
        &self,
        after: &str,
        last: Option<&str>,
        files: &[StoredFile],
        is_there: &impl Fn(&str) -> bool,
    ) -> Result<()> {
        let mut known = self.run(|database| known_between(database, after, last))?;
        let differing: Vec<&StoredFile> = files
            .iter()
            .filter(|file| known.remove(&file.path).is_none_or(|row| !row.is(file)))
            .filter(|file| is_there(&file.path))
            .collect();
        let gone: Vec<String> = known
            .into_iter()
            .filter(|(path, row)| row.is_present && !is_there(path))
            .map(|(path, _)| path)
            .collect();
        if !differing.is_empty() {
            self.run(|database| upsert(database, &differing))?;
        }
        for portion in gone.chunks(PORTION) {
            self.run(|database| {
                let change = database.transaction()?;
                portion.iter().try_for_each(|path| forget(&change, path))?;
                change.commit()
            })?;
        }
        Ok(())
    }
}

impl Known {
    /// Says whether catalog and folder know the same of the file.
    fn is(&self, file: &StoredFile) -> bool {
        self.is_present
            && self.size == file.size
            && self.modified == Some(nanoseconds(file.modified))
    }
}

fn known_between(
    database: &Connection,
    after: &str,
    last: Option<&str>,
) -> rusqlite::Result<HashMap<String, Known>> {
    let mut query = database.prepare_cached(
        "SELECT path, size, modified, present FROM files
         WHERE path > ?1 AND path <= ?2",
    )?;
    // SQLite sorts every text before every blob: an empty blob is the end of all paths.
    let last = last.map_or(Value::Blob(Vec::new()), |last| last.to_owned().into());
    let rows = query.query_map(params![after, last], |row| {
        let known = Known {
            size: row.get(1)?,
            modified: row.get(2)?,
            is_present: row.get(3)?,
        };
        Ok((row.get(0)?, known))
    })?;
    rows.collect()
}

/// Adds or updates files. A checksum is kept only if size and time are those of the bytes that were hashed.
fn upsert(database: &mut Connection, files: &[&StoredFile]) -> rusqlite::Result<()> {
    let change = database.transaction()?;
    // Used now, and not when the file was written: `max_idle` would empty a store that was copied with its times. Rows
    // of version 1 have no `modified`, and keep their checksum if the size is the same.
    let mut query = change.prepare_cached(
        "INSERT INTO files (path, size, modified, used) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (path) DO UPDATE SET
             checksum = CASE
                 WHEN present AND size = ?2 AND coalesce(modified, ?3) = ?3 THEN checksum
             END,
             size = ?2, modified = ?3, present = 1",
    )?;
    for file in files {
        let modified = nanoseconds(file.modified);
        query.execute(params![file.path, file.size, modified, now()])?;
    }
    drop(query);
    change.commit()
}
