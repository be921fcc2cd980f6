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
        let evicting = spawn_blocking(move || files.evict(Limits { size, ..limits }));
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

    /// Evicts what these limits say.
    ///
    /// # Errors
    /// `config` for a bucket, `server` where disk or database refuse.
    pub fn evict(&self, limits: Limits) -> Result<Evicted> {
        let (Store::Folder(folder), Some(catalog)) = (&self.store, &self.catalog) else {
            return Err(Error::new(Kind::Config, "a bucket evicts by itself")
                .advise("Give the bucket a lifecycle rule that expires objects."));
        };
        let entries = catalog.entries()?;
        let evicted = remove(folder, catalog, &plan(&entries, limits, now()))?;
        self.counts.evicted(evicted.files.len());
        Ok(evicted)
    }
}

fn remove(folder: &Folder, catalog: &Catalog, leaving: &[&Entry]) -> Result<Evicted> {
    let mut evicted = Evicted::default();
    for entry in leaving {
        let is_gone = folder.remove(&entry.path).map_err(|error| {
            Error::new(Kind::Server, format!("cannot remove {}", entry.path)).because(error)
        })?;
        match is_gone {
            true => {
                catalog.remove(&entry.path)?;
                evicted.files.push((*entry).clone());
            }
            false => evicted.in_use += 1,
        }
    }
    Ok(evicted)
}
