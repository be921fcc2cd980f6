//! The waits for the other side, by cause, as log lines: what a sync takes where the servers are far away.
//!
//! ```text
//! mirror: waited 52 ms for the refs
//! ```
//!
//! Each line is one round trip, but for the handshake and the authentication of ssh, which are several, and for what HTTP does to
//! connect, which is part of its first request.

use std::time::Instant;

use tracing::trace;

use super::Side;

/// The target of these lines, which `-vv` shows.
const TARGET: &str = "crates_ferry::git::round_trip";

/// One wait for the other side, until this is dropped.
pub struct RoundTrip {
    side: Side,
    cause: &'static str,
    began: Instant,
}

impl RoundTrip {
    /// Begins to wait; `cause` says for what.
    pub fn begin(side: Side, cause: &'static str) -> Self {
        Self {
            side,
            cause,
            began: Instant::now(),
        }
    }
}

impl Drop for RoundTrip {
    fn drop(&mut self) {
        let Self { side, cause, .. } = self;
        let milliseconds = self.began.elapsed().as_millis();
        trace!(target: TARGET, "{side}: waited {milliseconds} ms for {cause}");
    }
}
