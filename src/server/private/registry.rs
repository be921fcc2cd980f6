//! The registry of private crates, as the server runs it.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::change::{Actor, Applied, Change, Names, Publish};
use super::draft::Draft;
use super::files::PrivateFiles;
use super::freshness::Freshness;
use super::index::PrivateIndex;
use super::line::line;
use super::owners::{self, Owners};
use super::publishable::Publishable;
use super::publisher::Publisher;
use super::refusal::Failure;
use super::signature::Signature;
use super::uploads::Uploads;
use crate::bounded_cache::{Cache, Weighter, bounded};
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::index::{CrateFile, CrateName, ReservedNames, folded};
use crate::server::crate_archive::{CrateArchive, Manifest};

/// How many mebibytes files on their way to clients may take.
const MEMORY: u32 = 256;
/// How many bytes of crates' files are kept in memory, and how many one usually has.
const ENTRIES: u64 = 32 << 20;
const USUAL: u64 = 4 << 10;
/// How many descriptions are kept.
const DESCRIPTIONS: usize = 10_000;

/// The registry of private crates.
pub struct PrivateRegistry {
    /// Its index.
    pub index: Arc<PrivateIndex>,
    /// Its files.
    pub files: PrivateFiles,
    /// How fresh the copy of the index is.
    pub freshness: Freshness,
    publisher: Publisher,
    /// The names that may be published; empty where all may that the public index does not have.
    pub names: ReservedNames,
    /// The largest crate file, in bytes.
    pub max_size: u64,
    /// The places of those who upload.
    pub uploads: Uploads,
    /// The memory for files on their way to clients, in mebibytes.
    memory: Arc<Semaphore>,
    /// Files of crates that were read, by their ids.
    entries: Cache<ObjectId, Bytes, ByLength>,
    /// What crates say of themselves, by the checksum of the version.
    descriptions: Mutex<HashMap<[u8; 32], Option<String>>>,
}

/// Weighs the file of a crate.
#[derive(Clone)]
struct ByLength;

impl Weighter<ObjectId, Bytes> for ByLength {
    fn weight(&self, _: &ObjectId, content: &Bytes) -> u64 {
        content.len() as u64 + KEY
    }
}

/// What an entry of a cache takes beside its content, in bytes.
const KEY: u64 = 100;

impl PrivateRegistry {
    /// Opens the registry, and starts the task that makes changes; `None` where none is configured.
    ///
    /// # Errors
    /// `config` if its folder, store, key or certificate cannot be used.
    pub async fn open(config: &ServeConfig) -> Result<Option<Self>> {
        let Some(index) = PrivateIndex::open(config).await? else {
            return Ok(None);
        };
        let index = Arc::new(index);
        let files = PrivateFiles::open(config)?;
        info!(
            "private crates: {}, files in {}",
            index.place(),
            files.place()
        );
        Ok(Some(Self {
            publisher: Publisher::start(Arc::clone(&index), Signature::of(config)),
            freshness: Freshness::of(Arc::clone(&index)),
            index,
            files,
            names: ReservedNames::new(config.private.names.clone()),
            max_size: config.private.max_size,
            uploads: Uploads::default(),
            memory: Arc::new(Semaphore::new(MEMORY as usize)),
            entries: bounded(ENTRIES, USUAL, ByLength),
            descriptions: Mutex::default(),
        }))
    }

    /// Returns a file of a crate that was read before.
    pub fn kept(&self, id: ObjectId) -> Option<Bytes> {
        self.entries.get(&id)
    }

    /// Keeps a file of a crate that was read.
    pub fn keep(&self, id: ObjectId, content: &Bytes) {
        self.entries.insert(id, content.clone());
    }

    /// Waits for so many mebibytes of memory; nothing is granted where the registry is gone.
    pub async fn memory(&self, mebibytes: u32) -> Option<OwnedSemaphorePermit> {
        let memory = Arc::clone(&self.memory);
        memory.acquire_many_owned(mebibytes.min(MEMORY)).await.ok()
    }

    /// Publishes a version: stores its file, and then adds its line.
    ///
    /// # Errors
    /// Why it was not published, or that it is not known whether it was.
    pub async fn publish(&self, publishable: Publishable, by: Actor) -> Result<(), Failure> {
        let Publishable {
            checked,
            file,
            bytes,
        } = publishable;
        let published = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let change = Change::Publish(Box::new(Publish {
            line: line(&checked, &file.checksum, &published, false),
            checksum: file.checksum,
            checked,
            by,
            owners: Vec::new(),
            is_import: false,
        }));
        self.check(change.clone()).await?;
        // Before the line: what the index names is there.
        self.files.put(&file, bytes.clone()).await?;
        self.publisher.make(change).await?;
        // A sweeper that listed the files long ago may have taken it for one that nobody needs. Whatever becomes of this, the version
        // is published.
        let stored = match self.files.has(&file).await {
            Ok(false) => self.files.put(&file, bytes).await,
            looked => looked.map(drop),
        };
        if let Err(error) = stored {
            warn!(
                "private crates: it is not known whether the file of {file} is stored: {}",
                error.chain()
            );
        }
        Ok(())
    }

