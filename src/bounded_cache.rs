//! A cache in memory within a bound in bytes: the least recently used values are evicted first. Uses quick_cache.

use std::hash::Hash;

pub use quick_cache::Weighter;
pub use quick_cache::sync::Cache;
use quick_cache::sync::DefaultLifecycle;
use quick_cache::{DefaultHashBuilder, OptionsBuilder};

/// The least capacity of a shard, in bytes: quick_cache does not cache a value that is larger than its shard.
const SHARD: u64 = 32 << 20;

/// Makes a cache of this many bytes, for values that usually take `usual` bytes.
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
    // Not quick_cache's own number, four shards a core: what fits into a shard would depend on the machine.
    let shards = number(bytes / SHARD, 1);
    // Rounded down: quick_cache would round a number that is no power of two up, and its shards would be too small.
    options.shards(1 << shards.min(64).ilog2());
    match options.build() {
        Ok(options) => Cache::with_options(
            options,
            weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
        // Both options that `build` requires are set above.
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
    fn a_large_value_is_cached_on_machines_of_any_size() {
        let cache = bounded(64 << 20, 8 << 10, ByLength);
        cache.insert(1, vec![0; 10 << 20]);
        assert!(cache.get(&1).is_some());
        assert!(cache.shard_capacity() >= SHARD);
    }

    #[test]
    fn a_small_cache_is_one_shard() {
        let cache = bounded(1 << 20, 8 << 10, ByLength);
        cache.insert(1, vec![0; 500 << 10]);
        assert!(cache.get(&1).is_some());
        cache.insert(2, vec![0; 2 << 20]);
        assert!(cache.get(&2).is_none());
    }
}
