//! Verified crate files: from memory, from the store, or fetched once from upstream for all concurrent requests.
//!
//! ```text
//! get ── hot cache ── verified store ── single flight ── verified store ── fetcher ── verified store
//!        in memory    verified within   all who ask      read through      upstream,   written
//!                     the hour          share it         and verified      verified
//! ```
//!
//! [`CrateFiles::get`] and `fetch_through` below it are the whole way. Nothing that is received is served to its end,
//! or stored, whose checksum is not the index's.

mod body;
mod bucket_files;
mod circuit_breaker;
mod counts;
mod crate_lister;
mod evictor;
mod fetcher;
mod fingerprints;
mod hot_cache;
mod inventory;
mod negative_cache;
mod readable;
mod receive;
mod resume;
mod single_flight;
mod stage;
mod stored_paths;
mod stored_versions;
mod unavailable;
mod upstream;
mod upstream_client;
mod upstream_dl;
mod verified_file;
mod verified_store;

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;
use url::Url;

use crate::config::{Downloads, ServeConfig};
use crate::error::Result;
use crate::index::{Checksum, CrateFile};
use crate::server::catalog::files::{Catalog, Limits};
use crate::server::disk_error::unwritable;
use crate::server::memory_budget::MemoryBudget;
use crate::server::store::Scratch;
pub use body::{Body, InFlight};
use counts::Counter;
pub use counts::Numbers;
pub use evictor::{Evicted, Evictor};
use fetcher::Fetcher;
use hot_cache::HotCache;
pub use inventory::Inventory;
pub use readable::ReadableFile;
use single_flight::{Flight, SingleFlight, Waiter};
pub use stored_paths::StoredPaths;
pub use stored_versions::StoredVersions;
pub use unavailable::Unavailable;
pub use upstream_client::instance;
use verified_file::VerifiedFile;
pub use verified_store::Verified;
use verified_store::VerifiedStore;

/// How long a client waits for a body to begin: cargo times out after 30 seconds, and its message names no cause.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Where files are kept in the store that upstream took back, each by its checksum.
const ASIDE: &str = "state/aside";

/// How many files that were stored wait for the one who is told of them.
const WATCHED: usize = 256;

/// How long a bucket may take to answer at the start.
const LONGEST_PROBE: Duration = Duration::from_secs(5);

/// The crate files of this server: cached, stored, or fetched.
pub struct CrateFiles {
    hot_cache: HotCache,
    store: VerifiedStore,
    /// `None` if nothing is fetched.
    fetcher: Option<Fetcher>,
    flights: SingleFlight,
    inventory: Arc<Inventory>,
    evictor: Arc<Evictor>,
    /// The memory of small files, in the hot cache and on their way to clients.
    budget: MemoryBudget,
    runtime: Handle,
    /// Who is told of the files that were stored.
    watcher: OnceLock<mpsc::Sender<CrateFile>>,
    hits: Counter,
    misses: Counter,
}

impl CrateFiles {
    /// Opens the store, and connects nothing yet.
    ///
    /// # Errors
    /// `config` if the store, `data_dir` or the certificates cannot be used.
    pub async fn open(config: &ServeConfig) -> Result<Arc<Self>> {
        let folder = config.serve.data_dir.join("tmp");
        let scratch = Scratch::open(folder.clone());
        let scratch = scratch.map_err(|error| unwritable(&folder, error))?;
        let files = Arc::new(Self::with(config, &scratch, Catalog::open)?);
        files.inventory.recover().await;
        Ok(files)
    }

    /// Opens the store for reading, with a catalog in memory that agrees with it: nothing is fetched, and nothing
    /// changes on disk.
    ///
    /// # Errors
    /// As [`CrateFiles::open`].
    pub async fn read_only(config: &ServeConfig) -> Result<Arc<Self>> {
        let mut config = config.clone();
        config.serve.downloads = Downloads::Offline;
        let scratch = Scratch::at(config.serve.data_dir.join("tmp"));
        let files = Arc::new(Self::with(&config, &scratch, Catalog::read_only)?);
        files.inventory.reconcile().await;
        Ok(files)
    }

