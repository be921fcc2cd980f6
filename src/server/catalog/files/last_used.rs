//! When files were last used: collected in memory, written now and then.

use rusqlite::params;

use super::{Catalog, now};
use crate::error::Result;

/// How many are written in one transaction, so that other writers do not wait long.
const PORTION: usize = 1_000;

impl Catalog {
    /// Records in memory that a file is used now.
    pub fn touch(&self, path: String) {
        self.uses().insert(path, now());
    }

    /// Writes the uses that were collected; each stays in memory until it is written.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn flush(&self) -> Result<()> {
        // Copied, so that requests that record a use never wait for the database; and not taken: an eviction must find
        // each use, in memory or in the database.
        let collected = self.uses().clone();
        let mut collected: Vec<(String, u64)> = collected.into_iter().collect();
        // Sorted, neighbours are on the same page of the database.
        collected.sort_unstable();
        for portion in collected.chunks(PORTION) {
            self.write_uses(portion)?;
            self.drop_written(portion);
        }
        Ok(())
    }

    fn write_uses(&self, uses: &[(String, u64)]) -> Result<()> {
        self.run(|database| {
            let change = database.transaction()?;
            // Another process may have written a later use.
            let mut query = change
                .prepare_cached("UPDATE files SET used = ?2 WHERE path = ?1 AND used < ?2")?;
            for (path, used) in uses {
                query.execute(params![path, used])?;
            }
            drop(query);
            change.commit()
        })
    }

    /// Drops uses that are written now, but not those that are later.
    fn drop_written(&self, written: &[(String, u64)]) {
        let mut collected = self.uses();
        for (path, used) in written {
            if collected.get(path) == Some(used) {
                collected.remove(path);
            }
        }
    }

    /// Returns when a file was last used, if that is not written yet.
    pub(super) fn unwritten_use(&self, path: &str) -> Option<u64> {
        self.uses().get(path).copied()
    }
}
