//! A cache of index files in memory, prepared for their responses.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use axum::http::HeaderValue;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use quick_cache::sync::Cache;

use super::conditions::Tag;
use crate::bounded_cache::{Weighter, bounded};
use crate::git::ObjectId;
use crate::index::CrateFile;
use crate::index::entry::{self, Listed};
use crate::policy::Decided;
use crate::server::decisions::DecidedFile;
use crate::server::memory_budget::MemoryBudget;

/// The smallest file that is worth compressing, in bytes.
const LEAST_TO_COMPRESS: usize = 300;
/// What a cached file takes beside its bytes.
const OVERHEAD: u64 = 400;
/// Larger files, in bytes, are compressed and parsed by the thread that reads them, instead of by a thread that serves
/// other connections.
const LARGE: usize = 32 << 10;
/// How many bytes a cached file usually takes.
const USUAL: u64 = 8 << 10;

/// The id of a file as it is shown, and the generation of the view that it was prepared for.
type Key = (ObjectId, u64);

/// The cache, bounded by bytes.
pub(super) struct IndexCache {
    files: Cache<Key, Arc<IndexFile>, BySize>,
    budget: MemoryBudget,
}

/// The index file of a crate: a line of JSON for each version.
pub(super) struct IndexFile {
    pub(super) plain: Bytes,
    pub(super) tag: Tag,
    /// The tag as a strong validator, and as a weak one for the compressed bytes.
    pub(super) etag: HeaderValue,
    pub(super) weak_etag: HeaderValue,
    /// What the policy decides of its versions, where it is not all served as it is.
    decided: Option<Arc<DecidedFile>>,
    gzip: OnceLock<Option<Bytes>>,
    budget: MemoryBudget,
    versions: OnceLock<HashMap<String, Listed>>,
}

#[derive(Clone)]
struct BySize;

impl Weighter<Key, Arc<IndexFile>> for BySize {
    fn weight(&self, _: &Key, file: &Arc<IndexFile>) -> u64 {
        // Half as much again: its compressed bytes, and its parsed versions.
        file.plain.len() as u64 * 3 / 2 + OVERHEAD
    }
}

impl IndexCache {
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            files: bounded(bytes, USUAL, BySize),
            budget: MemoryBudget::of_cache(bytes),
        }
    }

    pub(super) fn get(&self, key: Key) -> Option<Arc<IndexFile>> {
        self.files.get(&key)
    }

    pub(super) fn put(&self, key: Key, file: &Arc<IndexFile>) {
        self.files.insert(key, Arc::clone(file));
    }

    /// Returns the budget of all index files in memory, also of those that left the cache.
    pub(super) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }
}

impl IndexFile {
    /// Prepares a file; `tag` changes whenever its bytes do. `None` if the budget has no room for it.
    pub(super) fn new(
        plain: Vec<u8>,
        tag: Tag,
        decided: Option<Arc<DecidedFile>>,
        budget: &MemoryBudget,
    ) -> Option<Self> {
        let share = budget.take(plain.len() as u64)?;
        let file = Self {
            plain: share.hold(plain),
            tag,
            etag: tag.strong(),
            weak_etag: tag.weak(),
            decided,
            gzip: OnceLock::new(),
            budget: budget.clone(),
            versions: OnceLock::new(),
        };
        if file.plain.len() > LARGE {
            file.gzip();
            file.versions();
        }
        Some(file)
    }

    /// Returns the compressed bytes, or nothing if compression gains nothing. They are made once, when a client first
    /// accepts them.
    pub(super) fn gzip(&self) -> Option<&Bytes> {
        let compressed = || {
            let bytes = compress(&self.plain)?;
            // Less than half of the plain bytes mostly, which the budget had room for.
            Some(self.budget.take_anyway(bytes.len() as u64).hold(bytes))
        };
        self.gzip.get_or_init(compressed).as_ref()
    }

    /// Returns the crate file of a version.
    pub(super) fn version(&self, version: &str) -> Option<&CrateFile> {
        self.versions().get(version).map(|listed| &listed.file)
    }

    /// Returns what the policy decides of a version, if that is not served as it is.
    pub(super) fn decided(&self, version: &str) -> Option<&Decided> {
        self.decided.as_ref()?.outcome.of(version)
    }

    /// Returns why the crate file of a version is refused, if it is.
    pub(super) fn refusal(&self, version: &str) -> Option<&Decided> {
        self.decided.as_ref()?.outcome.refusal(version)
    }

    fn versions(&self) -> &HashMap<String, Listed> {
        self.versions.get_or_init(|| entry::by_version(&self.plain))
    }
}

/// Compresses a body; `None` if that gains nothing.
pub(super) fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() < LEAST_TO_COMPRESS {
        return None;
    }
    // gzip and nothing newer: cargo accepts `deflate, gzip`.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < plain.len()).then_some(compressed)
}
