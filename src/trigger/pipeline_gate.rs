//! The gate that every request for a pipeline passes: never two pipelines at once, never two within `min_interval`, and
//! no request lost. Pure: the current time is always given.
//!
//! ```text
//! request → pending ─ take_due → requesting ─ answered → running ─ pipeline_changed → idle
//! ```
//!
//! Requests that arrive while one is pending, or while a pipeline runs, are coalesced into one follow-up pipeline: a
//! sync carries everything that is there when it starts.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::clock::Timer;
use super::gitlab::Pipeline;

/// How long a pipeline counts as running after GitLab last said so.
///
/// Bounded, because the hook that reports its end may be lost.
const CONFIRMED_RUNNING: SignedDuration = SignedDuration::from_hours(1);
/// How long after a refusal the helper tries again without being asked to.
// Somebody may have fixed it in GitLab without telling the helper.
const REFUSAL_RETRY: SignedDuration = SignedDuration::from_hours(1);
/// The longest pause that GitLab can impose.
const MAX_WAIT: SignedDuration = SignedDuration::from_hours(1);
const FIRST_BACKOFF: SignedDuration = SignedDuration::from_secs(1);
const MAX_BACKOFF: SignedDuration = SignedDuration::from_mins(5);
/// How many hooks are queued while GitLab is asked: more than the one or two pipelines of that moment send.
const MAX_EARLY: usize = 16;

/// Who requests a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The clock: `trigger.every`.
    Clock,
    /// The watch: upstream has what the mirror lacks.
    Watch,
    /// `POST /trigger`.
    Endpoint,
    /// `POST /hooks/push`.
    PushHook,
}

/// What became of a request for a pipeline: the body of the response to `POST /trigger`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum TriggerResponse {
    /// GitLab created a pipeline for it.
    Fired {
        /// The pipeline's page.
        pipeline_url: Option<String>,
    },
    /// GitLab was asked for a pipeline and has not answered yet.
    Firing,
    /// A pipeline is running; one more follows it.
    AlreadyRunning {
        /// The page of the running pipeline.
        pipeline_url: Option<String>,
    },
    /// The request is pending until this time.
    HeldBack {
        /// When the pipeline is created, if nothing else happens meanwhile.
        until: Timestamp,
        /// Why not now.
        why: String,
    },
    /// GitLab refuses, and a person must fix something.
    Refused {
        /// What GitLab said, and what to do.
        why: String,
    },
}

/// GitLab's answer to a request for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FireResult {
    /// The pipeline was created.
    Created(Pipeline),
    /// GitLab says when to try again.
    Wait {
        /// That time.
        until: Timestamp,
        /// What it said.
        why: String,
        /// As of [`FireResult::Retry`].
        may_be_created: bool,
    },
    /// A transient failure.
    Retry {
        /// What failed.
        why: String,
        /// Whether the pipeline may exist nevertheless: the request was sent, and no answer, or only one of a proxy or of
        /// a failing server, arrived.
        may_be_created: bool,
    },
    /// A person is needed.
    Refused {
        /// What GitLab said, and what to do.
        why: String,
    },
}

/// How close pipelines may follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Pacing {
    /// The least time between two pipelines.
    pub min_interval: SignedDuration,
    /// How long a pipeline counts as running if nothing reports its status.
    pub assume_running: SignedDuration,
}

/// Decides when GitLab is asked for a pipeline.
#[derive(Debug, Clone)]
pub struct PipelineGate {
    pacing: Pacing,
    state: State,
    /// The pending request, by who made it first.
    pending: Option<Origin>,
    /// Since when the last pipeline keeps others away.
    interval: Option<Timer>,
    /// What else keeps us from asking, and why.
    pause: Option<(Timer, String)>,
    refusal: Option<Refusal>,
    /// How many requests failed in a row.
    failures: u32,
    /// The greatest pipeline id that was reported, and whether that pipeline has finished.
    newest: (u64, bool),
}

#[derive(Debug, Clone)]
enum State {
    Idle,
    /// GitLab is being asked.
    ///
    /// Hooks may report the new pipeline before the answer says which one it is, so that they are queued until then.
    Requesting {
        origin: Origin,
        early: Vec<Pipeline>,
    },
    Running(Running),
}

