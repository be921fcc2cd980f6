//! Crate files, verified: from memory, from the store, or fetched once from upstream for everybody who asks meanwhile.
//!
//! ```text
//! get ── memory ── flight ── store ── upstream
//!                    │         └ verified again, dropped where damaged
//!                    └ one for each checksum: all who ask share it
//! ```
//!
//! Nothing is served to its end, or kept, whose checksum is not the index's.

mod body;
mod counts;
mod disk;
mod eviction;
mod flight;
mod held;
mod memory;
mod receive;
mod stock;
mod unavailable;
mod upstream;
mod upstream_dl;
mod verified;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::error;
use url::Url;

use crate::catalog::{Catalog, Limits};
use crate::config::{Downloads, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::index::{Checksum, CrateFile};
use crate::store::{Scratch, Store};
pub use body::Body;
pub use counts::{Counts, Numbers};
pub use eviction::Evicted;
use eviction::Evictor;
use flight::Stage;
use held::Held;
use memory::Memory;
pub use unavailable::Unavailable;
use upstream::Upstream;
use verified::Verified;

/// Up to this size, in bytes, a file is read whole before it is served, and kept in memory.
const SMALL: usize = 1 << 20;

/// All crate files that can be had.
pub struct CrateFiles {
    store: Store,
    /// What a folder holds; a bucket keeps no catalog.
    catalog: Option<Arc<Catalog>>,
    /// `None` where nothing is fetched.
    upstream: Option<Upstream>,
    memory: Memory,
    /// What was read through since the start.
    verified: Verified,
    flights: Mutex<HashMap<Checksum, watch::Receiver<Stage>>>,
    scratch: Scratch,
    counts: Counts,
    limits: Limits,
    evictor: Mutex<Evictor>,
    runtime: Handle,
}

impl CrateFiles {
    /// Opens the store below the configuration's `data_dir`, and what it takes to fetch.
    ///
    /// # Errors
    /// `config` where the store, `data_dir` or the certificates cannot be used.
    pub async fn open(config: &ServeConfig) -> Result<Arc<Self>> {
        let data_dir = &config.serve.data_dir;
        let unusable = |error: io::Error| {
            Error::new(Kind::Config, format!("cannot write {}", data_dir.display()))
                .because(error)
                .advise("serve.data_dir must be a folder that this user may write.")
        };
        let scratch = Scratch::open(data_dir.join("tmp")).map_err(unusable)?;
        let files = Arc::new(Self::with(config, scratch, Catalog::open)?);
        files.take_stock().await;
        Ok(files)
    }

    /// Opens the store to look at it: nothing is fetched, and nothing changes on disk.
    ///
    /// # Errors
    /// As [`CrateFiles::open`].
    pub async fn read_only(config: &ServeConfig) -> Result<Arc<Self>> {
        let mut config = config.clone();
        config.serve.downloads = Downloads::Offline;
        let scratch = Scratch::at(config.serve.data_dir.join("tmp"));
        let files = Arc::new(Self::with(&config, scratch, Catalog::read_only)?);
        files.take_new_stock().await;
        Ok(files)
    }

    fn with(
        config: &ServeConfig,
        scratch: Scratch,
        catalog: impl FnOnce(&Path) -> Result<Catalog>,
    ) -> Result<Self> {
        let data_dir = &config.serve.data_dir;
        let store = Store::open(&config.store(), &config.secrets, &config.network)?;
        Ok(Self {
            catalog: match &store {
                Store::Folder(_) => Some(Arc::new(catalog(&data_dir.join("catalog.sqlite"))?)),
                Store::Bucket(_) => None,
            },
            upstream: match config.serve.downloads {
                Downloads::Cache | Downloads::Redirect => Some(Upstream::new(config)?),
                Downloads::Offline => None,
            },
            // The index has the other quarter.
            memory: Memory::new(config.serve.memory / 4 * 3),
            verified: Verified::default(),
            flights: Mutex::default(),
            scratch,
            counts: Counts::default(),
            runtime: Handle::current(),
            limits: Limits {
                size: config.serve.max_size,
                idle: config.serve.max_idle,
            },
            evictor: Mutex::default(),
            store,
        })
    }

    /// Returns a file that is in memory.
    pub fn hot(&self, checksum: Checksum) -> Option<Bytes> {
        let hot = self.memory.get(checksum)?;
        if let (Some(catalog), Some(path)) = (&self.catalog, hot.is_used_anew()) {
            catalog.touch(path.to_owned());
        }
        self.counts.hit();
        Some(hot.bytes.clone())
    }

    /// Finds or fetches a file. The body of one that is being fetched ends early where it turns out wrong.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn get(self: &Arc<Self>, file: &CrateFile) -> Result<Body, Unavailable> {
        if let Some(bytes) = self.hot(file.checksum) {
            return Ok(Body::Whole(bytes));
        }
        // What was verified before needs no flight: reading it twice costs less.
        if let Some(held) = self.read_again(file).await {
            self.counts.hit();
            self.remember(file, &held);
            return Ok(held.into_body());
        }
        self.flight(file).body().await
    }

    /// Waits until every search under way has ended, and what it found is kept.
    pub async fn finish(&self) {
        let flights: Vec<_> = {
            let flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            flights.values().cloned().collect()
        };
        for mut stage in flights {
            while stage.changed().await.is_ok() {}
        }
    }

    /// Returns where upstream keeps a file, for clients that are sent there.
    ///
    /// # Errors
    /// As [`CrateFiles::get`].
    pub async fn upstream_url(&self, file: &CrateFile) -> Result<Url, Unavailable> {
        let upstream = self.upstream.as_ref().ok_or(Unavailable::NotHeld)?;
        upstream.url(file).await
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the catalog of a folder.
    pub fn catalog(&self) -> Option<&Catalog> {
        self.catalog.as_deref()
    }

    /// Returns what happened so far.
    pub fn numbers(&self) -> Numbers {
        self.counts.numbers()
    }

    /// Joins the flight of a file, or starts one.
    fn flight(self: &Arc<Self>, file: &CrateFile) -> flight::Passenger {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stage) = flights.get(&file.checksum) {
            return flight::Passenger::new(stage.clone());
        }
        let (stage, seen) = watch::channel(Stage::Looking);
        flights.insert(file.checksum, seen.clone());
        let (files, file) = (Arc::clone(self), file.clone());
        // Goes on when whoever asked has gone: the next one finds the file kept. Not on the thread that asked, where all
        // who wait for the file would be in its way.
        self.runtime.spawn(async move {
            let landing = Landing(&files, file.checksum);
            files.fly(&file, &stage).await;
            drop((landing, stage));
            files.evict_if_full().await;
        });
        flight::Passenger::new(seen)
    }

    /// Looks into the store, then asks upstream.
    async fn fly(&self, file: &CrateFile, stage: &watch::Sender<Stage>) {
        match self.find_kept(file).await {
            Ok(Some(held)) => {
                self.counts.hit();
                self.remember(file, &held);
                stage.send_replace(Stage::Held(held, false));
                self.touch(file.path());
                return;
            }
            Ok(None) => {}
            // What is held cannot be read: upstream may still help.
            Err(error) => error!("{file}: the store cannot be read: {error}"),
        }
        self.counts.miss();
        match self.fetch_and_keep(file, stage).await {
            Ok(()) => {}
            Err(unavailable) => {
                self.counts.unavailable(&unavailable);
                unavailable.log(file);
                stage.send_replace(Stage::Failed(unavailable));
            }
        }
    }

    fn touch(&self, path: String) {
        if let Some(catalog) = &self.catalog {
            catalog.touch(path);
        }
    }

    fn remember(&self, file: &CrateFile, held: &Held) {
        if let Held::Memory(bytes) = held {
            self.memory.put(file, bytes.clone());
        }
    }
}

/// Returns the name by which this process knows its own requests, should they come back to it (`Via`).
pub fn instance() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("crates-ferry-{:016x}", fastrand::u64(..)))
}

/// Ends a flight, however it ends.
struct Landing<'a>(&'a CrateFiles, Checksum);

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flights = self
            .0
            .flights
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        flights.remove(&self.1);
    }
}
