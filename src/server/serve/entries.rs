//! The files of the index, prepared for their answers and kept in memory.

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

/// What is smaller, in bytes, is not worth compressing.
const LEAST_TO_COMPRESS: usize = 300;
/// What else an entry takes, in bytes.
const OVERHEAD: u64 = 400;
/// What is larger, in bytes, is compressed and taken apart where it is read: not by a thread that others wait for.
const LARGE: usize = 32 << 10;
/// How many bytes an entry usually takes.
const USUAL: u64 = 8 << 10;

/// The id of a file, and the generation of the view that it was prepared for.
type Key = (ObjectId, u64);

/// Prepared entries.
pub(super) struct Entries(Cache<Key, Arc<Entry>, BySize>);

/// One crate's file.
pub(super) struct Entry {
    pub(super) plain: Bytes,
    pub(super) tag: Tag,
    /// The tag as a strong validator, and as a weak one.
    pub(super) etag: HeaderValue,
    pub(super) weak_etag: HeaderValue,
    gzip: OnceLock<Option<Bytes>>,
    versions: OnceLock<HashMap<String, Listed>>,
}

#[derive(Clone)]
struct BySize;

impl Weighter<Key, Arc<Entry>> for BySize {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        // As much as half of its bytes again: compressed, and its versions taken apart.
        entry.plain.len() as u64 * 3 / 2 + OVERHEAD
    }
}

impl Entries {
    pub(super) fn new(bytes: u64) -> Self {
        Self(bounded(bytes, USUAL, BySize))
    }

    pub(super) fn get(&self, key: Key) -> Option<Arc<Entry>> {
        self.0.get(&key)
    }

    pub(super) fn put(&self, key: Key, entry: &Arc<Entry>) {
        self.0.insert(key, Arc::clone(entry));
    }
}

impl Entry {
    /// Prepares a file; `tag` changes whenever its bytes do.
    pub(super) fn new(plain: Vec<u8>, tag: Tag) -> Self {
        let entry = Self {
            plain: plain.into(),
            tag,
            etag: tag.strong(),
            weak_etag: tag.weak(),
            gzip: OnceLock::new(),
            versions: OnceLock::new(),
        };
        if entry.plain.len() > LARGE {
            entry.gzip();
            entry.versions();
        }
        entry
    }

    /// Returns the compressed bytes, made once, where they are worth it.
    pub(super) fn gzip(&self) -> Option<&Bytes> {
        self.gzip.get_or_init(|| compress(&self.plain)).as_ref()
    }

    /// Returns the crate file of a version.
    pub(super) fn version(&self, version: &str) -> Option<&CrateFile> {
        self.versions().get(version).map(|listed| &listed.file)
    }

    fn versions(&self) -> &HashMap<String, Listed> {
        self.versions.get_or_init(|| entry::by_version(&self.plain))
    }
}

fn compress(plain: &[u8]) -> Option<Bytes> {
    if plain.len() < LEAST_TO_COMPRESS {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < plain.len()).then(|| compressed.into())
}
