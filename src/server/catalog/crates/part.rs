//! A catalog of a part of an index: on a server that lists only what it has, of the crates that it has.

use std::sync::PoisonError;

use super::CrateCatalog;
use super::Updated;
use super::build::{Changes, ReadObject};
use crate::error::Result;
use crate::git::ObjectId;
use crate::index::CrateName;

impl CrateCatalog {
    /// Brings the catalog up to date with a part of an index: with these crates alone, each with an id that changes when what is
    /// listed of it does. `read` returns that by the id.
    ///
    /// # Errors
    /// As [`CrateCatalog::update`].
    pub fn update_from(
        &self,
        crates: Vec<(CrateName, ObjectId)>,
        read: ReadObject<'_>,
    ) -> Result<Updated> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = Changes::between(&self.names.load(), crates);
        let updated = self.apply(&changes, read)?;
        // What the whole index has beside them is not in it any more.
        *seen = None;
        Ok(updated)
    }
}
