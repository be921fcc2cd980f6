//! Small crate files in memory, within a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::sync::Cache;

use crate::bounded_cache::{Weighter, bounded};
use crate::index::{Checksum, CrateFile};
use crate::server::catalog::files::now;

/// How many bytes a file takes besides its own.
const OVERHEAD: u64 = 200;
/// The usual size of a file, in bytes: the cache makes room for as many of these as fit.
const USUAL: u64 = 64 << 10;
/// How many seconds pass until a use of the same file is recorded again.
// To record a use copies the path and locks a map that all threads share; eviction needs no seconds.
const BETWEEN_USES: u64 = 60;

/// Crate files in memory; the least recently used are evicted first.
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
    /// Makes room for this many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        Self(bounded(bytes, USUAL, BySize))
    }

    pub(super) fn get(&self, checksum: Checksum) -> Option<Arc<HotFile>> {
        self.0.get(&checksum)
    }

    pub(super) fn remove(&self, checksum: Checksum) {
        self.0.remove(&checksum);
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
    /// Returns the path of the file if its last recorded use is long enough ago to record another one.
    pub(super) fn path_to_touch(&self) -> Option<&str> {
        let (now, used) = (now(), self.used.load(Ordering::Relaxed));
        if now < used + BETWEEN_USES {
            return None;
        }
        // Not compared and swapped: two threads at the same moment record one use too many.
        self.used.store(now, Ordering::Relaxed);
        Some(&self.path)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::inventory::tests::foo;
    use super::*;

    #[test]
    fn a_file_is_found_again_and_one_that_is_larger_than_the_cache_is_not_cached() {
        let cache = HotCache::new(1000);
        cache.put(&foo("1.0.0"), Bytes::from_static(b"crate"));
        assert_eq!(cache.get(foo("1.0.0").checksum).unwrap().bytes, "crate");
        let cache = HotCache::new(1000);
        cache.put(&foo("1.0.0"), vec![0; 1000].into());
        assert!(cache.get(foo("1.0.0").checksum).is_none());
    }

    #[test]
    fn a_use_is_recorded_once_a_minute() {
        let cache = HotCache::new(1000);
        cache.put(&foo("1.0.0"), Bytes::from_static(b"crate"));
        let hot = cache.get(foo("1.0.0").checksum).unwrap();
        assert_eq!(hot.path_to_touch(), None);
        hot.used.fetch_sub(BETWEEN_USES, Ordering::Relaxed);
        assert_eq!(hot.path_to_touch(), Some(foo("1.0.0").path().as_str()));
        assert_eq!(hot.path_to_touch(), None);
    }
}