    /// Finds out whether the store can be used. A bucket that cannot be reached may come back: it is bypassed until
    /// then, and the log says so.
    ///
    /// # Errors
    /// If a person has to act: no such bucket, another region, credentials that are not accepted.
    pub async fn probe_store(&self) -> Result<()> {
        match timeout(LONGEST_PROBE, self.inventory.store().probe()).await {
            Ok(Err(error)) if !error.kind().is_transient() => Err(error),
            Ok(Err(error)) => {
                let advice = error
                    .advice()
                    .map_or(String::new(), |advice| format!(" ({advice})"));
                warn!(
                    "{}{advice}; crate files are not stored until it can be used",
                    error.chain()
                );
                Ok(())
            }
            Ok(Ok(())) => Ok(()),
            Err(_) => {
                let limit = humantime::format_duration(LONGEST_PROBE);
                warn!(
                    "the bucket did not respond within {limit}; crate files are not stored until it does"
                );
                Ok(())
            }
        }
    }

    fn with(
        config: &ServeConfig,
        scratch: &Scratch,
        catalog: impl FnOnce(&Path) -> Result<Catalog>,
    ) -> Result<Self> {
        let inventory = Arc::new(Inventory::open(config, catalog)?);
        let limits = Limits {
            size: config.serve.max_size,
            idle: config.serve.max_idle,
        };
        let budget = MemoryBudget::of_cache(config.serve.memory / 2);
        Ok(Self {
            // The index has the other half.
            hot_cache: HotCache::new(config.serve.memory / 2),
            store: VerifiedStore::new(Arc::clone(&inventory), scratch.clone(), budget.clone()),
            budget,
            fetcher: match config.serve.downloads {
                Downloads::Cache | Downloads::Redirect => Some(Fetcher::new(config, scratch)?),
                Downloads::Offline => None,
            },
            flights: SingleFlight::default(),
            evictor: Arc::new(Evictor::new(Arc::clone(&inventory), limits)),
            inventory,
            runtime: Handle::current(),
            watcher: OnceLock::new(),
            hits: Counter::default(),
            misses: Counter::default(),
        })
    }

    /// Returns a file that is in memory.
    pub fn hot(&self, checksum: Checksum) -> Option<Bytes> {
        let hot = self.hot_cache.get(checksum)?;
        if let (Some(catalog), Some(path)) = (self.inventory.catalog(), hot.path_to_touch()) {
            catalog.touch(path.to_owned());
        }
        self.hits.add(1);
        Some(hot.bytes.clone())
    }

    /// Takes a file out of memory, store and pins, and keeps it aside in the store, for whoever investigates.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub async fn set_aside(&self, file: &CrateFile) -> io::Result<()> {
        self.hot_cache.remove(file.checksum);
        let (path, aside) = (file.path(), format!("{ASIDE}/{}.crate", file.checksum));
        self.inventory.store().set_aside(&path, &aside).await?;
        if self.inventory.catalog().is_some() {
            self.inventory.forget(&path).await;
            self.inventory.unpin(file).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Says whether a file is in the store, or was and is kept aside; also where that cannot be found out.
    pub async fn is_here_or_aside(&self, file: &CrateFile) -> bool {
        let is_stored = self.inventory.is_stored(file).await.unwrap_or(true);
        let aside = format!("{ASIDE}/{}.crate", file.checksum);
        is_stored || self.inventory.store().has(&aside).await.unwrap_or(true)
    }

    /// Takes a file that was set aside back into the store, if it is there and right, and nothing is in its place.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub async fn bring_back(&self, file: &CrateFile) -> io::Result<()> {
        let (path, aside) = (file.path(), format!("{ASIDE}/{}.crate", file.checksum));
        let store = self.inventory.store();
        if store.has(&path).await? || !store.has(&aside).await? {
            return Ok(());
        }
        store.set_aside(&aside, &path).await?;
        let found = self.store.look(file).await.map_err(io::Error::other)?;
        if let Some(found) = found {
            self.inventory.record(file, found.size()).await;
        }
        Ok(())
    }

