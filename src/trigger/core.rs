//! What the helper knows and decides: every event enters here, and actions come out. Pure: the current time and the
//! random number are always given, and nothing is sent.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::clock::{Schedule, Tick, Timer};
use super::gitlab::Pipeline;
use super::pipeline_gate::{FireResult, Origin, Pacing, PipelineGate, TriggerResponse};
use super::status::Status;
use super::watch::{Poll, Watch};
use super::watchdog::{Alert, Watchdog};
use crate::git::ObjectId;

/// The least time between two reads of a running pipeline.
const READ_INTERVAL: SignedDuration = SignedDuration::from_secs(15);
/// How often the repositories are polled without `trigger.poll`: for the watchdog and the status alone.
const POLL_INTERVAL: SignedDuration = SignedDuration::from_mins(5);

/// The configuration, as far as the core needs it.
#[derive(Debug, Clone)]
pub struct CoreSettings {
    /// How close pipelines may follow each other.
    pub pacing: Pacing,
    /// The clock.
    pub schedule: Option<Schedule>,
    /// The interval of the watch; `None` without a watch.
    pub poll: Option<SignedDuration>,
    /// Whether the repositories can be polled.
    pub can_poll: bool,
    /// Whether the status of pipelines can be read.
    pub can_read: bool,
    /// How long the mirror may be behind before a person is notified.
    pub alarm_after: SignedDuration,
    /// When a person is notified again.
    pub repeat_after: SignedDuration,
}

/// Something to do. An action is not returned again before its result was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask GitLab for a pipeline.
    Fire,
    /// Poll the repositories, given the last poll.
    Poll(Option<Poll>),
    /// Read the status of this pipeline.
    ReadPipeline(u64),
    /// Mail a person.
    Mail(Alert),
}

/// The state of the helper.
#[derive(Debug)]
pub struct Core {
    settings: CoreSettings,
    gate: PipelineGate,
    watch: Watch,
    watchdog: Watchdog,
    /// The next tick of the clock, and the timer until then.
    tick: Option<(Tick, Timer)>,
    /// The next poll, and the next read of a pipeline.
    next_poll: Option<Timer>,
    next_read: Option<Timer>,
    is_polling: bool,
    is_reading: bool,
    /// The newest pipeline that was seen to finish.
    finished: Option<u64>,
    status: Status,
}

impl Core {
    /// Starts without any knowledge: the first poll decides.
    pub fn new(settings: CoreSettings, now: Timestamp, random: f64) -> Self {
        let CoreSettings {
            pacing,
            alarm_after,
            repeat_after,
            ..
        } = settings;
        Self {
            gate: PipelineGate::new(pacing),
            watch: Watch::new(pacing.min_interval),
            watchdog: Watchdog::new(alarm_after, repeat_after),
            tick: first_tick(&settings, now, random),
            next_poll: settings.can_poll.then_some(at_once(now)),
            next_read: None,
            is_polling: false,
            is_reading: false,
            finished: None,
            status: Status {
                started: now,
                ..Status::default()
            },
            settings,
        }
    }

