//! When files were used: gathered in memory, written now and then.

use rusqlite::params;

use super::{Catalog, now};
use crate::error::Result;

/// How many are written at a time, so that nobody waits long.
const PORTION: usize = 1_000;

impl Catalog {
    /// Takes in that a file was used, in memory.
    pub fn touch(&self, path: String) {
        self.uses().insert(path, now());
    }

    /// Writes the uses that were gathered; what cannot be written is gathered still.
    ///
    /// # Errors
    /// As [`Catalog::add`].
    pub fn flush(&self) -> Result<()> {
        let gathered = std::mem::take(&mut *self.uses());
        let mut gathered: Vec<(String, u64)> = gathered.into_iter().collect();
        // Neighbors are on the same page.
        gathered.sort_unstable();
        let mut portions = gathered.chunks(PORTION);
        while let Some(portion) = portions.next() {
            if let Err(error) = self.write_uses(portion) {
                self.put_back(portion);
                portions.for_each(|left| self.put_back(left));
                return Err(error);
            }
        }
        Ok(())
    }

    fn write_uses(&self, uses: &[(String, u64)]) -> Result<()> {
        self.run(|database| {
            let change = database.transaction()?;
            let mut query = change
                .prepare_cached("UPDATE files SET used = ?2 WHERE path = ?1 AND used < ?2")?;
            for (path, used) in uses {
                query.execute(params![path, used])?;
            }
            drop(query);
            change.commit()
        })
    }

    fn put_back(&self, uses: &[(String, u64)]) {
        let mut gathered = self.uses();
        for (path, used) in uses {
            let later = gathered.entry(path.clone()).or_default();
            *later = (*later).max(*used);
        }
    }

    /// Returns when a file was used, if that is not written yet.
    pub(super) fn unwritten_use(&self, path: &str) -> Option<u64> {
        self.uses().get(path).copied()
    }
}
