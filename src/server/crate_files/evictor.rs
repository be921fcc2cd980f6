//! Evicts the files that the catalog chooses.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use tracing::{info, warn};

use super::counts::Counter;
use super::inventory::{Inventory, blocking};
use crate::count::counted;
use crate::error::Result;
use crate::server::catalog::files::{CatalogEntry, Limits, Position};
use crate::server::store::Removed;

/// An eviction frees a twentieth more than it must, so that not every new file evicts one.
const SLACK: u64 = 20;

/// What was evicted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evicted {
    /// Files that were removed.
    pub files: Vec<CatalogEntry>,
    /// Files that were being read and stayed.
    pub in_use: usize,
    /// Files that could not be removed, and why.
    pub failed: Vec<(String, String)>,
}

/// Work that is done by one at a time, with what it keeps between two times. Whoever asks during the work asks for all of
/// it once more: the work may be past what that one asks for.
#[derive(Default)]
struct OneAtATime<T> {
    is_asked: AtomicBool,
    kept: Mutex<T>,
}

impl<T> OneAtATime<T> {
    /// Does the work until nobody has asked for it meanwhile; leaves it to whoever is doing it.
    fn run(&self, mut work: impl FnMut(&mut T) -> Result<()>) -> Result<()> {
        self.is_asked.store(true, Ordering::SeqCst);
        // Again from the lock: between the last look and its release others may have asked and gone.
        while self.is_asked.load(Ordering::SeqCst) {
            let mut kept = match self.kept.try_lock() {
                Ok(kept) => kept,
                // What is kept says only what was logged: after a panic it is as good as before.
                Err(TryLockError::Poisoned(broken)) => PoisonError::into_inner(broken),
                Err(TryLockError::WouldBlock) => return Ok(()),
            };
            while self.is_asked.swap(false, Ordering::SeqCst) {
                work(&mut kept)?;
            }
        }
        Ok(())
    }
}

/// Evicts files from a store; one eviction by the configured limits at a time.
pub struct Evictor {
    inventory: Arc<Inventory>,
    limits: Limits,
    /// The evictions by the configured limits, with the files that could not be removed and for which that was logged.
    evictions: OneAtATime<HashSet<String>>,
    pub(super) evicted: Counter,
}

impl Evictor {
    pub(super) fn new(inventory: Arc<Inventory>, limits: Limits) -> Self {
        Self {
            inventory,
            limits,
            evictions: OneAtATime::default(),
            evicted: Counter::default(),
        }
    }

    /// Evicts what exceeds the configured limits; if such an eviction is under way, that one starts over at its end.
    pub async fn evict_by_limits(self: &Arc<Self>) {
        self.inventory.reconcile_if_new().await;
        let is_unlimited = self.limits.size.is_none() && self.limits.idle.is_none();
        if self.inventory.catalog().is_none() || is_unlimited {
            return;
        }
        let evictor = Arc::clone(self);
        let evicting = blocking(move || {
            evictor.evictions.run(|reported| {
                let evicted = evictor.evict_over(evictor.limits_now()?)?;
                report(&evicted, reported);
                Ok(())
            })
        });
        if let Err(error) = evicting.await {
            warn!("{}", error.chain());
        }
    }

    /// Evicts by the configured limits if the store exceeds `serve.max_size`.
    pub(super) async fn evict_if_full(self: &Arc<Self>) {
        let (Some(catalog), Some(limit)) = (self.inventory.catalog(), self.limits.size) else {
            return;
        };
        let catalog = Arc::clone(catalog);
        let total = blocking(move || catalog.total()).await;
        if total.is_ok_and(|(_, bytes)| bytes > limit) {
            self.evict_by_limits().await;
        }
    }

