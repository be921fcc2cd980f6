//! The files of the index, prepared for their answers and kept in memory. Uses quick_cache.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use axum::http::HeaderValue;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::ObjectId;
use crate::index::CrateFile;
use crate::index::entry::{self, Listed};

/// What is smaller, in bytes, is not worth compressing.
const LEAST_TO_COMPRESS: usize = 300;
/// What an entry takes at most besides its bytes: compressed, and its versions, whose names are in its bytes too.
const SHARE: u64 = 2;
const OVERHEAD: u64 = 400;
/// How many bytes an entry usually takes.
const USUAL: u64 = 8 << 10;

/// Prepared entries, by the ids of their files.
pub(super) struct Entries(Cache<ObjectId, Arc<Entry>, BySize>);

/// One crate's file.
pub(super) struct Entry {
    pub(super) plain: Bytes,
    /// The id in quotes, as a strong validator and as a weak one, which stands for any encoding.
    pub(super) etag: HeaderValue,
    pub(super) weak_etag: HeaderValue,
    gzip: OnceLock<Option<Bytes>>,
    versions: OnceLock<HashMap<String, Listed>>,
}

#[derive(Clone)]
struct BySize;

impl Weighter<ObjectId, Arc<Entry>> for BySize {
    fn weight(&self, _: &ObjectId, entry: &Arc<Entry>) -> u64 {
        entry.plain.len() as u64 * SHARE + OVERHEAD
    }
}

impl Entries {
    pub(super) fn new(bytes: u64) -> Self {
        let number = usize::try_from(bytes / USUAL).unwrap_or(usize::MAX).max(16);
        Self(Cache::with_weighter(number, bytes, BySize))
    }

    pub(super) fn get(&self, id: ObjectId) -> Option<Arc<Entry>> {
        self.0.get(&id)
    }

    pub(super) fn put(&self, id: ObjectId, entry: &Arc<Entry>) {
        self.0.insert(id, Arc::clone(entry));
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

impl Entry {
    /// Prepares a file; `tag` changes whenever its bytes do.
    pub(super) fn new(plain: Vec<u8>, tag: &str) -> Self {
        // Hexadecimal digits and quotes are printable.
        let value = |text: String| {
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
        };
        Self {
            plain: plain.into(),
            etag: value(format!("\"{tag}\"")),
            weak_etag: value(format!("W/\"{tag}\"")),
            gzip: OnceLock::new(),
            versions: OnceLock::new(),
        }
    }

    /// Returns the compressed bytes, made once, where they are worth it.
    pub(super) fn gzip(&self) -> Option<&Bytes> {
        self.gzip.get_or_init(|| compress(&self.plain)).as_ref()
    }

    /// Returns the crate file of a version.
    pub(super) fn version(&self, version: &str) -> Option<&CrateFile> {
        let versions = self.versions.get_or_init(|| entry::by_version(&self.plain));
        versions.get(version).map(|listed| &listed.file)
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
