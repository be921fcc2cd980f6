//! Which versions are stored, for those who show it: an answer that comes at once, or none.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use semver::Version;
use tokio::time::timeout;

use super::inventory::{Inventory, blocking};

use crate::index::{CrateFile, CrateName, CrateVersion, stored_at};
use crate::server::catalog::files::Catalog;

/// How long a page waits for the database, which an eviction may hold.
const PATIENCE: Duration = Duration::from_millis(200);

/// The stored versions of a crate, as far as they are known.
#[derive(Debug, Default)]
pub struct StoredVersions {
    /// The sizes of their files, in bytes.
    sizes: HashMap<String, u64>,
    /// Whether it is known that no others are stored.
    are_all: bool,
}

impl StoredVersions {
    /// Returns the size of the file of a version in bytes, if it is known to be stored.
    pub fn size(&self, version: &str) -> Option<u64> {
        self.sizes.get(version).copied()
    }

    /// Says whether a version may be stored: it is known to be, or it is not known which ones are.
    pub fn may_have(&self, version: &str) -> bool {
        !self.are_all || self.sizes.contains_key(version)
    }
}

impl Inventory {
    /// Returns those versions of a crate that are stored, as far as that can be known quickly.
    pub async fn versions_of<'v>(
        &self,
        name: &CrateName,
        versions: impl IntoIterator<Item = &'v Version>,
    ) -> StoredVersions {
        let folder = name.index_path();
        if self.catalog().is_none() {
            let are_all = self.crate_lister.list_soon(&folder).await;
            let now = Instant::now();
            let sizes = versions.into_iter().filter_map(|version| {
                let version = version.to_string();
                let path = CrateFile::path_of(name, &CrateVersion::new(&version).ok()?);
                Some((version, self.bucket_files.size(&path, now)?))
            });
            return StoredVersions {
                sizes: sizes.collect(),
                are_all,
            };
        }
        let files = self.ask(move |catalog| catalog.in_folder(&folder)).await;
        let are_all = files.is_some();
        let versions = files.into_iter().flatten().filter_map(|(path, size)| {
            let (_, version) = stored_at(&path)?;
            Some((version.as_str().to_owned(), size))
        });
        StoredVersions {
            sizes: versions.collect(),
            are_all,
        }
    }

    /// Returns the names of those crates whose version of this number is stored, as far as that can be known quickly. A bucket
    /// is not asked.
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
        if self.catalog().is_none() {
            let now = Instant::now();
            names.retain(|path, _| self.bucket_files.size(path, now).is_some());
            return names.into_values().collect();
        }
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
