//! A time that something lasts.

use jiff::{SignedDuration, Timestamp};

/// Something that began and lasts for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    since: Timestamp,
    length: SignedDuration,
}

impl Span {
    /// Begins now.
    pub(super) fn new(since: Timestamp, length: SignedDuration) -> Self {
        Self { since, length }
    }

    /// Returns when it ends, or nothing if it has. A beginning in the future is over too: the machine's clock was set back,
    /// and must not make us wait for as long.
    pub(super) fn end(self, now: Timestamp) -> Option<Timestamp> {
        let end = self.since.saturating_add(self.length).ok()?;
        (self.since <= now && now < end).then_some(end)
    }
}
