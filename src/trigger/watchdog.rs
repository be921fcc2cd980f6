//! The watchdog: which alerts a person gets, when, and in which words. Pure: the current time is always given.
//!
//! The words are Alertmanager's: a condition is raised, a person is notified of it, again after a while, and it
//! resolves.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::clock::Timer;
use crate::error::Kind;
use crate::notify::notice::{Event, Failure};

/// What a person is notified of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alert {
    /// GitLab refuses to create pipelines.
    Refused {
        /// What it said, and what to do.
        why: String,
    },
    /// A pipeline failed.
    PipelineFailed {
        /// Its page, or its id.
        pipeline: String,
    },
    /// The mirror has been behind for too long without moving.
    Behind {
        /// Since when.
        since: Timestamp,
    },
    /// Polls have failed for too long, so that nobody knows whether the mirror is behind.
    PollsFail {
        /// Since when.
        since: Timestamp,
        /// Why the last one failed.
        why: String,
    },
    /// All conditions that a person was notified of are resolved.
    Resolved {
        /// When a person was first notified.
        since: Timestamp,
    },
}

impl Alert {
    /// Returns the event that is mailed.
    pub(super) fn event(&self) -> Event {
        let alarm = |summary, kind, message: String, cause: Option<&String>, advice: &str| {
            let failure = Failure {
                kind,
                message,
                causes: cause.into_iter().cloned().collect(),
                advice: Some(advice.to_owned()),
                is_transient: false,
            };
            Event::Alarm { summary, failure }
        };
        match self {
            Self::Refused { why } => alarm(
                "pipeline refused",
                Kind::Pipeline,
                "GitLab refuses to create pipelines, so nothing reaches the mirror".to_owned(),
                Some(why),
                "Fix what GitLab reports. Then request a pipeline with POST /trigger, or wait: the helper tries again once an hour.",
            ),
            Self::PipelineFailed { pipeline } => alarm(
                "pipeline failed",
                Kind::Pipeline,
                format!("the pipeline {pipeline} failed"),
                None,
                "Open the pipeline: the log of its job says why it failed.",
            ),
            Self::Behind { since } => alarm(
                "behind upstream",
                Kind::Stalled,
                format!(
                    "the mirror has been behind upstream since {} and has not moved",
                    shown(*since)
                ),
                None,
                "Look at the last pipeline and the log of its job. If there is no pipeline, open the helper's status page.",
            ),
            Self::PollsFail { since, why } => alarm(
                "polls fail",
                Kind::Stalled,
                format!(
                    "polling upstream and mirror has failed since {}",
                    shown(*since)
                ),
                Some(why),
                "Run `crates-ferry check` with the helper's configuration. Until a poll succeeds, the watch starts no \
                 pipelines.",
            ),
            Self::Resolved { since } => Event::Resolved {
                since: since.as_second(),
            },
        }
    }

    /// Returns the page of the pipeline that the alert is about.
    pub(super) fn pipeline(&self) -> Option<&str> {
        match self {
            Self::PipelineFailed { pipeline } => Some(pipeline),
            _ => None,
        }
    }
}

fn shown(time: Timestamp) -> String {
    format!("{time:.0}").replace('T', " ").replace('Z', " UTC")
}

/// A condition that is worth an alert, and when a person was last notified of it.
#[derive(Debug, Clone)]
struct Condition<T> {
    /// What is wrong; `None` while nothing is.
    active: Option<T>,
    notified: Option<Timestamp>,
}

impl<T: Clone> Condition<T> {
    fn none() -> Self {
        Self {
            active: None,
            notified: None,
        }
    }

    fn resolve(&mut self) {
        *self = Self::none();
    }

    /// Returns what is wrong if a notification is due, and records that it was sent.
    fn notify(&mut self, now: Timestamp, repeat_after: SignedDuration) -> Option<T> {
        let active = self.active.clone()?;
        if self.repeat(now, repeat_after).is_some() {
            return None;
        }
        self.notified = Some(now);
        Some(active)
    }

    fn wake(&self, now: Timestamp, repeat_after: SignedDuration) -> Option<Timestamp> {
        self.active.as_ref()?;
        Some(self.repeat(now, repeat_after).unwrap_or(now))
    }

    /// Returns until when a person is not notified again.
    fn repeat(&self, now: Timestamp, repeat_after: SignedDuration) -> Option<Timestamp> {
        Timer::start(self.notified?.min(now), repeat_after).deadline(now)
    }
}

/// The conditions, and what a person was notified of.
#[derive(Debug, Clone)]
pub struct Watchdog {
    alarm_after: SignedDuration,
    repeat_after: SignedDuration,
    refused: Condition<String>,
    failed: Condition<String>,
    behind: Condition<Timestamp>,
    polls_fail: Condition<(Timestamp, String)>,
    /// When a person was first notified since everything was in order.
    notified: Option<Timestamp>,
}