    /// Makes a change.
    ///
    /// # Errors
    /// Why it was not made, or that it is not known whether it was.
    pub async fn make(&self, change: Change) -> Result<Applied, Failure> {
        Ok(self.publisher.make(change).await?)
    }

    /// Refuses early what the index would refuse: no file is stored for it. A refusal counts only by an index that was looked at
    /// since: another server may have published meanwhile what this one needs.
    async fn check(&self, change: Change) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let checked = self.check_once(change.clone()).await;
            if checked.is_ok() || self.index.seen() >= Some(began) {
                return checked;
            }
            self.index.refresh().await?;
        }
    }

    async fn check_once(&self, change: Change) -> Result<(), Failure> {
        let Some(snapshot) = self.index.snapshot()? else {
            return Ok(());
        };
        let checked = read(move || {
            let read = |id| snapshot.content(id);
            let tip = (snapshot.commit(), snapshot.tree(), snapshot.seconds());
            let mut draft = Draft::on(Some(tip), &read);
            // Without names: they are looked at by those who push.
            Ok(change.apply(&mut draft, &mut Names::default(), false))
        });
        checked.await?.map(drop)
    }

    /// Returns the file of a crate in the index, if it has one.
    ///
    /// # Errors
    /// If the index was not reached yet, or its copy is damaged.
    pub async fn lines(&self, name: &CrateName) -> Result<Option<Vec<u8>>> {
        let Some(snapshot) = self.index.snapshot()? else {
            return Ok(None);
        };
        let path = name.index_path();
        read(move || match snapshot.file(&path)? {
            Some(id) => snapshot.content(id).map(Some),
            None => Ok(None),
        })
        .await
    }

    /// Returns the owners of a crate; `None` if there is no such crate.
    ///
    /// # Errors
    /// As [`PrivateRegistry::lines`].
    pub async fn owners(&self, name: &CrateName) -> Result<Option<Owners>> {
        let Some(snapshot) = self.index.snapshot()? else {
            return Ok(None);
        };
        let name = name.clone();
        read(move || {
            let read = |id| snapshot.content(id);
            let tip = (snapshot.commit(), snapshot.tree(), snapshot.seconds());
            let draft = Draft::on(Some(tip), &read);
            if draft.file(&name.index_path())?.is_none() {
                return Ok(None);
            }
            let listed = draft.file(&owners::path_of(&name))?;
            Ok(Some(Owners::parse(&listed.unwrap_or_default())))
        })
        .await
    }

    /// Finds the crates whose names have all these words, those whose names begin with them first.
    ///
    /// # Errors
    /// As [`PrivateRegistry::lines`].
    pub async fn search(&self, text: &str) -> Result<Vec<CrateName>> {
        let Some(snapshot) = self.index.snapshot()? else {
            return Ok(Vec::new());
        };
        let words: Vec<_> = text.split_whitespace().map(folded).collect();
        read(move || {
            let mut found: Vec<_> = snapshot.crates()?;
            let has_all = |name: &CrateName| {
                let name = folded(name.as_str());
                words.iter().all(|word| name.contains(word.as_str()))
            };
            found.retain(has_all);
            let rank = |name: &CrateName| {
                let first = words.first().map_or("", String::as_str);
                let folded = folded(name.as_str());
                (folded != first, !folded.starts_with(first), folded)
            };
            found.sort_by_cached_key(rank);
            Ok(found)
        })
        .await
    }

    /// Returns what a version says of itself, as far as its crate file can be read.
    pub async fn description(&self, file: &CrateFile) -> Option<String> {
        let key = *file.checksum.as_bytes();
        let known = || {
            self.descriptions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(description) = known().get(&key) {
            return description.clone();
        }
        let bytes = self.files.get(file).await.ok()?;
        let (name, version) = (file.name.clone(), file.version.clone());
        let reading = spawn_blocking(move || {
            let mut archive = CrateArchive::new(Cursor::new(bytes), &name, &version);
            archive
                .manifest()
                .ok()
                .and_then(|manifest: Manifest| manifest.description)
        });
        let description = reading.await.ok()?;
        let mut known = known();
        if known.len() >= DESCRIPTIONS {
            known.clear();
        }
        known.insert(key, description.clone());
        description
    }
}

/// Reads on a thread that may wait for the disk.
pub(super) async fn read<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = |error| {
        Error::new(
            Kind::Server,
            "the thread that reads the private index failed",
        )
        .because(error)
    };
    spawn_blocking(work).await.map_err(panicked)?
}
