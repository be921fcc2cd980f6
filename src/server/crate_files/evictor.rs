//! Carries out what the catalog chooses.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, TryLockError};

use tracing::{info, warn};

use super::CrateFiles;
use super::inventory::blocking;
use crate::error::{Error, Kind, Result};
use crate::server::catalog::{Catalog, CatalogEntry, Limits, Position};
use crate::server::store::{Removed, Store, StoreFolder};

/// Once there is too much, a twentieth more goes, so that not every new file evicts one.
const SLACK: u64 = 20;

/// What was evicted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evicted {
    /// Files that went.
    pub files: Vec<CatalogEntry>,
    /// Files that were being read and stayed.
    pub in_use: usize,
    /// Files that could not be removed, and why.
    pub failed: Vec<(String, String)>,
}

/// Whoever evicts for the server; there is one at a time. Knows the files that a person was told of.
#[derive(Debug, Default)]
pub(super) struct Evictor {
    told: HashSet<String>,
}

impl CrateFiles {
    /// Evicts what is over the configured limits, unless that is being done.
    pub async fn evict_by_limits(self: &Arc<Self>) {
        self.take_new_stock().await;
        if self.catalog.is_none() || (self.limits.size.is_none() && self.limits.idle.is_none()) {
            return;
        }
        let files = Arc::clone(self);
        let evicting = blocking(move || {
            let mut evictor = match files.evictor.try_lock() {
                Ok(evictor) => evictor,
                Err(TryLockError::Poisoned(broken)) => PoisonError::into_inner(broken),
                Err(TryLockError::WouldBlock) => return Ok(()),
            };
            let evicted = files.evict_over(files.limits_now()?)?;
            evictor.tell(&evicted);
            Ok(())
        });
        if let Err(error) = evicting.await {
            warn!("{}", error.chain());
        }
    }

    pub(super) async fn evict_if_full(self: &Arc<Self>) {
        let (Some(catalog), Some(limit)) = (&self.catalog, self.limits.size) else {
            return;
        };
        let catalog = Arc::clone(catalog);
        let total = blocking(move || catalog.total()).await;
        if total.is_ok_and(|(_, bytes)| bytes > limit) {
            self.evict_by_limits().await;
        }
    }

    /// Returns the configured limits; where there is too much, a little less than that.
    fn limits_now(&self) -> Result<Limits> {
        let (_, catalog) = self.folder()?;
        let (_, bytes) = catalog.total()?;
        let size = self.limits.size.map(|limit| match bytes > limit {
            true => limit - limit / SLACK,
            false => limit,
        });
        Ok(Limits {
            size,
            ..self.limits
        })
    }

    /// Returns what these limits let go, the least recently used first.
    ///
    /// # Errors
    /// `config` for a bucket, `server` where the database refuses.
    pub fn plan_eviction(&self, limits: Limits) -> Result<Vec<CatalogEntry>> {
        let (folder, catalog) = self.folder()?;
        // Nothing can go from a disk that is not mounted.
        if folder.is_empty() {
            return Ok(Vec::new());
        }
        let (mut leaving, mut at, mut spared) = (Vec::new(), Position::default(), 0);
        loop {
            let portion = catalog.leaving(limits, &at, spared)?;
            if portion.is_empty() {
                return Ok(leaving);
            }
            at.pass(&portion);
            spared += portion.iter().map(|entry| entry.size).sum::<u64>();
            leaving.extend(portion);
        }
    }

    /// Evicts what is over these limits. For a file that stays, because it is being read or cannot be removed, the next one goes.
    ///
    /// # Errors
    /// As [`CrateFiles::plan_eviction`].
    pub fn evict_over(&self, limits: Limits) -> Result<Evicted> {
        let (folder, catalog) = self.folder()?;
        // As it is planned; and nothing is to be forgotten.
        if folder.is_empty() {
            return Ok(Evicted::default());
        }
        catalog.flush()?;
        let (mut evicted, mut at) = (Evicted::default(), Position::default());
        loop {
            let portion = catalog.leaving(limits, &at, 0)?;
            if portion.is_empty() {
                return Ok(evicted);
            }
            at.pass(&portion);
            for entry in portion {
                let used = Some(entry.used);
                self.let_go(entry, used, &mut evicted)?;
            }
        }
    }

    /// Evicts these files, whenever they were used; what was pinned meanwhile or is being read stays.
    ///
    /// # Errors
    /// As [`CrateFiles::plan_eviction`].
    pub fn evict(&self, leaving: Vec<CatalogEntry>) -> Result<Evicted> {
        let mut evicted = Evicted::default();
        for entry in leaving {
            self.let_go(entry, None, &mut evicted)?;
        }
        Ok(evicted)
    }

    fn let_go(&self, entry: CatalogEntry, used: Option<u64>, evicted: &mut Evicted) -> Result<()> {
        let (folder, catalog) = self.folder()?;
        match catalog.let_go(&entry.path, used, || folder.remove(&entry.path))? {
            Some(Ok(Removed::Gone)) => {
                self.counts.evicted(1);
                evicted.files.push(entry);
            }
            Some(Ok(Removed::InUse)) => evicted.in_use += 1,
            Some(Err(error)) => evicted.failed.push((entry.path, error.to_string())),
            // It was used or pinned meanwhile, or somebody else removed it.
            None | Some(Ok(Removed::Absent)) => {}
        }
        Ok(())
    }

    /// Returns the folder and its catalog.
    ///
    /// # Errors
    /// `config` for a bucket.
    pub fn folder(&self) -> Result<(&StoreFolder, &Catalog)> {
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

impl Evictor {
    fn tell(&mut self, evicted: &Evicted) {
        let bytes: u64 = evicted.files.iter().map(|file| file.size).sum();
        if !evicted.files.is_empty() {
            info!("evicted {} crate files, {bytes} bytes", evicted.files.len());
        }
        for (path, why) in &evicted.failed {
            if self.told.insert(path.clone()) {
                warn!("{path} cannot be removed and stays: {why}");
            }
        }
    }
}