/// A pipeline that has not finished, as far as we know.
#[derive(Debug, Clone)]
struct Running {
    id: u64,
    url: Option<String>,
    /// For how long that is believed.
    timer: Timer,
    /// Whether GitLab reported its status since it was created.
    is_confirmed: bool,
}

/// GitLab refused, and a person is needed.
#[derive(Debug, Clone)]
struct Refusal {
    why: String,
    since: Timestamp,
    /// Whether a person asked since then: it may be fixed.
    is_asked_again: bool,
}

impl PipelineGate {
    /// Makes a gate without a pending request.
    pub fn new(pacing: Pacing) -> Self {
        Self {
            pacing,
            state: State::Idle,
            pending: None,
            interval: None,
            pause: None,
            refusal: None,
            failures: 0,
            newest: (0, true),
        }
    }

    /// Makes a request pending; returns [`TriggerResponse::Firing`] if it is due at once.
    pub fn request(&mut self, now: Timestamp, origin: Origin) -> TriggerResponse {
        self.expire(now);
        self.pending.get_or_insert(origin);
        if let Some(refusal) = &mut self.refusal {
            // Not the clock and the watch: they would ask for the same thing again and again, and be refused each time.
            refusal.is_asked_again |= matches!(origin, Origin::Endpoint | Origin::PushHook);
            if !refusal.is_asked_again {
                return TriggerResponse::Refused {
                    why: refusal.why.clone(),
                };
            }
        }
        match (&self.state, self.hold(now)) {
            (State::Idle, None) => TriggerResponse::Firing,
            (State::Idle, Some((until, why))) => TriggerResponse::HeldBack { until, why },
            (State::Requesting { .. }, _) => TriggerResponse::AlreadyRunning { pipeline_url: None },
            (State::Running(pipeline), _) => TriggerResponse::AlreadyRunning {
                pipeline_url: pipeline.url.clone(),
            },
        }
    }

    /// Takes the pending request if it is due. The caller then asks GitLab, and reports to [`Self::answered`].
    pub fn take_due(&mut self, now: Timestamp) -> bool {
        self.expire(now);
        if !matches!(self.state, State::Idle) || self.hold(now).is_some() {
            return false;
        }
        let Some(origin) = self.pending.take() else {
            return false;
        };
        self.state = State::Requesting {
            origin,
            early: Vec::new(),
        };
        true
    }

