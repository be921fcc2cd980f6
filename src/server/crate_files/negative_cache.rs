//! Which files could not be had lately: they are not asked for at once again.
//!
//! The first failure of a file costs nothing: what was an accident is over with the next request. From the second in a row
//! on, whoever asks is told for a while what came of it last, and upstream is left alone: a portal that answers with its own
//! page would else be read once for each request.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::unavailable::Unavailable;
use crate::index::Checksum;

/// How many files are remembered; the rarest asked for are forgotten first.
const FILES: usize = 10_000;
/// How long a failure counts as one in a row with the next.
const MEMORY: Duration = Duration::from_secs(600);
/// For how long a file is not asked for after bytes that were not its own; doubled with each further time.
const AFTER_MISMATCH: Duration = Duration::from_secs(10);
/// For how long at most.
const LONGEST: Duration = Duration::from_secs(300);
/// For how long a file is not asked for that upstream did not have, or did not send to its end.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What went wrong with single files.
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
    /// Says that a file may be asked for.
    ///
    /// # Errors
    /// What came of it last, where that was a moment ago.
    pub(super) fn check(&self, checksum: Checksum, now: Instant) -> Result<(), Unavailable> {
        let Some(mishap) = self.0.get(&checksum) else {
            return Ok(());
        };
        match (mishap.at + mishap.pause()).checked_duration_since(now) {
            Some(left) if !left.is_zero() => {
                let seconds = left.as_secs() + 1;
                Err(Unavailable::Lately(Box::new(mishap.why), seconds))
            }
            _ => Ok(()),
        }
    }

    /// Notes that a file could not be had.
    pub(super) fn failed(&self, checksum: Checksum, why: &Unavailable, now: Instant) {
        // What is no fault of this one file has a pause of its own, or none.
        if !matches!(
            why,
            Unavailable::Missing(_)
                | Unavailable::Upstream(_)
                | Unavailable::Slow(_)
                | Unavailable::Mismatch { .. }
        ) {
            return;
        }
        let before = self.0.get(&checksum);
        let before = before.filter(|mishap| now < mishap.at + MEMORY);
        let mishap = Failure {
            why: why.clone(),
            in_a_row: before.map_or(0, |mishap| mishap.in_a_row) + 1,
            at: now,
        };
        self.0.insert(checksum, mishap);
    }

    /// Notes that a file was had.
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
            Unavailable::Mismatch { .. } => LONGEST.min(AFTER_MISMATCH * (1 << further.min(8))),
            _ => AFTER_FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Checksum = Checksum::from_bytes([1; 32]);

    /// Returns for how long, in seconds, a file is not asked for once this failure has come so often.
    fn pause_after(why: &Unavailable, times: u32) -> u64 {
        let (mishaps, mut now) = (NegativeCache::default(), Instant::now());
        for _ in 1..times {
            mishaps.failed(FILE, why, now);
            now += LONGEST;
        }
        mishaps.failed(FILE, why, now);
        match mishaps.check(FILE, now) {
            Err(Unavailable::Lately(told, seconds)) if *told == *why => seconds - 1,
            _ => 0,
        }
    }

    #[test]
    fn the_first_failure_is_free_and_bytes_that_are_wrong_again_and_again_are_left_alone_longest() {
        let mismatch = Unavailable::Mismatch {
            wanted: FILE,
            found: Checksum::from_bytes([2; 32]),
        };
        let pauses = (1..=8).map(|times| pause_after(&mismatch, times));
        assert!(pauses.eq([0, 10, 20, 40, 80, 160, 300, 300]));
        for why in [Unavailable::Missing(404), Unavailable::Slow(String::new())] {
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
        let (mishaps, now) = (NegativeCache::default(), Instant::now());
        let why = Unavailable::Missing(404);
        for at in [now, now + MEMORY] {
            mishaps.failed(FILE, &why, at);
            assert_eq!(mishaps.check(FILE, at), Ok(()));
        }
        mishaps.succeeded(FILE);
        mishaps.failed(FILE, &why, now + MEMORY);
        assert_eq!(mishaps.check(FILE, now + MEMORY), Ok(()));
    }
}
