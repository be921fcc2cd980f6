//! What a command works with besides its configuration.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::progress::Progress;

/// What a command works with besides its configuration.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Tells the time.
    pub clock: fn() -> SystemTime,
    /// Shows how far the command is.
    pub progress: &'a Progress,
}

impl Context<'_> {
    /// Returns the time in seconds since 1970.
    pub fn now(&self) -> i64 {
        // A clock before 1970 counts as 1970: a commit is dated no earlier than its parents in any case.
        let since = (self.clock)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}
