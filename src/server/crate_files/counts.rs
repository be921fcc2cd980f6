//! Counters of what happens to crate files; each part counts its own.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Cache hits: requests for files that were here.
    pub hits: u64,
    /// Cache misses; each request counts that waited for the same file.
    pub misses: u64,
    /// Bytes of crate files that were fetched from upstream.
    pub fetched_bytes: u64,
    /// Fetches that failed.
    pub upstream_errors: u64,
    /// Fetched files whose checksum was not the index's.
    pub checksum_failures: u64,
    /// Stored files that were damaged and removed.
    pub damaged: u64,
    /// Files that were served and could not be stored.
    pub write_failures: u64,
    /// Files that were evicted.
    pub evicted: u64,
}