    /// Finds or fetches a file. The body of one that is in flight ends early if it turns out wrong.
    ///
    /// # Errors
    /// Why it is unavailable.
    pub async fn get(self: &Arc<Self>, file: &CrateFile) -> Result<Body, Unavailable> {
        // From the cheapest to the dearest: memory, a file that needs no hashing, then a search that all who ask share.
        if let Some(bytes) = self.hot(file.checksum) {
            return Ok(Body::Whole(bytes));
        }
        // What was verified lately needs no flight: reading it twice costs less.
        if let Some(found) = self.store.read_again(file).await {
            self.hits.add(1);
            self.cache(file, &found);
            return Ok(found.into());
        }
        let mut waiter = self.join_flight(file);
        let body = async {
            match waiter.is_hit().await {
                true => self.hits.add(1),
                false => self.misses.add(1),
            }
            waiter.body().await
        };
        match timeout(LONGEST_WAIT, body).await {
            Ok(body) => body,
            // Nothing of it arrived. The fetch goes on: a client that retries finds the file here.
            Err(_) => Err(too_slow()),
        }
    }

    /// Joins the search for a file, or starts it.
    fn join_flight(self: &Arc<Self>, file: &CrateFile) -> Waiter {
        let (waiter, flight) = self.flights.join(file.checksum);
        if let Some(flight) = flight {
            let (files, file) = (Arc::clone(self), file.clone());
            // A task of its own, which goes on when the clients have disconnected, once upstream was asked: the next
            // one finds the file stored. On the shared runtime: on the thread of the request all who wait for the file
            // would delay it.
            self.runtime.spawn(async move {
                if let Err(why) = files.fetch_through(&file, &flight).await {
                    why.log(&file);
                    flight.fail(why);
                }
                // Whoever waits for the end of the flight does not wait for an eviction.
                drop(flight);
                files.evictor.evict_if_full().await;
            });
        }
        waiter
    }

    /// Reads a file from the store, or fetches, serves and stores it: once for all who wait for the flight.
    async fn fetch_through(&self, file: &CrateFile, flight: &Flight) -> Result<(), Unavailable> {
        let unreadable = match self.store.read(file).await {
            Ok(Some(found)) => {
                self.cache(file, &found);
                flight.ready(found, false);
                return Ok(());
            }
            Ok(None) => None,
            // Upstream may still have it.
            Err(unreadable) => Some(unreadable),
        };
        flight.miss();
        let Some(fetcher) = &self.fetcher else {
            // A store that cannot be read may have the file: `NotStored` would be a guess.
            return Err(unreadable.unwrap_or(Unavailable::NotStored));
        };
        let mut received = fetcher.fetch(file, flight).await?;
        received.file = received.file.counted(&self.budget);
        self.cache(file, &received.file);
        // Clients do not wait for the disk.
        flight.ready(received.file.clone(), true);
        if self.store.write(file, received).await
            && let Some(watcher) = self.watcher.get()
        {
            // One that is full or gone misses this file: neither clients nor the store wait for it.
            let _ = watcher.try_send(file.clone());
        }
        Ok(())
    }

    /// Returns the files that are stored from now on, as they come; those that are not taken in time are left out. The
    /// first who asks is told.
    pub fn watch(&self) -> mpsc::Receiver<CrateFile> {
        let (watcher, stored) = mpsc::channel(WATCHED);
        // A second one finds its channel closed.
        let _ = self.watcher.set(watcher);
        stored
    }

