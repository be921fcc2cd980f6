//! Crate files, verified: from memory, from the store, or fetched once from upstream for everybody who asks meanwhile.
//!
//! ```text
//! get ── memory ── flight ── store ── upstream
//!                    │         └ verified when it is read, dropped where damaged
//!                    └ one for each checksum: all who ask share it
//! ```
//!
//! Nothing that comes from far away is served to its end, or kept, whose checksum is not the index's. A file of the folder is
//! hashed when it is first read, and again when that is an hour ago or the file changed; in between it is believed.

mod body;
mod circuit_breaker;
mod counts;
mod disk;
mod evictor;
mod fetch_through;
mod fingerprints;
mod hot_cache;
mod inventory;
mod negative_cache;
mod receive;
mod resume;
mod single_flight;
mod unavailable;
mod upstream;
mod upstream_dl;
mod verified_file;
mod verified_store;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::timeout;
use url::Url;

use crate::config::{Downloads, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::index::{Checksum, CrateFile};
use crate::server::catalog::{Catalog, Limits};
use crate::server::store::{Scratch, Store};
pub use body::Body;
use circuit_breaker::CircuitBreaker;
pub use counts::{Counts, Numbers};
pub use evictor::Evicted;
use evictor::Evictor;
use fingerprints::Fingerprints;
use hot_cache::HotCache;
use negative_cache::NegativeCache;
use single_flight::SingleFlight;
pub use unavailable::Unavailable;
use upstream::Upstream;
use verified_file::VerifiedFile;

/// Up to this size, in bytes, a file is read whole before it is served, and kept in memory.
const SMALL: usize = 1 << 20;
/// For how long a client waits for a body to begin: cargo gives up after 30 seconds of silence, and says less of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// With so many failures in a row a bucket begins to be left alone for a while.
const BUCKET_FAILURES: u32 = 3;

/// All crate files that can be had.
pub struct CrateFiles {
    store: Store,
    /// What a folder holds; a bucket keeps no catalog.
    catalog: Option<Arc<Catalog>>,
    /// `None` where nothing is fetched.
    upstream: Option<Upstream>,
    memory: HotCache,
    /// What was read through a short while ago.
    verified: Fingerprints,
    flights: SingleFlight,
    /// What could not be fetched lately.
    mishaps: NegativeCache,
    /// How the store fares, where it is a bucket.
    bucket: CircuitBreaker,
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
                .advise("Set serve.data_dir to a folder that this user may write.")
        };
        let scratch = Scratch::open(data_dir.join("tmp")).map_err(unusable)?;
        let files = Arc::new(Self::with(config, scratch, Catalog::open)?);
        files.take_stock().await;
        Ok(files)
    }

    /// Opens the store to look at it, with a catalog in memory that agrees with it: nothing is fetched, and nothing changes on
    /// disk.
    ///
    /// # Errors
    /// As [`CrateFiles::open`].
    pub async fn read_only(config: &ServeConfig) -> Result<Arc<Self>> {
        let mut config = config.clone();
        config.serve.downloads = Downloads::Offline;
        let scratch = Scratch::at(config.serve.data_dir.join("tmp"));
        let files = Arc::new(Self::with(&config, scratch, Catalog::read_only)?);
        files.look_around().await;
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
                Downloads::Cache | Downloads::Redirect => Some(Upstream::new(config, &scratch)?),
                Downloads::Offline => None,
            },
            // The index has the other half.
            memory: HotCache::new(config.serve.memory / 2),
            verified: Fingerprints::default(),
            flights: SingleFlight::default(),
            mishaps: NegativeCache::default(),
            bucket: CircuitBreaker::new(BUCKET_FAILURES),
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
        let mut waiter = self.flight(file);
        let body = async {
            match waiter.is_hit().await {
                true => self.counts.hit(),
                false => self.counts.miss(),
            }
            waiter.body().await
        };
        match timeout(PATIENCE, body).await {
            Ok(body) => body,
            // The search goes on if upstream was asked already.
            Err(_) => waiter.begun().unwrap_or_else(|| Err(too_slow())),
        }
    }

    /// Finds or fetches nothing: returns a file's size, in bytes, where it is held, and `None` where it can be asked for.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn look(&self, file: &CrateFile) -> Result<Option<u64>, Unavailable> {
        let hot = self.memory.get(file.checksum);
        let hot = hot.map(|hot| hot.bytes.len() as u64);
        if let Some(size) = hot.or_else(|| self.flights.found(file.checksum)) {
            return Ok(Some(size));
        }
        match (self.kept_size(file).await, &self.upstream) {
            (Ok(Some(size)), _) => Ok(Some(size)),
            (Ok(None) | Err(_), Some(_)) => Ok(None),
            (Ok(None), None) => Err(Unavailable::NotHeld),
            (Err(why), None) => Err(why),
        }
    }

    /// Waits until every search under way has ended, and what it found is kept.
    pub async fn finish(&self) {
        self.flights.finish().await;
    }

    /// Returns where upstream keeps a file, for clients that are sent there.
    ///
    /// # Errors
    /// As [`CrateFiles::get`].
    pub async fn upstream_url(&self, file: &CrateFile) -> Result<Url, Unavailable> {
        let upstream = self.upstream.as_ref().ok_or(Unavailable::NotHeld)?;
        let url = timeout(PATIENCE, upstream.url(file)).await;
        url.unwrap_or_else(|_| Err(too_slow()))
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

    fn touch(&self, path: String) {
        if let Some(catalog) = &self.catalog {
            catalog.touch(path);
        }
    }

    fn remember(&self, file: &CrateFile, held: &VerifiedFile) {
        if let VerifiedFile::Memory(bytes) = held {
            self.memory.put(file, bytes.clone());
        }
    }
}

/// Returns the name by which this process knows its own requests, should they come back to it (`Via`).
pub fn instance() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("crates-ferry-{:016x}", fastrand::u64(..)))
}

fn too_slow() -> Unavailable {
    let limit = humantime::format_duration(PATIENCE);
    Unavailable::Slow(format!("no answer within {limit}; it may be there later"))
}
