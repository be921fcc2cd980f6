//! HotFile crate files in memory, within a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::sync::Cache;

use crate::bounded_cache::{Weighter, bounded};
use crate::index::{Checksum, CrateFile};
use crate::server::catalog::now;

/// How many bytes a file takes besides its own.
const OVERHEAD: u64 = 200;
/// For about how many files of a usual size there is to be room.
const USUAL: u64 = 64 << 10;
/// How many seconds pass until a use of a file counts anew.
const FINENESS: u64 = 60;

/// The least used files leave first.
pub(super) struct HotCache(Cache<Checksum, Arc<HotFile>, BySize>);

/// A file in memory.
pub(super) struct HotFile {
    pub(super) bytes: Bytes,
    path: String,
    used: AtomicU64,
}

#[derive(Clone)]
struct BySize;

impl Weighter<Checksum, Arc<HotFile>> for BySize {
    fn weight(&self, _: &Checksum, hot: &Arc<HotFile>) -> u64 {
        hot.bytes.len() as u64 + OVERHEAD
    }
}

impl HotCache {
    /// Makes room for so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self(bounded(bytes, USUAL, BySize))
    }

    pub(super) fn get(&self, checksum: Checksum) -> Option<Arc<HotFile>> {
        self.0.get(&checksum)
    }

    pub(super) fn put(&self, file: &CrateFile, bytes: Bytes) {
        let hot = HotFile {
            bytes,
            path: file.path(),
            used: AtomicU64::new(now()),
        };
        self.0.insert(file.checksum, Arc::new(hot));
    }
}

impl HotFile {
    /// Returns the file's path where its last use is long enough ago to be worth writing down.
    pub(super) fn is_used_anew(&self) -> Option<&str> {
        let (now, used) = (now(), self.used.load(Ordering::Relaxed));
        if now < used + FINENESS {
            return None;
        }
        self.used.store(now, Ordering::Relaxed);
        Some(&self.path)
    }
}
