//! The watch (`trigger.poll`): what two polls in a row say. Pure: the current time is always given.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::clock::Timer;
use crate::git::ObjectId;

/// The longest pause between two pipelines for a mirror that does not move.
const MAX_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// The result of a poll: both tips, and how they relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// Upstream's tip.
    pub upstream: ObjectId,
    /// The mirror's tip.
    pub mirror: ObjectId,
    /// Whether the mirror lacks what upstream has.
    pub is_behind: bool,
}

/// What follows from a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollChange {
    /// Whether a pipeline would bring the mirror up to date.
    pub wants_pipeline: bool,
    /// Whether the mirror's tip is another one than at the last poll.
    pub has_moved: bool,
}

/// The results of the polls so far.
#[derive(Debug, Clone)]
pub struct Watch {
    min_interval: SignedDuration,
    last: Option<Poll>,
    /// How many pipelines were fired since the mirror moved or was up to date, and when the last one was.
    fired_in_vain: u32,
    last_fired: Option<Timestamp>,
    behind_since: Option<Timestamp>,
    last_poll: Option<Timestamp>,
    last_change: Option<Timestamp>,
}

impl Watch {
    /// Makes a watch that has not polled yet.
    pub fn new(min_interval: SignedDuration) -> Self {
        Self {
            min_interval,
            last: None,
            fired_in_vain: 0,
            last_fired: None,
            behind_since: None,
            last_poll: None,
            last_change: None,
        }
    }

    /// Handles the result of a poll.
    pub fn polled(&mut self, now: Timestamp, poll: Poll) -> PollChange {
        let has_moved = self.last.is_some_and(|last| last.mirror != poll.mirror);
        if has_moved {
            (self.fired_in_vain, self.behind_since) = (0, None);
            self.last_change = Some(now);
        }
        if poll.is_behind {
            // A time in the future means that the machine's clock was set back.
            self.behind_since = Some(self.behind_since.map_or(now, |since| since.min(now)));
        } else {
            // Pipelines that had nothing to carry were not in vain.
            (self.fired_in_vain, self.behind_since) = (0, None);
        }
        (self.last, self.last_poll) = (Some(poll), Some(now));
        PollChange {
            wants_pipeline: poll.is_behind && !self.is_backing_off(now),
            has_moved,
        }
    }

    /// Handles a pipeline that was fired, whoever requested it.
    pub fn fired(&mut self, now: Timestamp) {
        // Counted before anybody knows: a poll that sees the mirror move takes it back.
        self.fired_in_vain = self.fired_in_vain.saturating_add(1);
        self.last_fired = Some(now);
    }

    /// Says whether the watch waits longer than `min_interval`.
    ///
    /// Each pipeline that does not move the mirror doubles the pause: a job that fails every time must not burn CI
    /// minutes.
    fn is_backing_off(&self, now: Timestamp) -> bool {
        let (Some(fired), 1..) = (self.last_fired, self.fired_in_vain) else {
            return false;
        };
        let doubled = self
            .min_interval
            .checked_mul(1 << self.fired_in_vain.min(16));
        let pause = doubled.unwrap_or(MAX_PAUSE).min(MAX_PAUSE);
        !Timer::start(fired, pause).has_fired(now)
    }

    /// Returns the result of the last poll.
    pub fn last(&self) -> Option<Poll> {
        self.last
    }

    /// Returns since when the mirror has been behind without moving.
    pub fn behind_since(&self) -> Option<Timestamp> {
        self.behind_since
    }

    /// Returns when both repositories were last polled with success.
    pub fn last_poll(&self) -> Option<Timestamp> {
        self.last_poll
    }

    /// Returns when the mirror was last seen to move.
    pub fn last_change(&self) -> Option<Timestamp> {
        self.last_change
    }
}
