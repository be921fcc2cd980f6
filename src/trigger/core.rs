//! What the helper knows and decides: every event goes in here, and out comes what is to be done. Pure: the time and the
//! chance are always given, and nothing is sent.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::clock::Schedule;
use super::pipeline_gate::{Gate, Limits};
use super::span::Span;
use super::types::{Answer, Origin, PipelineNews, Status, Verdict};
use super::watch::{Look, Watch};
use super::watchdog::{Alert, Watchdog};

/// How often the state of a pipeline under way is read, at most.
const READ_EVERY: SignedDuration = SignedDuration::from_secs(15);
/// How often both sides are looked at where no watch is wanted: for the watchdog and the status alone.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// What the core is told of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How close pipelines may follow each other.
    pub limits: Limits,
    /// The clock.
    pub schedule: Option<Schedule>,
    /// How often the watch looks; `None` without a watch.
    pub poll: Option<SignedDuration>,
    /// Whether both sides can be looked at.
    pub can_look: bool,
    /// Whether pipelines may be read.
    pub can_read: bool,
    /// How long the mirror may be behind before a person is told.
    pub alarm_after: SignedDuration,
    /// When the same is told again.
    pub repeat_after: SignedDuration,
}

/// Something to be done. What is under way is not asked for again until its end was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask GitLab for a pipeline.
    Fire,
    /// Look at both sides, knowing the last look.
    Look(Option<Look>),
    /// Read how this pipeline goes.
    Read(u64),
    /// Tell a person.
    Tell(Alert),
}

/// The helper's state.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    gate: Gate,
    watch: Watch,
    watchdog: Watchdog,
    /// The clock's next tick.
    tick: Option<Span>,
    /// The time until the next look, and until a pipeline is read next.
    until_look: Option<Span>,
    until_read: Option<Span>,
    is_looking: bool,
    is_reading: bool,
    /// The newest pipeline that was seen to end.
    ended: Option<u64>,
    status: Status,
}

impl Core {
    /// Begins: nothing is known, the first look decides.
    pub fn new(settings: Settings, now: Timestamp, random: f64) -> Self {
        let Settings {
            limits,
            alarm_after,
            repeat_after,
            ..
        } = settings;
        Self {
            gate: Gate::new(limits),
            watch: Watch::new(limits.min_interval),
            watchdog: Watchdog::new(alarm_after, repeat_after),
            tick: next_tick(&settings, now, random),
            until_look: settings
                .can_look
                .then_some(Span::new(now, SignedDuration::ZERO)),
            until_read: None,
            is_looking: false,
            is_reading: false,
            ended: None,
            status: Status {
                started: now,
                ..Status::default()
            },
            settings,
        }
    }

