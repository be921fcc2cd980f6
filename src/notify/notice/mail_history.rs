//! What was mailed already: the same failure is mailed again only after a while, and the success after it once.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Event;
use crate::mirror::report::{Topic, Warning};

/// How often a person is reminded of what every sync warns of until somebody acts.
const REMINDER: Duration = Duration::from_secs(7 * 24 * 3600);
/// The key of a server that holds an index back, among the warnings.
const HELD_BACK: &str = "index held back";
/// How long a warning that does not occur again stays in the file: without a limit the file would only grow.
const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// What was mailed about each mirror, as the file `mail.state` stores it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MailHistory {
    /// By the thread of the mirror's mails.
    pub mirrors: BTreeMap<String, MirrorHistory>,
}

/// What was mailed about one mirror. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorHistory {
    /// When a sync succeeded last.
    pub last_success: Option<i64>,
    /// When the first sync failed since then.
    pub failing_since: Option<i64>,
    /// How many syncs failed since then.
    pub failures: u32,
    /// When each kind of failure was last mailed since then.
    pub failures_mailed: BTreeMap<String, i64>,
    /// When each kind of warning was last mailed.
    pub warnings_mailed: BTreeMap<String, i64>,
}

impl MirrorHistory {
    /// Records that a sync failed.
    pub fn failed(&mut self, now: i64) {
        self.failing_since.get_or_insert(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// Records that a sync succeeded.
    ///
    /// The failures before it are forgotten only if nobody was mailed about them: otherwise [`Self::recovery`] still has to
    /// say how many there were, also after a mail that could not be sent.
    pub fn succeeded(&mut self, now: i64) {
        self.last_success = Some(now);
        if self.failures_mailed.is_empty() {
            self.failing_since = None;
            self.failures = 0;
        }
    }

    /// Returns the event of a success that follows failures which were mailed.
    pub fn recovery(&self) -> Option<Event> {
        let since = self.failing_since?;
        (!self.failures_mailed.is_empty()).then_some(Event::Recovered {
            since,
            failures: self.failures,
        })
    }

    /// Returns the part of the event that is due for a mail: all of it, the warnings among it that are due, or nothing.
    pub fn due(&self, event: Event, now: i64, repeat_after: Duration) -> Option<Event> {
        let is_due = |mailed: Option<&i64>, pause: Duration| {
            // A time in the future means that a clock was wrong, and is no reason to stay silent.
            mailed.is_none_or(|at| now < *at || now.abs_diff(*at) >= pause.as_secs())
        };
        match event {
            Event::Failed(failure) => {
                let mailed = self.failures_mailed.get(failure.kind.name());
                is_due(mailed, repeat_after).then_some(Event::Failed(failure))
            }
            Event::Warned(mut warnings) => {
                warnings.retain(|warning| {
                    let pause = pause(warning, repeat_after);
                    is_due(self.warnings_mailed.get(&key(warning)), pause)
                });
                (!warnings.is_empty()).then_some(Event::Warned(warnings))
            }
            Event::HeldBack(failure) => {
                let mailed = self.warnings_mailed.get(HELD_BACK);
                is_due(mailed, repeat_after).then_some(Event::HeldBack(failure))
            }
            event => Some(event),
        }
    }

    /// Records that the event was mailed.
    pub fn mailed(&mut self, event: &Event, now: i64) {
        match event {
            Event::Failed(failure) => {
                self.failures_mailed
                    .insert(failure.kind.name().to_owned(), now);
            }
            Event::Warned(warnings) => {
                self.warnings_mailed
                    .retain(|_, at| now.abs_diff(*at) < RETENTION.as_secs());
                let keys = warnings.iter().map(|warning| (key(warning), now));
                self.warnings_mailed.extend(keys);
            }
            // Only now: as long as this mail could not be sent, `recovery` tries it again after each success.
            Event::Recovered { .. } => {
                self.failures_mailed.clear();
                self.failing_since = None;
                self.failures = 0;
            }
            Event::HeldBack(_) => drop(self.warnings_mailed.insert(HELD_BACK.to_owned(), now)),
            Event::Alarm { .. }
            | Event::Resolved { .. }
            | Event::Withdrawn(_)
            | Event::Advised(_)
            | Event::Test => {}
        }
    }
}

/// Returns the key that a warning is recorded under: its text if every sync repeats it, else its topic.
///
/// A topic as the key would let the first of several standing warnings silence the others for a week.
fn key(warning: &Warning) -> String {
    match warning.calls() {
        Some(topic) if topic.is_standing() => warning.to_string(),
        topic => topic.map_or("", Topic::name).to_owned(),
    }
}

/// Returns the least time between two mails about the same warning.
fn pause(warning: &Warning, repeat_after: Duration) -> Duration {
    match warning.calls().is_some_and(Topic::is_standing) {
        true => repeat_after.max(REMINDER),
        false => repeat_after,
    }
}