    /// Returns the actions that are due.
    pub fn act(&mut self, now: Timestamp, random: f64) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some((tick, timer)) = self.tick
            && timer.has_fired(now)
        {
            self.gate.request(now, Origin::Clock);
            let schedule = self.settings.schedule.as_ref();
            let next = schedule.and_then(|schedule| schedule.following(tick, now, random));
            self.tick = next.map(|tick| timed(tick, now));
        }
        if self.next_poll.is_some_and(|timer| timer.has_fired(now)) && !self.is_polling {
            self.is_polling = true;
            let interval = self.settings.poll.unwrap_or(POLL_INTERVAL);
            self.next_poll = Some(Timer::start(now, interval));
            actions.push(Action::Poll(self.watch.last()));
        }
        if let Some(id) = self.readable()
            && self.next_read.is_none_or(|timer| timer.has_fired(now))
        {
            self.is_reading = true;
            self.next_read = Some(Timer::start(now, self.read_interval()));
            actions.push(Action::ReadPipeline(id));
        }
        // After the clock's request, which may be due at once.
        if self.gate.take_due(now) {
            actions.push(Action::Fire);
        }
        actions.extend(self.watchdog.due(now).into_iter().map(Action::Mail));
        actions
    }

    /// Returns when an action may be due without any other event.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let deadline = |timer: Option<Timer>| timer.map(|timer| timer.deadline(now).unwrap_or(now));
        let poll = self.next_poll.filter(|_| !self.is_polling);
        let read = self
            .readable()
            .map(|_| deadline(self.next_read).unwrap_or(now));
        let wakes = [
            deadline(self.tick.map(|(_, timer)| timer)),
            deadline(poll),
            read,
            self.gate.wake(now),
            self.watchdog.wake(now),
        ];
        wakes.into_iter().flatten().min()
    }

    fn read_interval(&self) -> SignedDuration {
        self.settings
            .poll
            .map_or(READ_INTERVAL, |poll| poll.min(READ_INTERVAL))
    }

    /// Returns the pipeline whose status can be read now.
    fn readable(&self) -> Option<u64> {
        let can_read = self.settings.can_read && !self.is_reading;
        can_read.then(|| self.gate.pipeline()).flatten()
    }

    /// Handles a request for a pipeline.
    pub fn request(&mut self, now: Timestamp, origin: Origin) -> TriggerResponse {
        self.gate.request(now, origin)
    }

    /// Handles GitLab's answer; returns the response to whoever made the request.
    pub fn answered(
        &mut self,
        now: Timestamp,
        result: &FireResult,
        random: f64,
    ) -> TriggerResponse {
        self.gate.answered(now, result, random);
        match result {
            FireResult::Created(pipeline) => {
                self.watch.fired(now);
                self.watchdog.fired();
                self.next_read = Some(Timer::start(now, self.read_interval()));
                self.status.fired += 1;
                self.status.last_fired = Some(now);
                self.status.last_answer = Some("created".to_owned());
                self.status.pipeline_url.clone_from(&pipeline.url);
                self.status.pipeline_status = Some(pipeline.status.clone());
                TriggerResponse::Fired {
                    pipeline_url: pipeline.url.clone(),
                }
            }
            FireResult::Wait { why, .. } | FireResult::Retry { why, .. } => {
                self.status.refused += 1;
                self.status.last_answer = Some(why.clone());
                TriggerResponse::HeldBack {
                    until: self.gate.wake(now).unwrap_or(now),
                    why: why.clone(),
                }
            }
            FireResult::Refused { why } => {
                self.status.refused += 1;
                self.status.last_answer = Some(why.clone());
                self.watchdog.refused(why);
                TriggerResponse::Refused { why: why.clone() }
            }
        }
    }

    /// Handles the status of a pipeline, from a hook.
    pub fn pipeline_changed(&mut self, now: Timestamp, pipeline: &Pipeline) {
        self.gate.pipeline_changed(now, pipeline);
        // A late hook must neither show an older pipeline as the last one, nor count a failure twice.
        if self
            .finished
            .is_some_and(|finished| pipeline.id <= finished)
        {
            return;
        }
        self.status.pipeline_url.clone_from(&pipeline.url);
        self.status.pipeline_status = Some(pipeline.status.clone());
        if !pipeline.is_finished() {
            return;
        }
        self.finished = Some(pipeline.id);
        // `canceled` and `skipped` say nothing about whether a sync works.
        let has_failed = pipeline.status == "failed";
        self.status.pipelines_failed += u64::from(has_failed);
        if has_failed || pipeline.status == "success" {
            let page = pipeline.url.clone();
            let page = page.unwrap_or_else(|| pipeline.id.to_string());
            self.watchdog.pipeline_finished(&page, has_failed);
        }
        if self.settings.can_poll {
            // What the pipeline did to the mirror shows in the next poll.
            self.next_poll = Some(at_once(now));
        }
    }

    /// Handles the status of a pipeline that was read; `None` if it could not be read.
    pub fn pipeline_read(&mut self, now: Timestamp, pipeline: Option<&Pipeline>) {
        self.is_reading = false;
        if let Some(pipeline) = pipeline {
            self.pipeline_changed(now, pipeline);
        }
    }

    /// Handles the result of a poll, or why it failed.
    pub fn polled(&mut self, now: Timestamp, poll: Result<Poll, String>) {
        self.is_polling = false;
        let poll = match poll {
            Ok(poll) => poll,
            Err(why) => {
                self.status.polls_failed += 1;
                self.watchdog.poll_failed(now, &why);
                self.status.poll_error = Some(why);
                return;
            }
        };
        self.status.poll_error = None;
        let is_first = self.watch.last().is_none();
        let change = self.watch.polled(now, poll);
        if change.has_moved {
            self.gate.mirror_moved();
        }
        self.watchdog.polled(self.watch.behind_since());
        // The first poll counts even without a watch: nothing is kept on disk, so that a request which was pending when
        // the helper was killed shows only in a mirror that is behind.
        let is_wanted = change.wants_pipeline && (is_first || self.settings.poll.is_some());
        // A running pipeline may be carrying it already: the poll after it decides.
        if is_wanted && !self.gate.is_busy(now) {
            self.gate.request(now, Origin::Watch);
        }
    }

    /// Handles a mail that was sent.
    pub fn mailed(&mut self) {
        self.status.mails += 1;
    }

    /// Returns the mirror's tip and when it was seen to move there, if it was.
    pub fn last_moved(&self) -> Option<(ObjectId, Timestamp)> {
        Some((self.watch.last()?.mirror, self.watch.last_change()?))
    }

    /// Returns the state of the helper.
    pub fn status(&mut self, now: Timestamp) -> Status {
        let last = self.watch.last();
        let behind = self.watch.behind_since();
        let pending = self.gate.wake(now);
        let tick = self.tick.and_then(|(_, timer)| timer.deadline(now));
        let status = &mut self.status;
        status.next_firing = [tick, pending].into_iter().flatten().min();
        status.running = self.gate.is_busy(now);
        status.pending = self.gate.is_pending();
        status.needs_person = self.gate.needs_person().map(str::to_owned);
        status.upstream = last.map(|poll| poll.upstream.to_string());
        status.mirror = last.map(|poll| poll.mirror.to_string());
        status.behind = last.map(|poll| poll.is_behind);
        status.behind_seconds = behind.map(|since| now.duration_since(since).as_secs().max(0));
        status.last_change = self.watch.last_change();
        status.last_poll = self.watch.last_poll();
        status.clone()
    }
}

/// Returns a timer that has fired.
fn at_once(now: Timestamp) -> Timer {
    Timer::start(now, SignedDuration::ZERO)
}

fn first_tick(settings: &CoreSettings, now: Timestamp, random: f64) -> Option<(Tick, Timer)> {
    let tick = settings.schedule.as_ref()?.next(now, random)?;
    Some(timed(tick, now))
}

/// Adds a timer to a tick: unlike a plain time, it survives a machine whose clock is set back.
fn timed(tick: Tick, now: Timestamp) -> (Tick, Timer) {
    (tick, Timer::start(now, tick.at.duration_since(now)))
}
