//! The watch: what two looks in a row say. Pure: the time is always given.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::span::Span;
use crate::git::ObjectId;

/// So long a mirror that does not move is left alone at most.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// Where both branches are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Upstream's tip.
    pub upstream: ObjectId,
    /// The mirror's tip.
    pub mirror: ObjectId,
    /// Whether the mirror lacks what upstream has.
    pub is_behind: bool,
}

/// What follows from a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// A pipeline would bring the mirror up to date.
    pub wants_pipeline: bool,
    /// The mirror's tip is another one than at the last look.
    pub has_moved: bool,
}

/// Remembers what was seen.
#[derive(Debug, Clone)]
pub struct Watch {
    min_interval: SignedDuration,
    last: Option<Look>,
    /// How many pipelines were fired since the mirror moved or lacked nothing, and when the last one was.
    in_vain: u32,
    fired: Option<Timestamp>,
    behind_since: Option<Timestamp>,
    last_look: Option<Timestamp>,
    last_change: Option<Timestamp>,
}

impl Watch {
    /// Makes a watch that has seen nothing.
    pub fn new(min_interval: SignedDuration) -> Self {
        Self {
            min_interval,
            last: None,
            in_vain: 0,
            fired: None,
            behind_since: None,
            last_look: None,
            last_change: None,
        }
    }

    /// Takes in a look.
    pub fn looked(&mut self, now: Timestamp, look: Look) -> Seen {
        let has_moved = self.last.is_some_and(|last| last.mirror != look.mirror);
        if has_moved {
            (self.in_vain, self.behind_since) = (0, None);
            self.last_change = Some(now);
        }
        if look.is_behind {
            // A beginning in the future: the machine's clock was set back.
            self.behind_since = Some(self.behind_since.map_or(now, |since| since.min(now)));
        } else {
            // Pipelines that had nothing to carry were not in vain.
            (self.in_vain, self.behind_since) = (0, None);
        }
        (self.last, self.last_look) = (Some(look), Some(now));
        Seen {
            wants_pipeline: look.is_behind && !self.is_pausing(now),
            has_moved,
        }
    }

    /// Takes in that a pipeline was fired, by whomsoever.
    pub fn fired(&mut self, now: Timestamp) {
        self.in_vain = self.in_vain.saturating_add(1);
        self.fired = Some(now);
    }

    /// While the mirror does not move, each pipeline doubles the pause: failing ones must not burn CI minutes.
    fn is_pausing(&self, now: Timestamp) -> bool {
        let (Some(fired), 1..) = (self.fired, self.in_vain) else {
            return false;
        };
        let doubled = self.min_interval.checked_mul(1 << self.in_vain.min(16));
        let pause = doubled.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
        Span::new(fired, pause).end(now).is_some()
    }

    /// Returns the last look.
    pub fn last(&self) -> Option<Look> {
        self.last
    }

    /// Returns since when the mirror has been seen behind without moving.
    pub fn behind_since(&self) -> Option<Timestamp> {
        self.behind_since
    }

    /// Returns when both sides were seen last.
    pub fn last_look(&self) -> Option<Timestamp> {
        self.last_look
    }

    /// Returns when the mirror was seen to have moved last.
    pub fn last_change(&self) -> Option<Timestamp> {
        self.last_change
    }
}
