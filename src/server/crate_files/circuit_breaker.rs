//! A far side that fails: for how long it is left alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often upstream or the bucket failed in a row, and until when it is left alone.
pub(super) struct CircuitBreaker {
    /// The failure in a row with which pauses begin.
    first: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
}

impl CircuitBreaker {
    /// Begins without trouble; `first` is the failure in a row with which pauses begin.
    pub(super) fn new(first: u32) -> Self {
        Self {
            first,
            state: Mutex::default(),
        }
    }

    /// Returns for how many more seconds, begun ones counted, the other side is to be left alone.
    pub(super) fn pause(&self) -> Option<u64> {
        let left = self.state().left(Instant::now())?;
        Some(left.as_secs() + 1)
    }

    /// Notes a failure, with the pause that the other side asked for.
    pub(super) fn failed(&self, asked: Option<Duration>) {
        self.state().failed(self.first, asked, Instant::now());
    }

    /// Notes that all went well. A pause that the other side asked for meanwhile is kept all the same.
    pub(super) fn succeeded(&self) {
        self.state().failures = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn left(&self, now: Instant) -> Option<Duration> {
        self.until?.checked_duration_since(now)
    }

    fn failed(&mut self, first: u32, asked: Option<Duration>, now: Instant) {
        // Many that were under way together and fail together are one failure once a pause has begun.
        let own = match self.left(now) {
            Some(_) => None,
            None => {
                self.failures = self.failures.saturating_add(1);
                let over = self.failures.checked_sub(first);
                over.map(|over| Duration::from_secs(1 << over.min(6)))
            }
        };
        let pause = asked.into_iter().chain(own).max();
        let until = pause.map(|pause| now + pause.min(LONGEST_PAUSE));
        // It only grows.
        self.until = self.until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_begin_with_the_first_failure_that_counts_and_double_up_to_a_minute() {
        let (mut state, mut now) = (State::default(), Instant::now());
        state.failed(2, None, now);
        assert_eq!(state.left(now), None);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            state.failed(2, None, now);
            assert_eq!(state.left(now), Some(seconds * SECOND));
            now += 61 * SECOND;
        }
    }

    #[test]
    fn failures_during_a_pause_neither_shorten_nor_lengthen_it() {
        let (mut state, now) = (State::default(), Instant::now());
        state.failed(1, Some(30 * SECOND), now);
        for _ in 0..10 {
            state.failed(1, None, now);
        }
        state.failed(1, Some(SECOND), now);
        assert_eq!(state.left(now), Some(30 * SECOND));
        assert_eq!(state.failures, 1);
        state.failed(1, Some(90 * SECOND), now);
        assert_eq!(state.left(now), Some(60 * SECOND));
    }
}
