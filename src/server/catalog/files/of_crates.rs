//! What pages ask: which versions of a crate are stored, and which of a few files.

use std::collections::HashSet;

use super::Catalog;
use crate::error::Result;

impl Catalog {
    /// Returns the stored files of a folder, each with its path and its size in bytes.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn in_folder(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        // `0` comes after `/`: the paths that begin with the folder, found by their order.
        let (from, to) = (format!("{folder}/"), format!("{folder}0"));
        self.run(|database| {
            let mut query = database.prepare_cached(
                "SELECT path, size FROM files WHERE path > ?1 AND path < ?2 AND present",
            )?;
            query
                .query_map([&from, &to], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    /// Returns those of the paths whose files are stored.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn stored_among(&self, paths: &[String]) -> Result<HashSet<String>> {
        self.run(|database| {
            let mut query =
                database.prepare_cached("SELECT 1 FROM files WHERE path = ?1 AND present")?;
            let mut stored = HashSet::new();
            for path in paths {
                if query.exists([path])? {
                    stored.insert(path.clone());
                }
            }
            Ok(stored)
        })
    }
}