    /// Returns when the pending request may be due without any other event.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        self.pending?;
        match &self.state {
            State::Idle => Some(self.hold(now).map_or(now, |(until, _)| until)),
            State::Requesting { .. } => None,
            State::Running(pipeline) => Some(pipeline.timer.deadline(now).unwrap_or(now)),
        }
    }

    /// Handles GitLab's answer; `random`, from 0 to 1, spreads the retries of many helpers.
    pub fn answered(&mut self, now: Timestamp, result: &FireResult, random: f64) {
        let State::Requesting { origin, early } = std::mem::replace(&mut self.state, State::Idle)
        else {
            return;
        };
        if let FireResult::Created(pipeline) = result {
            self.created(now, pipeline);
        } else {
            // The request is pending again, before any that arrived meanwhile.
            self.pending = Some(origin);
        }
        match result {
            FireResult::Created(_) => {}
            FireResult::Wait { until, why, .. } => {
                let wait = until.duration_since(now);
                let wait = wait.clamp(SignedDuration::from_secs(1), MAX_WAIT);
                self.pause = Some((Timer::start(now, wait), why.clone()));
            }
            FireResult::Retry { why, .. } => {
                self.pause = Some((Timer::start(now, self.backoff(random)), why.clone()));
                self.failures = self.failures.saturating_add(1);
            }
            FireResult::Refused { why } => {
                self.refusal = Some(Refusal {
                    why: why.clone(),
                    since: now,
                    is_asked_again: false,
                });
            }
        }
        // A pipeline that was created unheard keeps its distance to the next one, too.
        if let FireResult::Wait { may_be_created, .. } | FireResult::Retry { may_be_created, .. } =
            result
            && *may_be_created
        {
            self.interval = Some(Timer::start(now, self.pacing.min_interval));
        }
        // Only now that the state names the new pipeline: its hooks then count as those of the current one.
        for pipeline in early {
            self.pipeline_changed(now, &pipeline);
        }
    }

    fn created(&mut self, now: Timestamp, pipeline: &Pipeline) {
        (self.failures, self.pause, self.refusal) = (0, None, None);
        self.interval = Some(Timer::start(now, self.pacing.min_interval));
        self.newest = self.newest.max((pipeline.id, pipeline.is_finished()));
        if !pipeline.is_finished() {
            self.state = State::Running(Running {
                id: pipeline.id,
                url: pipeline.url.clone(),
                timer: Timer::start(now, self.pacing.assume_running),
                is_confirmed: false,
            });
        }
    }

    /// Handles a pipeline's status, from a hook or from GitLab's API.
    ///
    /// A newer pipeline counts as much as ours, whoever started it: it syncs the mirror just the same.
    pub fn pipeline_changed(&mut self, now: Timestamp, pipeline: &Pipeline) {
        if let State::Requesting { early, .. } = &mut self.state {
            // The latest ones tell the current status.
            if early.len() == MAX_EARLY {
                early.remove(0);
            }
            early.push(pipeline.clone());
            return;
        }
        // GitLab's ids grow, and `true` is greater than `false`: the later news is the greater pair.
        let status = (pipeline.id, pipeline.is_finished());
        let is_current = self.pipeline() == Some(pipeline.id);
        // Hooks may arrive late and out of order: a finished pipeline stays finished, and an older one does not matter.
        if !is_current && status < self.newest {
            return;
        }
        self.newest = self.newest.max(status);
        if !pipeline.is_finished() {
            self.state = State::Running(Running {
                id: pipeline.id,
                url: pipeline.url.clone(),
                timer: Timer::start(now, CONFIRMED_RUNNING),
                is_confirmed: true,
            });
        } else if is_current {
            self.state = State::Idle;
        }
    }

    /// Handles a mirror that moved: a pipeline that was only assumed to be running has done its work.
    pub fn mirror_moved(&mut self) {
        if matches!(&self.state, State::Running(pipeline) if !pipeline.is_confirmed) {
            self.state = State::Idle;
        }
    }

    /// Says whether a pipeline is running, or GitLab is being asked for one.
    pub fn is_busy(&mut self, now: Timestamp) -> bool {
        self.expire(now);
        !matches!(self.state, State::Idle)
    }

    /// Returns the id of the running pipeline.
    pub fn pipeline(&self) -> Option<u64> {
        match &self.state {
            State::Running(pipeline) => Some(pipeline.id),
            State::Idle | State::Requesting { .. } => None,
        }
    }

    /// Says whether a request is pending.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Returns what a person must fix before the next pipeline.
    pub fn needs_person(&self) -> Option<&str> {
        self.refusal.as_ref().map(|refusal| refusal.why.as_str())
    }

    /// Gives up a running pipeline whose status was not reported for too long.
    fn expire(&mut self, now: Timestamp) {
        if matches!(&self.state, State::Running(pipeline) if pipeline.timer.has_fired(now)) {
            self.state = State::Idle;
        }
    }

    /// Returns until when GitLab must not be asked, and why: the last to end of everything that holds requests back.
    fn hold(&self, now: Timestamp) -> Option<(Timestamp, String)> {
        let interval = self.interval.map(|timer| {
            let text = "less than trigger.min_interval has passed since the last pipeline";
            (timer, text.to_owned())
        });
        let refusal = self.refusal.as_ref().map(|refusal| {
            let duration = match refusal.is_asked_again {
                true => self.pacing.min_interval,
                false => REFUSAL_RETRY,
            };
            (Timer::start(refusal.since, duration), refusal.why.clone())
        });
        let holds = [interval, self.pause.clone(), refusal];
        let deadlines = holds
            .into_iter()
            .flatten()
            .filter_map(|(timer, why)| Some((timer.deadline(now)?, why)));
        deadlines.max_by_key(|(until, _)| *until)
    }

    /// Returns a pause that doubles with each failure in a row; `random` adds up to a half.
    ///
    /// `backon` retries a future in place; here other events go on between two tries, and all of it must stay pure.
    fn backoff(&self, random: f64) -> SignedDuration {
        // 2^16 s exceed the longest backoff already; a larger shift could overflow.
        let doubled = FIRST_BACKOFF * (1 << self.failures.min(16));
        let jittered = doubled.mul_f64(1.0 + random.clamp(0.0, 1.0) / 2.0);
        jittered.min(MAX_BACKOFF)
    }
}
