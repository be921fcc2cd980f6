//! For how long what was decided stays so.

use jiff::Timestamp;

/// A span of time: its beginning is within, its end is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after it; the last one that can be written has none.
    pub until: Timestamp,
}

impl Span {
    /// All of time.
    pub const ALWAYS: Self = Self {
        from: Timestamp::MIN,
        until: Timestamp::MAX,
    };

    /// Says whether a moment is within.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && (at < self.until || self.until == Timestamp::MAX)
    }

    /// Says whether it has no end: what was decided stays so as time passes.
    pub fn is_for_good(&self) -> bool {
        self.until == Timestamp::MAX
    }

    /// Cuts it at a moment, and keeps the part that `now` is in.
    pub fn cut(&mut self, at: Timestamp, now: Timestamp) {
        match now < at {
            true => self.until = self.until.min(at),
            false => self.from = self.from.max(at),
        }
    }

    /// Keeps what is in the other one, too.
    pub fn meet(&mut self, other: Self) {
        self.from = self.from.max(other.from);
        self.until = self.until.min(other.until);
    }
}
