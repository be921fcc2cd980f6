//! For how long a prefetch bears with upstream: pauses are waited out, and what may pass is tried again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::server::crate_files::Unavailable;

/// How often the same file may fail.
const FAILURES: u32 = 5;

/// What is left of our patience; all files share it, and each that comes renews it.
pub(super) struct RetryPolicy {
    limit: Duration,
    renewed: Mutex<Instant>,
}

/// How often a file failed.
#[derive(Debug, Default)]
pub(super) struct Failures(u32);

impl RetryPolicy {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            renewed: Mutex::new(Instant::now()),
        }
    }

    /// Takes in that a file came.
    pub(super) fn renew(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Says after what time a file is tried again; `None` where that is in vain.
    pub(super) fn wait(&self, why: &Unavailable, failures: &mut Failures) -> Option<Duration> {
        let wait = match why {
            Unavailable::Paused(seconds) => Duration::from_secs(*seconds),
            Unavailable::Lately(why, seconds) if may_pass(why) => Duration::from_secs(*seconds),
            why if may_pass(why) => failures.next()?,
            _ => return None,
        };
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        (renewed.elapsed() + wait <= self.limit).then_some(wait)
    }
}

/// Says whether the same file may be had in a while.
fn may_pass(why: &Unavailable) -> bool {
    match why {
        Unavailable::Upstream(_) | Unavailable::Slow(_) | Unavailable::Paused(_) => true,
        Unavailable::Busy | Unavailable::Abandoned | Unavailable::Store(_) => true,
        Unavailable::Missing(_) | Unavailable::Mismatch { .. } => false,
        Unavailable::NotHeld | Unavailable::Lately(..) | Unavailable::Disk(_) => false,
    }
}

impl Failures {
    /// Counts a failure, and returns the time to let pass: 1, 2, 4, 8 seconds.
    fn next(&mut self) -> Option<Duration> {
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
    fn what_may_pass_is_tried_again_a_few_times() {
        let cut = Unavailable::Upstream("cut".to_owned());
        let expected = [Some(1), Some(2), Some(4), Some(8), None, None];
        assert_eq!(waits(&cut, 3600), expected);
        assert_eq!(waits(&cut, 3)[..3], [Some(1), Some(2), None]);
    }

    #[test]
    fn a_pause_is_waited_out_and_counts_as_no_failure() {
        assert_eq!(waits(&Unavailable::Paused(7), 3600), [Some(7); 6]);
        assert_eq!(waits(&Unavailable::Paused(7), 6), [None; 6]);
        let lately = |why| Unavailable::Lately(Box::new(why), 3);
        let cut = lately(Unavailable::Upstream("cut".to_owned()));
        assert_eq!(waits(&cut, 3600), [Some(3); 6]);
        assert_eq!(waits(&lately(Unavailable::Missing(404)), 3600), [None; 6]);
    }

    #[test]
    fn what_stays_wrong_is_not_tried_again() {
        assert_eq!(waits(&Unavailable::Missing(404), 3600), [None; 6]);
        assert_eq!(waits(&Unavailable::NotHeld, 3600), [None; 6]);
    }
}
