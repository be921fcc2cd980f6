//! Hot crate files in memory, within a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::sync::Cache;

use crate::index::{Checksum, CrateFile};
use crate::memory::{Weighter, bounded};
use crate::server::catalog::now;

/// How many bytes a file takes besides its own.
const OVERHEAD: u64 = 200;
/// For about how many files of a usual size there is to be room.
const USUAL: u64 = 64 << 10;
/// How many seconds pass until a use of a file counts anew.
const FINENESS: u64 = 60;

/// The least used files leave first.
pub(super) struct Memory(Cache<Checksum, Arc<Hot>, BySize>);

/// A file in memory.
pub(super) struct Hot {
    pub(super) bytes: Bytes,
    path: String,
    used: AtomicU64,
}

#[derive(Clone)]
struct BySize;

impl Weighter<Checksum, Arc<Hot>> for BySize {
    fn weight(&self, _: &Checksum, hot: &Arc<Hot>) -> u64 {
        hot.bytes.len() as u64 + OVERHEAD
    }
}

impl Memory {
    /// Makes room for so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self(bounded(bytes, USUAL, BySize))
    }

    pub(super) fn get(&self, checksum: Checksum) -> Option<Arc<Hot>> {
        self.0.get(&checksum)
    }

    pub(super) fn put(&self, file: &CrateFile, bytes: Bytes) {
        let hot = Hot {
            bytes,
            path: file.path(),
            used: AtomicU64::new(now()),
        };
        self.0.insert(file.checksum, Arc::new(hot));
    }
}

impl Hot {
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
