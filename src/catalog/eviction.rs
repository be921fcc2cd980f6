//! Which files are to go: those that nobody used for too long, and the least recently used until the rest is small enough.

use std::time::Duration;

use super::Entry;

/// How much is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// How many bytes at most.
    pub size: Option<u64>,
    /// For how long a file that nobody uses.
    pub idle: Option<Duration>,
}

/// Returns the files to evict, the least recently used first; a pinned one never.
pub fn plan(entries: &[Entry], limits: Limits, now: u64) -> Vec<&Entry> {
    let mut loose: Vec<&Entry> = entries.iter().filter(|entry| !entry.is_pinned).collect();
    loose.sort_by(|one, other| (one.used, &one.path).cmp(&(other.used, &other.path)));
    let mut size: u64 = entries.iter().map(|entry| entry.size).sum();
    let mut leaving = Vec::new();
    for entry in loose {
        let idle = Duration::from_secs(now.saturating_sub(entry.used));
        let is_idle = limits.idle.is_some_and(|limit| idle > limit);
        let is_too_much = limits.size.is_some_and(|limit| size > limit);
        if !is_idle && !is_too_much {
            break;
        }
        size -= entry.size;
        leaving.push(entry);
    }
    leaving
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(path: &str, size: u64, used: u64, is_pinned: bool) -> Entry {
        Entry {
            path: path.to_owned(),
            size,
            checksum: None,
            used,
            is_pinned,
        }
    }

    fn planned(entries: &[Entry], size: Option<u64>, idle: Option<u64>, now: u64) -> Vec<&str> {
        let idle = idle.map(Duration::from_secs);
        let leaving = plan(entries, Limits { size, idle }, now);
        leaving
            .into_iter()
            .map(|entry| entry.path.as_str())
            .collect()
    }

    #[test]
    fn the_least_recently_used_go_until_the_rest_is_small_enough() {
        let entries = [
            entry("a", 10, 30, false),
            entry("b", 10, 10, false),
            entry("c", 10, 20, false),
        ];
        assert_eq!(planned(&entries, Some(30), None, 100), [""; 0]);
        assert_eq!(planned(&entries, Some(29), None, 100), ["b"]);
        assert_eq!(planned(&entries, Some(10), None, 100), ["b", "c"]);
        assert_eq!(planned(&entries, Some(0), None, 100), ["b", "c", "a"]);
        assert_eq!(planned(&entries, None, None, 100), [""; 0]);
    }

    #[test]
    fn what_nobody_used_for_too_long_goes() {
        let entries = [entry("a", 1, 50, false), entry("b", 1, 49, false)];
        assert_eq!(planned(&entries, None, Some(50), 100), ["b"]);
        assert_eq!(planned(&entries, None, Some(50), 10), [""; 0]);
    }

    #[test]
    fn what_is_pinned_stays_and_counts() {
        let entries = [entry("a", 10, 1, true), entry("b", 10, 2, false)];
        assert_eq!(planned(&entries, Some(10), Some(1), 100), ["b"]);
        assert_eq!(planned(&entries[..1], Some(0), Some(1), 100), [""; 0]);
    }

    proptest! {
        #[test]
        fn no_more_goes_than_must(files in prop::collection::vec((0u64..100, 0u64..100, any::<bool>()), 0..30), limit in 0u64..2000) {
            let entries: Vec<Entry> = files
                .iter()
                .enumerate()
                .map(|(number, (size, used, pinned))| entry(&number.to_string(), *size, *used, *pinned))
                .collect();
            let leaving = plan(&entries, Limits { size: Some(limit), idle: None }, 1000);
            let all: u64 = entries.iter().map(|entry| entry.size).sum();
            let gone: u64 = leaving.iter().map(|entry| entry.size).sum();
            prop_assert!(leaving.iter().all(|entry| !entry.is_pinned));
            match leaving.last() {
                Some(last) => prop_assert!(all - gone + last.size > limit),
                None => prop_assert!(all <= limit || entries.iter().all(|entry| entry.is_pinned)),
            }
        }
    }
}
