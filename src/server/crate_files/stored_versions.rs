//! Which versions are stored, for those who show it: an answer that comes at once, or none.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::inventory::{Inventory, blocking};

use crate::index::{CrateFile, CrateName, CrateVersion, stored_at};
use crate::server::catalog::files::Catalog;

/// How long a page waits for the database, which an eviction may hold.
const PATIENCE: Duration = Duration::from_millis(200);

impl Inventory {
    /// Returns the stored versions of a crate, with the sizes of their files in bytes; `None` where that cannot be known
    /// quickly, as for a bucket.
    pub async fn versions_of(&self, name: &CrateName) -> Option<HashMap<String, u64>> {
        let folder = name.index_path();
        let files = self.ask(move |catalog| catalog.in_folder(&folder)).await?;
        let versions = files.into_iter().filter_map(|(path, size)| {
            let (_, version) = stored_at(&path)?;
            Some((version.as_str().to_owned(), size))
        });
        Some(versions.collect())
    }

    /// Returns the names of those crates whose version of this number is stored; none where that cannot be known quickly.
    pub async fn stored_among(
        &self,
        versions: impl IntoIterator<Item = (&str, &str)>,
    ) -> HashSet<String> {
        let paths = versions.into_iter().filter_map(|(name, version)| {
            let name = CrateName::new(name).ok()?;
            let path = CrateFile::path_of(&name, &CrateVersion::new(version).ok()?);
            Some((path, name.to_string()))
        });
        let mut names: HashMap<String, String> = paths.collect();
        let paths: Vec<_> = names.keys().cloned().collect();
        let stored = self.ask(move |catalog| catalog.stored_among(&paths)).await;
        let stored = stored.unwrap_or_default().into_iter();
        stored.filter_map(|path| names.remove(&path)).collect()
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Catalog) -> crate::error::Result<T> + Send + 'static,
    ) -> Option<T> {
        let catalog = Arc::clone(self.catalog()?);
        let asking = blocking(move || question(&catalog));
        timeout(PATIENCE, asking).await.ok()?.ok()
    }
}
