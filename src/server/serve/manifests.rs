//! Reads the manifests of stored crate files, for the catalog of crates: of each file that comes, and of those default versions
//! that came otherwise, by `prefetch`, another server on the bucket, or before there was a catalog.
//!
//! One at a time, and with pauses: no client waits for it, and nobody notices it.

use std::collections::HashSet;
use std::future::{pending, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Receiver;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

use super::state::State;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::index::{Checksum, CrateFile, CrateName, CrateVersion, entry};
use crate::server::catalog::crates::CrateCatalog;
use crate::server::crate_archive::CrateArchive;

/// How often the store is searched for files that came otherwise.
const EVERY: Duration = Duration::from_secs(3600);
/// How many files that cannot be read are remembered, so that they are not tried again.
const REMEMBERED: usize = 10_000;

/// Reads the manifests of stored crate files.
pub(super) async fn forever(state: &'static State) {
    let Some(catalog) = &state.catalog else {
        return pending().await;
    };
    // Before the first one can be stored.
    let arriving = state.crate_files.watch();
    while catalog.is_empty() {
        state.has_filled_catalog.notified().await;
    }
    let reader = Reader {
        state,
        catalog,
        unreadable: HashSet::new(),
        last_failure: None,
    };
    reader.read_all(arriving).await;
}

struct Reader {
    state: &'static State,
    catalog: &'static CrateCatalog,
    /// What is wrong in an archive stays wrong.
    unreadable: HashSet<Checksum>,
    last_failure: Option<String>,
}

/// A version whose crate file is stored, and its crate's name.
type Stored = (CrateName, CrateVersion);

/// What is done next.
enum Next {
    /// Read a file that was stored just now.
    Arrived(CrateFile),
    /// Search the store.
    Search,
    /// Read a file that the search found.
    Waiting,
}

impl Reader {
    async fn read_all(mut self, mut arriving: Receiver<CrateFile>) {
        let mut searches = interval(EVERY);
        searches.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::new();
        loop {
            let next = tokio::select! {
                biased;
                Some(file) = arriving.recv() => Next::Arrived(file),
                _ = searches.tick() => Next::Search,
                () = ready(()), if !waiting.is_empty() => Next::Waiting,
            };
            let began = Instant::now();
            let done = match next {
                Next::Arrived(file) => self.read(file).await,
                Next::Search => self.search().await.map(|found| waiting = found),
                Next::Waiting => self.read_next(&mut waiting).await,
            };
            if let Err(error) = done {
                self.warn(&error);
                // The same would happen to the others.
                waiting.clear();
            }
            // At most half of a core, and of what the disk can do.
            sleep(began.elapsed()).await;
        }
    }

    /// Lists the default versions that are stored, and whose manifests were not read.
    async fn search(&self) -> Result<Vec<Stored>> {
        let catalog = self.catalog;
        let paths = self.state.crate_files.inventory().stored_paths().await?;
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        blocking(move || {
            let stored = |name: &str, version: &str| {
                let (name, version) =
                    (CrateName::new(name).ok()?, CrateVersion::new(version).ok()?);
                Some((name, version))
            };
            let found = catalog.undescribed(|name, version| {
                stored(name, version).is_some_and(|(name, version)| {
                    paths.contains(&CrateFile::path_of(&name, &version))
                })
            })?;
            if !found.is_empty() {
                let count = counted(found.len(), "stored crate file");
                debug!("the catalog: reading the manifests of {count}");
            }
            Ok(found
                .iter()
                .filter_map(|(name, version)| stored(name, version))
                .collect())
        })
        .await
    }

    async fn read_next(&mut self, waiting: &mut Vec<Stored>) -> Result<()> {
        let Some((name, version)) = waiting.pop() else {
            return Ok(());
        };
        let view = self
            .state
            .view()
            .ok()
            .and_then(|view| view.as_ref().map(Arc::clone));
        let Some(view) = view else {
            return Ok(());
        };
        let file = blocking(move || {
            let Some(id) = view.file(&name.index_path())? else {
                return Ok(None);
            };
            Ok(entry::find(&view.content(id)?, version.as_str()))
        })
        .await?;
        match file {
            Some(file) => self.read(file).await,
            None => Ok(()),
        }
    }

    /// Reads a file, if the catalog does not know better already.
    async fn read(&mut self, file: CrateFile) -> Result<()> {
        let catalog = self.catalog;
        let (name, version) = (file.name.clone(), file.version.clone());
        if self.unreadable.contains(&file.checksum)
            || !blocking(move || catalog.wants(&name, &version)).await?
        {
            return Ok(());
        }
        let stored = self.state.crate_files.stored(&file).await;
        let stored = stored.map_err(|why| Error::new(Kind::Server, format!("{file}: {why}")))?;
        let Some(stored) = stored else {
            return Ok(());
        };
        let (name, version) = (file.name.clone(), file.version.clone());
        let read = blocking(
            move || match CrateArchive::new(stored, &name, &version).manifest() {
                Ok(manifest) => catalog.learn(&name, &version, &manifest).map(|_| None),
                Err(wrong) => Ok(Some(wrong)),
            },
        );
        if let Some(wrong) = read.await? {
            let wrong = self.state.mask.apply(&wrong.to_string()).into_owned();
            debug!("{file}: the catalog leaves its manifest out: {wrong}");
            if self.unreadable.len() < REMEMBERED {
                self.unreadable.insert(file.checksum);
            }
        }
        Ok(())
    }

    /// Logs a failure, unless it is the last one again.
    fn warn(&mut self, error: &Error) {
        let failure = self.state.mask.apply(&error.chain()).into_owned();
        if self.last_failure.as_ref() != Some(&failure) {
            warn!("manifests of crate files cannot be read: {failure}");
        }
        self.last_failure = Some(failure);
    }
}

/// Does work that may wait for the disk, on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked =
        |error| Error::new(Kind::Server, "the thread that reads manifests failed").because(error);
    spawn_blocking(work).await.map_err(panicked)?
}
