//! Ends a transfer that is too slow to wait for. A host that sends a byte now and then is never silent, and would hold its
//! connection for days.
//!
//! As curl's `--speed-limit` and git's `http.lowSpeedLimit`. reqwest has limits for a silence and for a whole response alone: the
//! latter would end large files on slow lines.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// How many bytes must arrive in a second, on average. cargo gives up below 10 of one file; a server waits for many.
const LOWEST: u64 = 1 << 10;

/// The pace of a transfer: time and bytes since it was last looked at.
pub(super) struct Pace {
    limit: Duration,
    /// How long the other side was waited for; a disk of our own that is slow does not count.
    waited: Duration,
    received: u64,
}

/// The other side is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooSlow {
    limit: Duration,
    is_silent: bool,
}

impl Pace {
    /// Allows a silence of this length, and looks at the pace as often.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// Waits for what comes next, which has so many bytes; none at the end, and where it is a failure.
    ///
    /// # Errors
    /// Nothing comes, or too little.
    pub(super) async fn wait<T>(
        &mut self,
        next: impl Future<Output = T>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Result<T, TooSlow> {
        let begun = Instant::now();
        let next = timeout(self.limit, next).await;
        let next = next.map_err(|_| TooSlow::silent(self.limit))?;
        let bytes = bytes(&next) as u64;
        if bytes == 0 {
            return Ok(next);
        }
        self.waited += begun.elapsed();
        self.received += bytes;
        if self.waited >= self.limit {
            let lowest = self.waited.as_millis() * u128::from(LOWEST) / 1000;
            if u128::from(self.received) < lowest {
                return Err(TooSlow {
                    limit: self.limit,
                    is_silent: false,
                });
            }
            *self = Self::new(self.limit);
        }
        Ok(next)
    }
}

impl TooSlow {
    /// Nothing came for this long.
    pub(super) fn silent(limit: Duration) -> Self {
        Self {
            limit,
            is_silent: true,
        }
    }
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = humantime::format_duration(self.limit);
        match self.is_silent {
            true => write!(f, "sent nothing for {limit}"),
            false => write!(f, "sent less than 1 KiB a second for {limit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Waits for a piece of this size again and again; returns why that ended, and after which time.
    async fn ends(bytes: usize, every: Duration) -> Option<(String, u64)> {
        let (mut pace, begun) = (Pace::new(LIMIT), Instant::now());
        for _ in 0..1_000 {
            let next = pace.wait(sleep(every), |()| bytes);
            if let Err(slow) = next.await {
                return Some((slow.to_string(), begun.elapsed().as_secs()));
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_as_little_waited_for_as_a_silence() {
        let second = Duration::from_secs(1);
        let drip = "sent less than 1 KiB a second for 1m".to_owned();
        assert_eq!(ends(1, second).await, Some((drip.clone(), 60)));
        assert_eq!(ends(10_000, 59 * second).await, Some((drip, 118)));
        let silence = "sent nothing for 1m".to_owned();
        assert_eq!(ends(1_000_000, 61 * second).await, Some((silence, 60)));
        assert_eq!(ends(1_200, second).await, None);
        assert_eq!(ends(80_000, 59 * second).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_the_end_nor_what_is_done_meanwhile_is_slow() {
        let mut pace = Pace::new(LIMIT);
        for _ in 0..10 {
            assert!(pace.wait(async {}, |()| 1).await.is_ok());
            sleep(LIMIT).await;
        }
        let end = pace.wait(sleep(LIMIT / 2), |()| 0);
        assert!(end.await.is_ok());
    }
}
