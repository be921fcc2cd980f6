//! Carries out what the catalog's plan says.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::CrateFiles;
use crate::catalog::{Catalog, Entry, Limits, now, plan};
use crate::error::{Error, Kind, Result};
use crate::store::{Folder, Store};

/// Once there is too much, a twentieth more goes, so that not every new file evicts one.
const SLACK: u64 = 20;

/// What was evicted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evicted {
    /// Files that went.
    pub files: Vec<Entry>,
    /// Files that were being read and stayed.
    pub in_use: usize,
}

impl CrateFiles {
    /// Evicts what is over the configured limits.
    pub async fn evict_by_limits(self: &Arc<Self>) {
        let (Some(catalog), limits) = (&self.catalog, self.limits) else {
            return;
        };
        if limits.size.is_none() && limits.idle.is_none() {
            return;
        }
        let is_full = |limit| catalog.total().is_ok_and(|(_, bytes)| bytes > limit);
        let size = limits.size.map(|limit| match is_full(limit) {
            true => limit - limit / SLACK,
            false => limit,
        });
        let files = Arc::clone(self);
        let evicting =
            spawn_blocking(move || files.evict(&files.plan_eviction(Limits { size, ..limits })?));
        match evicting.await {
            Ok(Ok(evicted)) if evicted.files.is_empty() => {}
            Ok(Ok(evicted)) => {
                let bytes: u64 = evicted.files.iter().map(|file| file.size).sum();
                info!("evicted {} crate files, {bytes} bytes", evicted.files.len());
            }
            Ok(Err(error)) => warn!("{error}: {}", error.causes().join(": ")),
            Err(error) => warn!("the eviction broke off: {error}"),
        }
    }

    pub(super) async fn evict_if_full(self: &Arc<Self>) {
        let (Some(catalog), Some(limit)) = (&self.catalog, self.limits.size) else {
            return;
        };
        if catalog.total().is_ok_and(|(_, bytes)| bytes > limit) {
            self.evict_by_limits().await;
        }
    }

    /// Returns what these limits let go.
    ///
    /// # Errors
    /// `config` for a bucket, `server` where the database refuses.
    pub fn plan_eviction(&self, limits: Limits) -> Result<Vec<Entry>> {
        let (_, catalog) = self.folder()?;
        let entries = catalog.entries()?;
        Ok(plan(&entries, limits, now()).into_iter().cloned().collect())
    }

    /// Removes files, but for those that are being read.
    ///
    /// # Errors
    /// As [`CrateFiles::plan_eviction`], or where the disk refuses.
    pub fn evict(&self, leaving: &[Entry]) -> Result<Evicted> {
        let (folder, catalog) = self.folder()?;
        let evicted = remove(folder, catalog, leaving)?;
        self.counts.evicted(evicted.files.len());
        Ok(evicted)
    }

    /// Returns the folder and its catalog.
    ///
    /// # Errors
    /// `config` for a bucket.
    pub fn folder(&self) -> Result<(&Folder, &Catalog)> {
        match (&self.store, &self.catalog) {
            (Store::Folder(folder), Some(catalog)) => Ok((folder, catalog)),
            _ => Err(Error::new(
                Kind::Config,
                "serve.store is a bucket, where nothing is evicted or pinned by us",
            )
            .advise("Give the bucket a lifecycle rule that expires objects.")),
        }
    }
}

fn remove(folder: &Folder, catalog: &Catalog, leaving: &[Entry]) -> Result<Evicted> {
    let mut evicted = Evicted::default();
    for entry in leaving {
        let is_gone = folder.remove(&entry.path).map_err(|error| {
            Error::new(Kind::Server, format!("cannot remove {}", entry.path)).because(error)
        })?;
        match is_gone {
            true => {
                catalog.remove(&entry.path)?;
                evicted.files.push(entry.clone());
            }
            false => evicted.in_use += 1,
        }
    }
    Ok(evicted)
}
