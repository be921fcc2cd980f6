//! Time: the clock that asks for pipelines (`trigger.every`), and timers. Pure: the current time and the random number
//! are always given.

#[cfg(test)]
mod tests;

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::config;

/// A tick of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// When the schedule has it.
    pub due: Timestamp,
    /// When it comes, late by the jitter.
    pub at: Timestamp,
}

/// The times at which the clock ticks.
#[derive(Debug, Clone)]
pub struct Schedule {
    rhythm: Rhythm,
    jitter: SignedDuration,
}

#[derive(Debug, Clone)]
enum Rhythm {
    Every(SignedDuration),
    Cron(Box<Cron>, TimeZone),
}

impl Schedule {
    /// Makes a schedule that ticks once every `interval`, late by up to `jitter`.
    pub fn every(interval: SignedDuration, jitter: SignedDuration) -> Self {
        Self {
            rhythm: Rhythm::Every(interval),
            jitter,
        }
    }

    /// Makes a schedule of a cron expression, read in a time zone of the IANA database such as `Europe/Berlin`.
    ///
    /// # Errors
    /// What was expected, if the expression or the time zone is invalid, or the expression matches no time.
    pub fn cron(expression: &str, time_zone: &str, jitter: SignedDuration) -> Result<Self, String> {
        let zone = TimeZone::get(time_zone).map_err(|_| {
            format!("trigger.time_zone: expected a name such as Europe/Berlin or UTC, found `{time_zone}`")
        })?;
        let cron = config::cron(expression).map_err(|reason| format!("trigger.every: {reason}"))?;
        Ok(Self {
            rhythm: Rhythm::Cron(Box::new(cron), zone),
            jitter,
        })
    }

    /// Returns the tick after a time, late by `random`, from 0 to 1, of the jitter; `None` if the calendar ends.
    ///
    /// The jitter is at most half of the way to the tick that follows, so that ticks keep their order and none is
    /// skipped.
    pub fn next(&self, after: Timestamp, random: f64) -> Option<Tick> {
        let due = self.due(after)?;
        let room = self.due(due).map_or(SignedDuration::ZERO, |following| {
            following.duration_since(due) / 2
        });
        let late = self.jitter.min(room).mul_f64(random.clamp(0.0, 1.0));
        let at = due.checked_add(late).ok()?;
        Some(Tick { due, at })
    }

    /// Returns the tick after `last`, as [`Schedule::next`]. Ticks that were missed, on a machine that was suspended,
    /// are left out, and a clock that was set back starts over.
    pub fn following(&self, last: Tick, now: Timestamp, random: f64) -> Option<Tick> {
        // After the time of the schedule: after the late one, the jitter of all ticks would add up.
        let next = self.next(last.due, random);
        next.filter(|next| last.due <= now && now < next.at)
            .or_else(|| self.next(now, random))
    }

    fn due(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.rhythm {
            Rhythm::Every(interval) => after.checked_add(*interval).ok(),
            Rhythm::Cron(cron, zone) => {
                let after = after.to_zoned(zone.clone());
                // `false`: strictly later, or the same tick would come again.
                let next = cron.find_next_occurrence(&after, false).ok()?;
                Some(next.timestamp())
            }
        }
    }
}

/// A timer that was started and fires after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timer {
    started: Timestamp,
    duration: SignedDuration,
}

impl Timer {
    /// Starts a timer.
    pub(super) fn start(now: Timestamp, duration: SignedDuration) -> Self {
        Self {
            started: now,
            duration,
        }
    }

    /// Returns when the timer fires, or `None` if it has fired.
    ///
    /// A timer that was started in the future has fired, too: the machine's clock was set back, and a plain deadline
    /// would make the helper wait for as long as the clock was wrong.
    pub(super) fn deadline(self, now: Timestamp) -> Option<Timestamp> {
        let deadline = self.started.saturating_add(self.duration).ok()?;
        (self.started <= now && now < deadline).then_some(deadline)
    }

    /// Says whether the timer has fired.
    pub(super) fn has_fired(self, now: Timestamp) -> bool {
        self.deadline(now).is_none()
    }
}