    /// Returns the configured limits; if the store exceeds its size, with some slack.
    fn limits_now(&self) -> Result<Limits> {
        let (_, catalog) = self.inventory.folder()?;
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

    /// Returns the files that exceed these limits, the least recently used first.
    ///
    /// # Errors
    /// `config` for a bucket, `server` if the database cannot be read.
    pub fn plan(&self, limits: Limits) -> Result<Vec<CatalogEntry>> {
        let (folder, catalog) = self.inventory.folder()?;
        // Nothing can be removed from a disk that is not mounted.
        if folder.is_empty() {
            return Ok(Vec::new());
        }
        let (mut chosen, mut at, mut spared) = (Vec::new(), Position::default(), 0);
        loop {
            let portion = catalog.candidates(limits, &at, spared)?;
            if portion.is_empty() {
                return Ok(chosen);
            }
            at.pass(&portion);
            spared += portion.iter().map(|entry| entry.size).sum::<u64>();
            chosen.extend(portion);
        }
    }

    /// Evicts what exceeds these limits. For a file that stays, because it is being read or cannot be removed, the next
    /// one is evicted.
    ///
    /// # Errors
    /// As [`Evictor::plan`].
    pub fn evict_over(&self, limits: Limits) -> Result<Evicted> {
        let (folder, catalog) = self.inventory.folder()?;
        // As `plan` does; and the catalog must not forget what is on that disk.
        if folder.is_empty() {
            return Ok(Evicted::default());
        }
        // Uses that are only in memory are the newest: without them the files in use might go first.
        catalog.flush()?;
        let (mut evicted, mut at) = (Evicted::default(), Position::default());
        loop {
            let portion = catalog.candidates(limits, &at, 0)?;
            if portion.is_empty() {
                return Ok(evicted);
            }
            at.pass(&portion);
            for entry in portion {
                let used = Some(entry.used);
                self.evict_one(entry, used, &mut evicted)?;
            }
        }
    }

    /// Evicts these files, whenever they were used; one that was pinned meanwhile or is being read stays.
    ///
    /// # Errors
    /// As [`Evictor::plan`].
    pub fn evict(&self, files: Vec<CatalogEntry>) -> Result<Evicted> {
        let mut evicted = Evicted::default();
        for entry in files {
            self.evict_one(entry, None, &mut evicted)?;
        }
        Ok(evicted)
    }

    fn evict_one(
        &self,
        entry: CatalogEntry,
        used: Option<u64>,
        evicted: &mut Evicted,
    ) -> Result<()> {
        let (folder, catalog) = self.inventory.folder()?;
        // The catalog removes the file while it holds the row: nobody can pin it in between.
        match catalog.evict(&entry.path, used, || folder.remove(&entry.path))? {
            Some(Ok(Removed::Gone)) => {
                self.evicted.add(1);
                evicted.files.push(entry);
            }
            Some(Ok(Removed::InUse)) => evicted.in_use += 1,
            Some(Err(error)) => evicted.failed.push((entry.path, error.to_string())),
            // It was used or pinned meanwhile, or somebody else removed it.
            None | Some(Ok(Removed::Absent)) => {}
        }
        Ok(())
    }
}

/// Logs what was evicted, and, once for each file, what could not be.
fn report(evicted: &Evicted, reported: &mut HashSet<String>) {
    let bytes: u64 = evicted.files.iter().map(|file| file.size).sum();
    if !evicted.files.is_empty() {
        let files = counted(evicted.files.len(), "crate file");
        info!("evicted {files}, {}", counted(bytes, "byte"));
    }
    for (path, why) in &evicted.failed {
        if reported.insert(path.clone()) {
            warn!("cannot evict {path}: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use tempfile::TempDir;

    use super::super::inventory::tests::{foo, inventory, put};
    use super::*;

    /// Makes a store of three files of five bytes each, and what evicts from it.
    async fn evictor(limits: Limits) -> (Arc<Evictor>, TempDir) {
        let (inventory, folder) = inventory();
        for version in ["1.0.0", "2.0.0", "3.0.0"] {
            put(&inventory, &foo(version), b"12345").await;
            inventory.record(&foo(version), 5).await;
        }
        (Arc::new(Evictor::new(inventory, limits)), folder)
    }

    fn at_most(size: u64) -> Limits {
        Limits {
            size: Some(size),
            idle: None,
        }
    }

    #[test]
    fn what_is_asked_for_during_the_work_is_done_after_it() {
        let evictions = OneAtATime::<usize>::default();
        let mut asked = 3;
        let again = || evictions.run(|_| unreachable!("two at a time"));
        let done = evictions.run(|times| {
            *times += 1;
            // Each of the first three runs is asked twice for more, which is one more run.
            if asked > 0 {
                asked -= 1;
                again()?;
                again()?;
            }
            Ok(())
        });
        assert!(done.is_ok());
        assert_eq!(*evictions.kept.lock().unwrap(), 4);
    }

    #[tokio::test]
    async fn a_plan_names_what_is_evicted_then() {
        let (evictor, _folder) = evictor(Limits::default()).await;
        let planned = evictor.plan(at_most(10)).unwrap();
        assert_eq!(planned.len(), 1);
        assert_eq!(evictor.inventory.entries().await.unwrap().len(), 3);
        assert_eq!(evictor.evict_over(at_most(10)).unwrap().files, planned);
        assert_eq!(evictor.plan(at_most(10)).unwrap(), []);
        assert_eq!(evictor.evicted.get(), 1);
    }

    #[tokio::test]
    async fn a_full_store_is_emptied_a_little_further_than_it_must_be() {
        let (full, _folder) = evictor(at_most(14)).await;
        full.evict_if_full().await;
        assert_eq!(full.evicted.get(), 1);
        let (roomy, _folder) = evictor(at_most(15)).await;
        roomy.evict_if_full().await;
        assert_eq!(roomy.evicted.get(), 0);
        let idle = Some(Duration::from_secs(60));
        let (idle, _folder) = evictor(Limits { size: None, idle }).await;
        idle.evict_by_limits().await;
        assert_eq!(idle.evicted.get(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_being_read_stays_and_another_one_is_evicted() {
        let (evictor, _folder) = evictor(Limits::default()).await;
        let (folder, _) = evictor.inventory.folder().unwrap();
        let first = evictor.plan(at_most(10)).unwrap();
        let _reader = folder.open(&first[0].path).unwrap();
        let evicted = evictor.evict_over(at_most(10)).unwrap();
        assert_eq!((evicted.in_use, evicted.files.len()), (1, 1));
        assert_ne!(evicted.files, first);
    }
}