impl Watchdog {
    /// Makes a watchdog without conditions.
    pub fn new(alarm_after: SignedDuration, repeat_after: SignedDuration) -> Self {
        Self {
            alarm_after,
            repeat_after,
            refused: Condition::none(),
            failed: Condition::none(),
            behind: Condition::none(),
            polls_fail: Condition::none(),
            notified: None,
        }
    }

    /// Handles a refusal of GitLab to create pipelines.
    pub fn refused(&mut self, why: &str) {
        self.refused.active = Some(why.to_owned());
    }

    /// Handles a pipeline that GitLab created.
    pub fn fired(&mut self) {
        self.refused.resolve();
    }

    /// Handles the end of a pipeline.
    pub fn pipeline_finished(&mut self, pipeline: &str, has_failed: bool) {
        match has_failed {
            true => self.failed.active = Some(pipeline.to_owned()),
            false => self.failed.resolve(),
        }
    }

    /// Handles a poll; `behind_since` is since when the mirror has been behind without moving, if it is.
    pub fn polled(&mut self, behind_since: Option<Timestamp>) {
        self.polls_fail.resolve();
        match behind_since {
            Some(since) => self.behind.active = Some(since),
            None => {
                self.behind.resolve();
                // What the failed pipeline should have carried has arrived.
                self.failed.resolve();
            }
        }
    }

    /// Handles a poll that failed.
    pub fn poll_failed(&mut self, now: Timestamp, why: &str) {
        let active = self.polls_fail.active.as_ref();
        let since = active.map_or(now, |(since, _)| *since);
        self.polls_fail.active = Some((since, why.to_owned()));
    }

    /// Returns the alerts that are due, and records that a person was notified of them.
    pub fn due(&mut self, now: Timestamp) -> Vec<Alert> {
        self.follow_the_clock(now);
        let repeat_after = self.repeat_after;
        let mut alerts = Vec::new();
        let refused = self.refused.notify(now, repeat_after);
        alerts.extend(refused.map(|why| Alert::Refused { why }));
        let failed = self.failed.notify(now, repeat_after);
        alerts.extend(failed.map(|pipeline| Alert::PipelineFailed { pipeline }));
        // Only after `alarm_after`: a mirror is behind for a while each time that upstream moves.
        if self.alarm(self.behind.active, now) == Some(now) {
            let behind = self.behind.notify(now, repeat_after);
            alerts.extend(behind.map(|since| Alert::Behind { since }));
        }
        let failing_since = self.polls_fail.active.as_ref().map(|(since, _)| *since);
        if self.alarm(failing_since, now) == Some(now) {
            let failing = self.polls_fail.notify(now, repeat_after);
            alerts.extend(failing.map(|(since, why)| Alert::PollsFail { since, why }));
        }
        if !alerts.is_empty() {
            // The first of them: the mail that all is well again names the whole time.
            self.notified.get_or_insert(now);
        } else if self.is_resolved()
            && let Some(since) = self.notified.take()
        {
            alerts.push(Alert::Resolved { since });
        }
        alerts
    }

    /// Returns when something may be due without any other event.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let later = |repeat: Option<Timestamp>, since: Option<Timestamp>| {
            Some(repeat?.max(self.alarm(since, now)?))
        };
        let failing_since = self.polls_fail.active.as_ref().map(|(since, _)| *since);
        let wakes = [
            self.refused.wake(now, self.repeat_after),
            self.failed.wake(now, self.repeat_after),
            later(self.behind.wake(now, self.repeat_after), self.behind.active),
            later(self.polls_fail.wake(now, self.repeat_after), failing_since),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Returns when a condition that began then is worth an alarm: now, if it already is.
    fn alarm(&self, since: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let deadline = Timer::start(since?.min(now), self.alarm_after).deadline(now);
        Some(deadline.unwrap_or(now))
    }

    /// Moves times in the future to now: the machine's clock was set back, which must neither raise an alarm nor delay
    /// one by more than `alarm_after`.
    fn follow_the_clock(&mut self, now: Timestamp) {
        let notified = [
            &mut self.refused.notified,
            &mut self.failed.notified,
            &mut self.behind.notified,
            &mut self.polls_fail.notified,
        ];
        for notified in notified.into_iter().flatten() {
            *notified = now.min(*notified);
        }
        if let Some(since) = &mut self.behind.active {
            *since = now.min(*since);
        }
        if let Some((since, _)) = &mut self.polls_fail.active {
            *since = now.min(*since);
        }
    }

    /// Says whether every condition that a person was notified of is resolved.
    fn is_resolved(&self) -> bool {
        let notified = [
            self.refused.notified,
            self.failed.notified,
            self.behind.notified,
            self.polls_fail.notified,
        ];
        notified.iter().all(Option::is_none)
    }
}
