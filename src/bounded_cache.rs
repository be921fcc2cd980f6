//! What is kept in memory within a bound: the least used leaves first. Uses quick_cache.

use std::hash::Hash;

pub use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder};

/// The least room of a part, in bytes: what does not fit into one is not kept at all.
const PART: u64 = 32 << 20;

/// Makes room for so many bytes, of values that usually take `usual`.
pub fn bounded<K, V, W>(bytes: u64, usual: u64, weight: W) -> Cache<K, V, W>
where
    K: Eq + Hash,
    V: Clone,
    W: Weighter<K, V> + Clone,
{
    let number = |count: u64, least| usize::try_from(count).unwrap_or(usize::MAX).max(least);
    let estimated = number(bytes / usual, 16);
    let mut options = OptionsBuilder::new();
    options
        .estimated_items_capacity(estimated)
        .weight_capacity(bytes);
    let parts = number(bytes / PART, 1);
    // A number that is no power of two is rounded up.
    options.shards(1 << parts.min(64).ilog2());
    match options.build() {
        Ok(options) => Cache::with_options(
            options,
            weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
        // Only where something was not said.
        Err(_) => Cache::with_weighter(estimated, bytes, weight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct ByLength;

    impl Weighter<u64, Vec<u8>> for ByLength {
        fn weight(&self, _: &u64, value: &Vec<u8>) -> u64 {
            value.len() as u64
        }
    }

    #[test]
    fn what_is_large_is_kept_on_machines_of_any_size() {
        let kept = bounded(64 << 20, 8 << 10, ByLength);
        kept.insert(1, vec![0; 10 << 20]);
        assert!(kept.get(&1).is_some());
        assert!(kept.shard_capacity() >= PART);
    }

    #[test]
    fn a_little_room_is_one_part() {
        let kept = bounded(1 << 20, 8 << 10, ByLength);
        kept.insert(1, vec![0; 500 << 10]);
        assert!(kept.get(&1).is_some());
        kept.insert(2, vec![0; 2 << 20]);
        assert!(kept.get(&2).is_none());
    }
}