    /// Opens a file that is stored, and verifies it; `None` if it is not. Nothing is fetched, and it does not count as used.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn stored(&self, file: &CrateFile) -> Result<Option<ReadableFile>, Unavailable> {
        let found = match self.hot_cache.get(file.checksum) {
            Some(hot) => Some(VerifiedFile::Memory(hot.bytes.clone())),
            None => self.store.look(file).await?,
        };
        Ok(found.map(ReadableFile::new))
    }

    /// Caches a small file in memory.
    fn cache(&self, file: &CrateFile, found: &VerifiedFile) {
        if let VerifiedFile::Memory(bytes) = found {
            self.hot_cache.put(file, bytes.clone());
        }
    }

    /// Returns the size of a file, in bytes, without reading or fetching it; `None` if upstream may have it.
    ///
    /// # Errors
    /// Why it is unavailable.
    pub async fn size(&self, file: &CrateFile) -> Result<Option<u64>, Unavailable> {
        let hot = self.hot_cache.get(file.checksum);
        let hot = hot.map(|hot| hot.bytes.len() as u64);
        if let Some(size) = hot.or_else(|| self.flights.found(file.checksum)) {
            return Ok(Some(size));
        }
        match (self.store.size(file).await, &self.fetcher) {
            (Ok(Some(size)), _) => Ok(Some(size)),
            (Ok(None) | Err(_), Some(_)) => Ok(None),
            (Ok(None), None) => Err(Unavailable::NotStored),
            (Err(why), None) => Err(why),
        }
    }

    /// Returns the URL of a file at upstream, for clients to be redirected there.
    ///
    /// # Errors
    /// As [`CrateFiles::get`].
    pub async fn upstream_url(&self, file: &CrateFile) -> Result<Url, Unavailable> {
        let fetcher = self.fetcher.as_ref().ok_or(Unavailable::NotStored)?;
        let url = timeout(LONGEST_WAIT, fetcher.url(file)).await;
        url.unwrap_or_else(|_| Err(too_slow()))
    }

    /// Fetches a file into the store unless it is there and right; says whether it was fetched.
    ///
    /// # Errors
    /// Why it is unavailable, or cannot be stored.
    pub async fn ensure_stored(self: &Arc<Self>, file: &CrateFile) -> Result<bool, Unavailable> {
        let is_fetched = self.join_flight(file).end().await?;
        // A flight succeeds even if the file could not be stored, since clients were served: only the store can
        // tell.
        match self.inventory.store().size(&file.path()).await {
            Ok(Some(_)) if is_fetched => Ok(true),
            Ok(Some(size)) => {
                // It was read through: the catalog may not know its checksum yet.
                self.inventory.record(file, size).await;
                Ok(false)
            }
            Ok(None) => Err(Unavailable::Disk("the file was not stored".to_owned())),
            Err(error) => Err(Unavailable::Disk(error.to_string())),
        }
    }

    /// Reads and hashes a stored file and says what it is; a damaged one is removed if `remove_damaged`.
    ///
    /// # Errors
    /// If the disk or the bucket fails.
    pub async fn verify(&self, file: &CrateFile, remove_damaged: bool) -> io::Result<Verified> {
        self.store.verify(file, remove_damaged).await
    }

    /// Waits until every search under way has ended, and what it found is stored.
    pub async fn drain(&self) {
        self.flights.drain().await;
    }

    /// Returns the inventory of the store.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Returns the evictor of the store.
    pub fn evictor(&self) -> &Arc<Evictor> {
        &self.evictor
    }

    /// Returns what was counted so far.
    pub fn numbers(&self) -> Numbers {
        let fetched = |counter: fn(&Fetcher) -> &Counter| {
            let fetcher = self.fetcher.as_ref();
            fetcher.map_or(0, |fetcher| counter(fetcher).get())
        };
        Numbers {
            hits: self.hits.get(),
            misses: self.misses.get(),
            fetched_bytes: fetched(|fetcher| &fetcher.fetched_bytes),
            upstream_errors: fetched(|fetcher| &fetcher.upstream_errors),
            checksum_failures: fetched(|fetcher| &fetcher.checksum_failures),
            damaged: self.store.damaged.get(),
            write_failures: self.store.write_failures.get(),
            evicted: self.evictor.evicted.get(),
        }
    }
}

fn too_slow() -> Unavailable {
    let limit = humantime::format_duration(LONGEST_WAIT);
    Unavailable::Timeout(format!(
        "no response within {limit}; the fetch goes on, so try again later"
    ))
}
