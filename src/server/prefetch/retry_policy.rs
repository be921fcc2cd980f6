//! When a prefetch retries: it waits out pauses, and retries failures that may pass.
//!
//! `backon` retries one operation by itself; here all files share one deadline, which each fetched file moves.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::server::crate_files::Unavailable;

/// How often fetching the same file may fail.
const FAILURES: u32 = 5;

/// How long upstream may deliver nothing. All files share it: each fetched file restarts the clock.
pub(super) struct RetryPolicy {
    limit: Duration,
    last_success: Mutex<Instant>,
}

/// How often fetching a file failed.
#[derive(Debug, Default)]
pub(super) struct Failures(u32);

impl RetryPolicy {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            last_success: Mutex::new(Instant::now()),
        }
    }

    /// Records that a file was fetched.
    pub(super) fn succeeded(&self) {
        *self
            .last_success
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns how long to wait before the next attempt; `None` to give up.
    pub(super) fn wait(&self, why: &Unavailable, failures: &mut Failures) -> Option<Duration> {
        let wait = match why {
            Unavailable::Paused(seconds) => Duration::from_secs(*seconds),
            Unavailable::FailedRecently(why, seconds) if may_pass(why) => {
                Duration::from_secs(*seconds)
            }
            why if may_pass(why) => failures.next()?,
            _ => return None,
        };
        let last_success = *self
            .last_success
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Whoever would wake after the deadline gives up now.
        (last_success.elapsed() + wait <= self.limit).then_some(wait)
    }
}

/// Says whether the failure may pass.
fn may_pass(why: &Unavailable) -> bool {
    match why {
        Unavailable::Upstream(_) | Unavailable::Timeout(_) | Unavailable::Paused(_) => true,
        Unavailable::Busy | Unavailable::Abandoned | Unavailable::Store(_) => true,
        Unavailable::Missing(_) | Unavailable::Unfetchable(_) | Unavailable::Mismatch { .. } => {
            false
        }
        Unavailable::NotStored | Unavailable::FailedRecently(..) | Unavailable::Disk(_) => false,
    }
}

impl Failures {
    /// Counts a failure, and returns the backoff: 1, 2, 4, 8 seconds.
    fn next(&mut self) -> Option<Duration> {
        // At most 2^4: the policy gives up at the fifth failure.
        let wait = Duration::from_secs(1 << self.0);
        self.0 += 1;
        (self.0 < FAILURES).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(why: &Unavailable, limit: u64) -> Vec<Option<u64>> {
        let policy = RetryPolicy::new(Duration::from_secs(limit));
        let mut failures = Failures::default();
        let mut wait = || policy.wait(why, &mut failures);
        (0..6).map(|_| wait().map(|wait| wait.as_secs())).collect()
    }

    #[test]
    fn a_failure_that_may_pass_is_retried_a_few_times() {
        let cut = Unavailable::Upstream("cut".to_owned());
        let expected = [Some(1), Some(2), Some(4), Some(8), None, None];
        assert_eq!(waits(&cut, 3600), expected);
        assert_eq!(waits(&cut, 3)[..3], [Some(1), Some(2), None]);
    }

    #[test]
    fn a_pause_is_waited_out_and_counts_as_no_failure() {
        assert_eq!(waits(&Unavailable::Paused(7), 3600), [Some(7); 6]);
        assert_eq!(waits(&Unavailable::Paused(7), 6), [None; 6]);
        let recently = |why| Unavailable::FailedRecently(Box::new(why), 3);
        let cut = recently(Unavailable::Upstream("cut".to_owned()));
        assert_eq!(waits(&cut, 3600), [Some(3); 6]);
        assert_eq!(
            waits(&recently(Unavailable::Missing("404".to_owned())), 3600),
            [None; 6]
        );
    }

    #[test]
    fn a_failure_that_stays_is_not_retried() {
        assert_eq!(
            waits(&Unavailable::Missing("404".to_owned()), 3600),
            [None; 6]
        );
        assert_eq!(waits(&Unavailable::NotStored, 3600), [None; 6]);
        let circle = Unavailable::Unfetchable("it redirects more than 5 times".to_owned());
        assert_eq!(waits(&circle, 3600), [None; 6]);
    }
}