    /// Returns what is to be done now.
    pub fn act(&mut self, now: Timestamp, random: f64) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.tick.is_some_and(|tick| tick.end(now).is_none()) {
            self.gate.ask(now, Origin::Clock);
            self.tick = next_tick(&self.settings, now, random);
        }
        if self.until_look.is_some_and(|span| span.end(now).is_none()) && !self.is_looking {
            self.is_looking = true;
            self.until_look = Some(Span::new(now, self.settings.poll.unwrap_or(LOOK_EVERY)));
            actions.push(Action::Look(self.watch.last()));
        }
        if let Some(id) = self.readable()
            && self.until_read.is_none_or(|span| span.end(now).is_none())
        {
            self.is_reading = true;
            self.until_read = Some(Span::new(now, self.read_every()));
            actions.push(Action::Read(id));
        }
        if self.gate.is_due(now) {
            actions.push(Action::Fire);
        }
        actions.extend(self.watchdog.due(now).into_iter().map(Action::Tell));
        actions
    }

    /// Returns when something may be to be done without any other event.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let end = |span: Option<Span>| span.map(|span| span.end(now).unwrap_or(now));
        let look = self.until_look.filter(|_| !self.is_looking);
        let read = self.readable().map(|_| end(self.until_read).unwrap_or(now));
        let wakes = [
            end(self.tick),
            end(look),
            read,
            self.gate.wake(now),
            self.watchdog.wake(now),
        ];
        wakes.into_iter().flatten().min()
    }

    fn read_every(&self) -> SignedDuration {
        self.settings
            .poll
            .map_or(READ_EVERY, |poll| poll.min(READ_EVERY))
    }

    fn readable(&self) -> Option<u64> {
        let wanted = self.settings.can_read && !self.is_reading;
        wanted.then(|| self.gate.pipeline()).flatten()
    }

    /// Takes in a wish.
    pub fn ask(&mut self, now: Timestamp, origin: Origin) -> Answer {
        self.gate.ask(now, origin)
    }

    /// Takes in what GitLab answered, and returns what whoever asked is told.
    pub fn answered(&mut self, now: Timestamp, verdict: &Verdict, random: f64) -> Answer {
        self.gate.answered(now, verdict, random);
        match verdict {
            Verdict::Created(news) => {
                self.watch.fired(now);
                self.watchdog.fired();
                self.until_read = Some(Span::new(now, self.read_every()));
                self.status.fired += 1;
                self.status.last_fired = Some(now);
                self.status.last_answer = Some("created".to_owned());
                self.status.pipeline_url.clone_from(&news.url);
                self.status.pipeline_status = Some(news.status.clone());
                Answer::Fired {
                    pipeline_url: news.url.clone(),
                }
            }
            Verdict::Wait { why, .. } | Verdict::Retry { why, .. } => {
                self.status.refused += 1;
                self.status.last_answer = Some(why.clone());
                Answer::HeldBack {
                    until: self.gate.wake(now).unwrap_or(now),
                    why: why.clone(),
                }
            }
            Verdict::Refused { why } => {
                self.status.refused += 1;
                self.status.last_answer = Some(why.clone());
                self.watchdog.refused(why);
                Answer::Refused { why: why.clone() }
            }
        }
    }

    /// Takes in how a pipeline goes, from a hook.
    pub fn heard(&mut self, now: Timestamp, news: &PipelineNews) {
        self.gate.heard(now, news);
        if self.ended.is_some_and(|ended| news.id <= ended) {
            return;
        }
        self.status.pipeline_url.clone_from(&news.url);
        self.status.pipeline_status = Some(news.status.clone());
        if !news.is_over() {
            return;
        }
        self.ended = Some(news.id);
        let has_failed = news.status == "failed";
        self.status.pipelines_failed += u64::from(has_failed);
        if has_failed || news.status == "success" {
            let shown = news.url.clone().unwrap_or_else(|| news.id.to_string());
            self.watchdog.pipeline_ended(&shown, has_failed);
        }
        if self.settings.can_look {
            self.until_look = Some(Span::new(now, SignedDuration::ZERO));
        }
    }

    /// Takes in what was read of a pipeline; `None` where it could not be read.
    pub fn read(&mut self, now: Timestamp, news: Option<&PipelineNews>) {
        self.is_reading = false;
        if let Some(news) = news {
            self.heard(now, news);
        }
    }

    /// Takes in a look, or why it failed.
    pub fn looked(&mut self, now: Timestamp, look: Result<Look, String>) {
        self.is_looking = false;
        let look = match look {
            Ok(look) => look,
            Err(why) => {
                self.status.looks_failed += 1;
                self.watchdog.look_failed(now, &why);
                self.status.look_error = Some(why);
                return;
            }
        };
        self.status.look_error = None;
        let is_first = self.watch.last().is_none();
        let seen = self.watch.looked(now, look);
        if seen.has_moved {
            self.gate.mirror_moved();
        }
        self.watchdog.looked(self.watch.behind_since());
        let is_wanted = seen.wants_pipeline && (is_first || self.settings.poll.is_some());
        // A pipeline under way may be carrying it: the look after it decides.
        if is_wanted && !self.gate.is_busy(now) {
            self.gate.ask(now, Origin::Watch);
        }
    }

    /// Takes in that a mail was sent.
    pub fn mailed(&mut self) {
        self.status.mails += 1;
    }

    /// Returns what is shown of all this.
    pub fn status(&mut self, now: Timestamp) -> Status {
        let last = self.watch.last();
        let behind = self.watch.behind_since();
        let waiting = self.gate.wake(now);
        let tick = self.tick.and_then(|tick| tick.end(now));
        let status = &mut self.status;
        status.next_firing = [tick, waiting].into_iter().flatten().min();
        status.running = self.gate.is_busy(now);
        status.remembered = self.gate.is_remembered();
        status.needs_person = self.gate.needs_person().map(str::to_owned);
        status.upstream = last.map(|look| look.upstream.to_string());
        status.mirror = last.map(|look| look.mirror.to_string());
        status.behind = last.map(|look| look.is_behind);
        status.behind_seconds = behind.map(|since| now.duration_since(since).as_secs().max(0));
        status.last_change = self.watch.last_change();
        status.last_look = self.watch.last_look();
        status.clone()
    }
}

/// A tick of a clock is the end of a span, too: one that began in the future is over, since the machine's clock was set back.
fn next_tick(settings: &Settings, now: Timestamp, random: f64) -> Option<Span> {
    let tick = settings.schedule.as_ref()?.next(now, random)?;
    Some(Span::new(now, tick.duration_since(now)))
}
