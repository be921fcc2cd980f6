//! The watchdog: which troubles a person is told of, and when. Pure: the time is always given.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::span::Span;

/// What a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alert {
    /// GitLab refuses to create pipelines.
    Refused {
        /// What it said, and what to do.
        why: String,
    },
    /// A pipeline did not succeed.
    PipelineFailed {
        /// Its page, or its number.
        pipeline: String,
    },
    /// The mirror has been behind for too long without moving.
    Behind {
        /// Since when.
        since: Timestamp,
    },
    /// It cannot be seen whether the mirror is behind.
    Blind {
        /// Since when.
        since: Timestamp,
        /// Why not.
        why: String,
    },
    /// All troubles that were told are over.
    Recovered {
        /// When the first of them was told.
        since: Timestamp,
    },
}

/// A trouble, and when it was told last.
#[derive(Debug, Clone, Default)]
struct Trouble<T> {
    now: Option<T>,
    told: Option<Timestamp>,
}

impl<T: Clone> Trouble<T> {
    fn is_over(&mut self) {
        *self = Self {
            now: None,
            told: None,
        };
    }

    /// Returns the trouble where it is to be told, and takes in that it was.
    fn tell(&mut self, now: Timestamp, repeat_after: SignedDuration) -> Option<T> {
        let trouble = self.now.clone()?;
        if self.repeat(now, repeat_after).is_some() {
            return None;
        }
        self.told = Some(now);
        Some(trouble)
    }

    fn wake(&self, now: Timestamp, repeat_after: SignedDuration) -> Option<Timestamp> {
        self.now.as_ref()?;
        Some(self.repeat(now, repeat_after).unwrap_or(now))
    }

    /// Returns until when it is not told again.
    fn repeat(&self, now: Timestamp, repeat_after: SignedDuration) -> Option<Timestamp> {
        Span::new(self.told?.min(now), repeat_after).end(now)
    }
}

/// Remembers which troubles there are and what was told of them.
#[derive(Debug, Clone)]
pub struct Watchdog {
    alarm_after: SignedDuration,
    repeat_after: SignedDuration,
    refused: Trouble<String>,
    failed: Trouble<String>,
    behind: Trouble<Timestamp>,
    blind: Trouble<(Timestamp, String)>,
    /// When the first of the troubles was told.
    told: Option<Timestamp>,
}

impl Watchdog {
    /// Makes a watchdog that knows of no trouble.
    pub fn new(alarm_after: SignedDuration, repeat_after: SignedDuration) -> Self {
        let nothing = || Trouble {
            now: None,
            told: None,
        };
        Self {
            alarm_after,
            repeat_after,
            refused: nothing(),
            failed: nothing(),
            behind: Trouble::default(),
            blind: Trouble::default(),
            told: None,
        }
    }

    /// Takes in that GitLab refuses to create pipelines.
    pub fn refused(&mut self, why: &str) {
        self.refused.now = Some(why.to_owned());
    }

    /// Takes in that GitLab created a pipeline.
    pub fn fired(&mut self) {
        self.refused.is_over();
    }

    /// Takes in how a pipeline ended.
    pub fn pipeline_ended(&mut self, pipeline: &str, has_failed: bool) {
        match has_failed {
            true => self.failed.now = Some(pipeline.to_owned()),
            false => self.failed.is_over(),
        }
    }

    /// Takes in a look: since when the mirror has been behind without moving, if it is.
    pub fn looked(&mut self, behind_since: Option<Timestamp>) {
        self.blind.is_over();
        match behind_since {
            Some(since) => self.behind.now = Some(since),
            None => {
                self.behind.is_over();
                // What the failed pipeline should have carried is there.
                self.failed.is_over();
            }
        }
    }

    /// Takes in that a look failed.
    pub fn look_failed(&mut self, now: Timestamp, why: &str) {
        let since = self.blind.now.as_ref().map_or(now, |(since, _)| *since);
        self.blind.now = Some((since, why.to_owned()));
    }

    /// Returns what is to be told now, and takes in that it is.
    pub fn due(&mut self, now: Timestamp) -> Vec<Alert> {
        self.follow_the_clock(now);
        let repeat_after = self.repeat_after;
        let mut alerts = Vec::new();
        let refused = self.refused.tell(now, repeat_after);
        alerts.extend(refused.map(|why| Alert::Refused { why }));
        let failed = self.failed.tell(now, repeat_after);
        alerts.extend(failed.map(|pipeline| Alert::PipelineFailed { pipeline }));
        if self.alarm(self.behind.now, now) == Some(now) {
            let behind = self.behind.tell(now, repeat_after);
            alerts.extend(behind.map(|since| Alert::Behind { since }));
        }
        let blind_since = self.blind.now.as_ref().map(|(since, _)| *since);
        if self.alarm(blind_since, now) == Some(now) {
            let blind = self.blind.tell(now, repeat_after);
            alerts.extend(blind.map(|(since, why)| Alert::Blind { since, why }));
        }
        if !alerts.is_empty() {
            self.told.get_or_insert(now);
        } else if self.is_quiet()
            && let Some(since) = self.told.take()
        {
            alerts.push(Alert::Recovered { since });
        }
        alerts
    }

    /// Returns when something may be due without any other event.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let later = |trouble: Option<Timestamp>, since: Option<Timestamp>| {
            Some(trouble?.max(self.alarm(since, now)?))
        };
        let blind_since = self.blind.now.as_ref().map(|(since, _)| *since);
        let wakes = [
            self.refused.wake(now, self.repeat_after),
            self.failed.wake(now, self.repeat_after),
            later(self.behind.wake(now, self.repeat_after), self.behind.now),
            later(self.blind.wake(now, self.repeat_after), blind_since),
        ];
        wakes.into_iter().flatten().min()
    }

    /// Returns when a trouble that began then is worth an alarm: now, if it already is.
    fn alarm(&self, since: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let end = Span::new(since?.min(now), self.alarm_after).end(now);
        Some(end.unwrap_or(now))
    }

    /// Lets what began in the future begin now: the machine's clock was set back, which neither raises an alarm nor puts
    /// one off by more than `alarm_after`.
    fn follow_the_clock(&mut self, now: Timestamp) {
        let told = [
            &mut self.refused.told,
            &mut self.failed.told,
            &mut self.behind.told,
            &mut self.blind.told,
        ];
        for told in told.into_iter().flatten() {
            *told = now.min(*told);
        }
        if let Some(since) = &mut self.behind.now {
            *since = now.min(*since);
        }
        if let Some((since, _)) = &mut self.blind.now {
            *since = now.min(*since);
        }
    }

    /// Says whether every trouble that was told is over.
    fn is_quiet(&self) -> bool {
        let told = [
            self.refused.told,
            self.failed.told,
            self.behind.told,
            self.blind.told,
        ];
        told.iter().all(Option::is_none)
    }
}
