//! Counts responses. Each thread has its own counters: with shared ones, threads would wait for each other's cache
//! lines.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many threads have counters of their own; others share them.
const SHARDS: usize = 16;
/// The classes of a status, 1xx to 5xx, and 0 for requests without a response.
const CLASSES: usize = 6;

thread_local! {
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

/// Responses by the class of their status, and their bytes.
#[derive(Debug, Default)]
pub(super) struct Traffic([Shard; SHARDS]);

/// The counters of a thread, which share no cache line with another's.
#[derive(Debug, Default)]
// 128 and not 64: x86-64 prefetches cache lines in pairs, and some ARM cores have lines of 128 bytes.
#[repr(align(128))]
struct Shard {
    responses: [AtomicU64; CLASSES],
    bytes: AtomicU64,
}

impl Traffic {
    /// Counts a response.
    pub(super) fn count(&self, status: u16, bytes: u64) {
        let shard = &self.0[SHARD.with(|shard| *shard)];
        let class = usize::from(status / 100).min(CLASSES - 1);
        shard.responses[class].fetch_add(1, Ordering::Relaxed);
        shard.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns how many responses had a class of status, for example 4 for client errors; 0 are requests whose client
    /// did not wait.
    pub(super) fn responses(&self, class: usize) -> u64 {
        let counts = self.0.iter().filter_map(|shard| shard.responses.get(class));
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Returns the bytes of all responses.
    pub(super) fn bytes(&self) -> u64 {
        let counts = self.0.iter().map(|shard| &shard.bytes);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}
