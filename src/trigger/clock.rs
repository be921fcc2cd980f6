//! The clock: when it ticks. Pure: the time and the chance are always given.

#[cfg(test)]
mod tests;

use croner::Cron;
use croner::parser::{CronParser, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// When the clock ticks.
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
    /// Makes a clock that ticks after each such time, late by up to `jitter`.
    pub fn every(interval: SignedDuration, jitter: SignedDuration) -> Self {
        Self {
            rhythm: Rhythm::Every(interval),
            jitter,
        }
    }

    /// Makes a clock of a cron expression, read in a time zone of the IANA database such as `Europe/Berlin`.
    ///
    /// # Errors
    /// What was expected, where the expression or the time zone cannot be read, or never comes true.
    pub fn cron(expression: &str, time_zone: &str, jitter: SignedDuration) -> Result<Self, String> {
        let zone = TimeZone::get(time_zone).map_err(|_| {
            format!("trigger.time_zone: expected a name such as Europe/Berlin or UTC, found `{time_zone}`")
        })?;
        let unusable = |reason: String| {
            format!(
                "trigger.every: expected a duration such as 10m or a cron expression such as `*/10 * * * *`, found `{expression}` ({reason})"
            )
        };
        // A clock that ticks in some years only would stand still one day.
        let parser = CronParser::builder().year(Year::Disallowed).build();
        let cron = parser
            .parse(expression)
            .map_err(|e| unusable(e.to_string()))?;
        let start = Timestamp::UNIX_EPOCH.to_zoned(zone.clone());
        cron.find_next_occurrence(&start, false)
            .map_err(|_| unusable("it never comes true".to_owned()))?;
        Ok(Self {
            rhythm: Rhythm::Cron(Box::new(cron), zone),
            jitter,
        })
    }

    /// Returns the tick after `last`, later than that; `random`, from 0 to 1, says how much of the jitter it is late by. It
    /// stays before the middle of the way to the tick that follows. `None` where the calendar ends.
    pub fn next(&self, last: Timestamp, random: f64) -> Option<Timestamp> {
        let tick = self.tick(last)?;
        let room = self.tick(tick).map_or(SignedDuration::ZERO, |following| {
            following.duration_since(tick) / 2
        });
        let late = self.jitter.min(room).mul_f64(random.clamp(0.0, 1.0));
        tick.checked_add(late).ok()
    }

    fn tick(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.rhythm {
            Rhythm::Every(interval) => after.checked_add(*interval).ok(),
            Rhythm::Cron(cron, zone) => {
                let after = after.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&after, false).ok()?;
                Some(next.timestamp())
            }
        }
    }
}
