//! What was told already: the same failure is told again only after a while, and the success after it once.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Event;
use crate::mirror::report::{Topic, Warning};

/// When a person is reminded of what each sync warns of until somebody acts.
const REMINDER: Duration = Duration::from_secs(7 * 24 * 3600);
/// When a warning that was not met again leaves the file, so that it stays small.
const FORGOTTEN: Duration = Duration::from_secs(90 * 24 * 3600);

/// What was told of each mirror, as the file `mail.state` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// By the mirror's thread.
    pub mirrors: BTreeMap<String, Record>,
}

/// What was told of one mirror. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// When a sync succeeded last.
    pub last_success: Option<i64>,
    /// When the first of the failures since then was.
    pub failing_since: Option<i64>,
    /// How many syncs failed since then.
    pub failures: u32,
    /// When each kind of failure was last told since then.
    pub failures_told: BTreeMap<String, i64>,
    /// When each kind of warning was last told.
    pub warnings_told: BTreeMap<String, i64>,
}

impl Record {
    /// Takes in that a sync failed.
    pub fn failed(&mut self, now: i64) {
        self.failing_since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// Takes in that a sync succeeded. What a success after failures has to tell is not lost before it is told.
    pub fn succeeded(&mut self, now: i64) {
        self.last_success = Some(now);
        if self.failures_told.is_empty() {
            self.failing_since = None;
            self.failures = 0;
        }
    }

    /// Returns the event of a success that follows failures which were told.
    pub fn recovery(&self) -> Option<Event> {
        let since = self.failing_since?;
        (!self.failures_told.is_empty()).then_some(Event::Recovered {
            since,
            failures: self.failures,
        })
    }

    /// Returns what of the event is to be told now: all of it, its untold warnings, or nothing.
    pub fn due(&self, event: Event, now: i64, repeat_after: Duration) -> Option<Event> {
        let is_due = |told: Option<&i64>, pause: Duration| {
            // A time in the future is no reason to be silent: a clock was wrong.
            told.is_none_or(|at| now < *at || now.abs_diff(*at) >= pause.as_secs())
        };
        match event {
            Event::Failed(failure) => {
                let told = self.failures_told.get(failure.kind.name());
                is_due(told, repeat_after).then_some(Event::Failed(failure))
            }
            Event::Warned(mut warnings) => {
                warnings.retain(|warning| {
                    let pause = pause(warning, repeat_after);
                    is_due(self.warnings_told.get(&key(warning)), pause)
                });
                (!warnings.is_empty()).then_some(Event::Warned(warnings))
            }
            event => Some(event),
        }
    }

    /// Takes in that the event was told.
    pub fn told(&mut self, event: &Event, now: i64) {
        match event {
            Event::Failed(failure) => {
                self.failures_told
                    .insert(failure.kind.name().to_owned(), now);
            }
            Event::Warned(warnings) => {
                self.warnings_told
                    .retain(|_, at| now.abs_diff(*at) < FORGOTTEN.as_secs());
                let keys = warnings.iter().map(|warning| (key(warning), now));
                self.warnings_told.extend(keys);
            }
            Event::Recovered { .. } => {
                self.failures_told.clear();
                self.failing_since = None;
                self.failures = 0;
            }
            Event::Alarm(_) | Event::AllClear { .. } | Event::Test => {}
        }
    }
}

/// What a warning is remembered by: what each sync repeats by its text, everything else by its topic.
fn key(warning: &Warning) -> String {
    match warning.calls() {
        Some(topic) if topic.is_standing() => warning.to_string(),
        topic => topic.map_or("", Topic::name).to_owned(),
    }
}

fn pause(warning: &Warning, repeat_after: Duration) -> Duration {
    match warning.calls().is_some_and(Topic::is_standing) {
        true => repeat_after.max(REMINDER),
        false => repeat_after,
    }
}
