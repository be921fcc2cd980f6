//! A circuit breaker: a server that keeps failing is paused, so that requests fail at once instead of waiting for it.
//!
//! Crates such as `failsafe` wrap a call and decide by its result; here the server may also ask for a pause itself
//! (`Retry-After`), and a response that begins well counts only once its last byte is verified.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often upstream or the bucket failed in a row, and until when it is paused.
pub(super) struct CircuitBreaker {
    /// The failure in a row that begins the first pause.
    first: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
}

impl CircuitBreaker {
    /// Begins without a pause; `first` is the failure in a row that begins the first one.
    pub(super) fn new(first: u32) -> Self {
        Self {
            first,
            state: Mutex::default(),
        }
    }

    /// Returns for how many more seconds, rounded up, the server is paused.
    pub(super) fn pause(&self) -> Option<u64> {
        let left = self.state().left(Instant::now())?;
        Some(left.as_secs() + 1)
    }

    /// Records a failure, with the pause that the server asked for.
    pub(super) fn failed(&self, asked: Option<Duration>) {
        self.state().failed(self.first, asked, Instant::now());
    }

    /// Records a success. It ends no pause: the server may have asked for it meanwhile.
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
        // Requests that were in flight together fail together: once a pause has begun they count as one failure.
        let own = match self.left(now) {
            Some(_) => None,
            None => {
                self.failures = self.failures.saturating_add(1);
                let over = self.failures.checked_sub(first);
                // 2^6 s exceed the longest pause already; a larger shift could overflow.
                over.map(|over| Duration::from_secs(1 << over.min(6)))
            }
        };
        let pause = asked.into_iter().chain(own).max();
        // A server that asks for hours is asked again sooner: clients would wait for hours after it is back.
        let until = pause.map(|pause| now + pause.min(LONGEST_PAUSE));
        // A failure never shortens a pause that has begun.
        // `None` is less than any time.
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
