//! A negative cache: files whose fetch keeps failing are not fetched again for a while.
//!
//! The first failure of a file has no consequence: an accident is over with the next request. From the second in a row
//! on, clients get the last failure for a while, without a request to upstream: otherwise a captive portal that answers
//! everything with its own page would be downloaded once for each request.
//!
//! `moka` expires entries by itself, but here an entry must outlive its pause: it counts the failures in a row.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::unavailable::Unavailable;
use crate::index::Checksum;

/// How many files are remembered; the least recently used are evicted first.
const FILES: usize = 10_000;
/// How long after a failure the next one counts as in a row with it.
const IN_A_ROW: Duration = Duration::from_secs(600);
/// The first pause after a checksum mismatch; it doubles with each further one.
const AFTER_MISMATCH: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(300);
/// The pause after a file that upstream did not have, or did not send to its end.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// The last failures of single files.
pub(super) struct NegativeCache(Cache<Checksum, Failure>);

#[derive(Clone)]
struct Failure {
    why: Unavailable,
    in_a_row: u32,
    at: Instant,
}

impl Default for NegativeCache {
    fn default() -> Self {
        Self(Cache::new(FILES))
    }
}

impl NegativeCache {
    /// Checks that a file is not paused.
    ///
    /// # Errors
    /// `FailedRecently`, with its last failure.
    pub(super) fn check(&self, checksum: Checksum, now: Instant) -> Result<(), Unavailable> {
        let Some(failure) = self.0.get(&checksum) else {
            return Ok(());
        };
        match (failure.at + failure.pause()).checked_duration_since(now) {
            Some(left) if !left.is_zero() => {
                let seconds = left.as_secs() + 1;
                Err(Unavailable::FailedRecently(Box::new(failure.why), seconds))
            }
            _ => Ok(()),
        }
    }

    /// Records that fetching a file failed.
    pub(super) fn failed(&self, checksum: Checksum, why: &Unavailable, now: Instant) {
        // Failures that are no property of this one file have a pause of their own, or none.
        if !matches!(
            why,
            Unavailable::Missing(_)
                | Unavailable::Upstream(_)
                | Unavailable::Unfetchable(_)
                | Unavailable::Timeout(_)
                | Unavailable::Mismatch { .. }
        ) {
            return;
        }
        let before = self.0.get(&checksum);
        let before = before.filter(|failure| now < failure.at + IN_A_ROW);
        let failure = Failure {
            why: why.clone(),
            in_a_row: before.map_or(0, |failure| failure.in_a_row) + 1,
            at: now,
        };
        // Read and written in two steps: fetches of one file do not overlap, since they share a flight.
        self.0.insert(checksum, failure);
    }

    /// Records that a file was fetched.
    pub(super) fn succeeded(&self, checksum: Checksum) {
        self.0.remove(&checksum);
    }
}

impl Failure {
    fn pause(&self) -> Duration {
        let Some(further) = self.in_a_row.checked_sub(2) else {
            return Duration::ZERO;
        };
        match self.why {
            // 10 s × 2^8 exceed the longest pause already; a larger shift could overflow.
            Unavailable::Mismatch { .. } => LONGEST.min(AFTER_MISMATCH * (1 << further.min(8))),
            _ => AFTER_FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Checksum = Checksum::from_bytes([1; 32]);

    /// Returns the pause, in seconds, after this many failures in a row.
    fn pause_after(why: &Unavailable, times: u32) -> u64 {
        let (cache, mut now) = (NegativeCache::default(), Instant::now());
        for _ in 1..times {
            cache.failed(FILE, why, now);
            now += LONGEST;
        }
        cache.failed(FILE, why, now);
        match cache.check(FILE, now) {
            Err(Unavailable::FailedRecently(told, seconds)) if *told == *why => seconds - 1,
            _ => 0,
        }
    }

    #[test]
    fn the_first_failure_is_free_and_repeated_mismatches_are_paused_longest() {
        let mismatch = Unavailable::Mismatch {
            wanted: FILE,
            found: Checksum::from_bytes([2; 32]),
        };
        let pauses = (1..=8).map(|times| pause_after(&mismatch, times));
        assert!(pauses.eq([0, 10, 20, 40, 80, 160, 300, 300]));
        for why in [
            Unavailable::Missing("404".to_owned()),
            Unavailable::Timeout(String::new()),
        ] {
            assert!(
                (1..=4)
                    .map(|times| pause_after(&why, times))
                    .eq([0, 5, 5, 5])
            );
        }
        for why in [Unavailable::Paused(9), Unavailable::Disk(String::new())] {
            assert!((1..=4).all(|times| pause_after(&why, times) == 0));
        }
    }

    #[test]
    fn a_success_and_ten_minutes_each_make_the_next_failure_the_first() {
        let (cache, now) = (NegativeCache::default(), Instant::now());
        let why = Unavailable::Missing("404".to_owned());
        for at in [now, now + IN_A_ROW] {
            cache.failed(FILE, &why, at);
            assert_eq!(cache.check(FILE, at), Ok(()));
        }
        cache.succeeded(FILE);
        cache.failed(FILE, &why, now + IN_A_ROW);
        assert_eq!(cache.check(FILE, now + IN_A_ROW), Ok(()));
    }
}
