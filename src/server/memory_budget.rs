//! A bound for the bytes of files in memory: those in a cache, and those on their way to clients.
//!
//! A cache forgets a file while clients that read slowly, or not at all, still hold its bytes. The next client makes
//! another copy, and so on. So every copy takes its share of a budget, and gives it back when its last holder is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// How much more than its cache a budget has, in bytes: for what is on its way to clients, and no longer in the cache.
const ON_THE_WAY: u64 = 32 << 20;

/// So many bytes, for all who hold a clone.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    taken: AtomicU64,
}

/// A part of a budget; dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    budget: MemoryBudget,
    size: u64,
}

impl MemoryBudget {
    /// Makes the budget of a cache of this many bytes.
    pub fn of_cache(bytes: u64) -> Self {
        Self::new(bytes.saturating_add(ON_THE_WAY))
    }

    fn new(limit: u64) -> Self {
        let taken = AtomicU64::new(0);
        Self(Arc::new(Inner { limit, taken }))
    }

    /// Takes this many bytes; `None` if there are fewer left.
    pub fn take(&self, size: u64) -> Option<Share> {
        let share = self.take_anyway(size);
        // Given back by the drop, if it was too much: two who ask at once for the last bytes may both be refused.
        (self.0.taken.load(Ordering::Relaxed) <= self.0.limit).then_some(share)
    }

    /// Takes this many bytes even if there are fewer left: for what is in memory already, within a bound of its own.
    pub fn take_anyway(&self, size: u64) -> Share {
        // Relaxed: the number stands for itself, and orders no other memory.
        self.0.taken.fetch_add(size, Ordering::Relaxed);
        let budget = self.clone();
        Share { budget, size }
    }
}

impl Share {
    /// Returns these bytes, whose last clone gives the share back.
    pub fn hold(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Held {
            bytes,
            _share: self,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.taken.fetch_sub(self.size, Ordering::Relaxed);
    }
}

struct Held<B> {
    bytes: B,
    _share: Share,
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Held<B> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_taken_is_given_back_with_the_last_holder() {
        let budget = MemoryBudget::new(10);
        let held = budget.take(6).unwrap().hold(vec![7; 6]);
        assert!(budget.take(5).is_none());
        assert!(budget.take(4).is_some());
        let part = held.slice(2..3);
        drop(held);
        assert!(
            budget.take(5).is_none(),
            "a part of the bytes is still held"
        );
        drop(part);
        assert!(budget.take(10).is_some());
    }

    #[test]
    fn what_is_there_already_counts_even_beyond_the_limit() {
        let budget = MemoryBudget::new(10);
        let more = budget.take_anyway(11);
        assert!(budget.take(0).is_none());
        drop(more);
        assert!(budget.take(10).is_some());
    }
}
