//! Counts what happens to crate files.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Unavailable;

/// Counters that only grow.
#[derive(Debug, Default)]
pub struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    fetched_bytes: AtomicU64,
    upstream_errors: AtomicU64,
    checksum_failures: AtomicU64,
    damaged: AtomicU64,
    unkept: AtomicU64,
    evicted: AtomicU64,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Requests for files that were held.
    pub hits: u64,
    /// Requests for files that were not, each that waited for the same one.
    pub misses: u64,
    /// Bytes of crate files that came from upstream.
    pub fetched_bytes: u64,
    /// Files that upstream did not give.
    pub upstream_errors: u64,
    /// Files from upstream that were not what the index vouches for.
    pub checksum_failures: u64,
    /// Kept files that were damaged and dropped.
    pub damaged: u64,
    /// Files that were served and could not be kept.
    pub unkept: u64,
    /// Files that were evicted.
    pub evicted: u64,
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

impl Counts {
    pub(super) fn hit(&self) {
        add(&self.hits, 1);
    }

    pub(super) fn miss(&self) {
        add(&self.misses, 1);
    }

    pub(super) fn fetched(&self, bytes: u64) {
        add(&self.fetched_bytes, bytes);
    }

    pub(super) fn damaged(&self) {
        add(&self.damaged, 1);
    }

    pub(super) fn unkept(&self) {
        add(&self.unkept, 1);
    }

    pub(super) fn evicted(&self, files: usize) {
        add(&self.evicted, files as u64);
    }

    pub(super) fn unavailable(&self, why: &Unavailable) {
        match why {
            Unavailable::NotHeld
            | Unavailable::Busy
            | Unavailable::Abandoned
            | Unavailable::Store(_)
            | Unavailable::Disk(_) => {}
            Unavailable::Mismatch { .. } => add(&self.checksum_failures, 1),
            _ => add(&self.upstream_errors, 1),
        }
    }

    pub(super) fn numbers(&self) -> Numbers {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Numbers {
            hits: read(&self.hits),
            misses: read(&self.misses),
            fetched_bytes: read(&self.fetched_bytes),
            upstream_errors: read(&self.upstream_errors),
            checksum_failures: read(&self.checksum_failures),
            damaged: read(&self.damaged),
            unkept: read(&self.unkept),
            evicted: read(&self.evicted),
        }
    }
}
