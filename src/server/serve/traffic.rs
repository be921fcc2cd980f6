//! Counts what was answered. Each thread has counters of its own: shared ones would be in the way of all.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many threads have counters of their own; further ones share.
const SHARDS: usize = 16;
/// The hundreds of a status: 1 to 5.
const CLASSES: usize = 6;

thread_local! {
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

/// Answers by the hundreds of their status, and their bytes.
#[derive(Debug, Default)]
pub(super) struct Traffic([Shard; SHARDS]);

/// The counters of a thread, which share no cache line with another's.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    answers: [AtomicU64; CLASSES],
    bytes: AtomicU64,
}

impl Traffic {
    /// Counts an answer.
    pub(super) fn count(&self, status: u16, bytes: u64) {
        let shard = &self.0[SHARD.with(|shard| *shard)];
        let class = usize::from(status / 100).min(CLASSES - 1);
        shard.answers[class].fetch_add(1, Ordering::Relaxed);
        shard.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns how many answers there were of a hundred, for example 4 for client errors; of 0, those that nobody waited for.
    pub(super) fn answers(&self, class: usize) -> u64 {
        let counts = self.0.iter().filter_map(|shard| shard.answers.get(class));
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Returns the bytes of all answers.
    pub(super) fn bytes(&self) -> u64 {
        let counts = self.0.iter().map(|shard| &shard.bytes);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}
