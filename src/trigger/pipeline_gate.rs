//! The gate that every wish for a pipeline passes: never two pipelines under way, never two within `min_interval`, no wish
//! lost. Pure: the time is always given.

#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use super::span::Span;
use super::types::{Answer, Origin, PipelineNews, Verdict};

/// How long a pipeline counts as under way after GitLab last said so.
const KNOWN_RUNNING: SignedDuration = SignedDuration::from_hours(1);
/// When something that a person must mend is tried again without being asked to.
const TRY_MENDED: SignedDuration = SignedDuration::from_hours(1);
/// The longest pause that GitLab can make us take.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);
const FIRST_BACKOFF: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_mins(5);
/// More hooks than a pipeline or two send while GitLab is being asked.
const MOST_EARLY: usize = 16;

/// How close pipelines may follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The least time between two pipelines.
    pub min_interval: SignedDuration,
    /// How long a pipeline counts as under way where nothing is heard of it.
    pub assume_running: SignedDuration,
}

/// Decides when GitLab is asked for a pipeline.
#[derive(Debug, Clone)]
pub struct Gate {
    limits: Limits,
    work: Work,
    /// The wish that waits, whoever had it first.
    wish: Option<Origin>,
    /// Since when the last pipeline keeps others away.
    interval: Option<Span>,
    /// What else keeps us from asking, and why.
    pause: Option<(Span, String)>,
    stopped: Option<Stopped>,
    failures: u32,
    /// The greatest number of a pipeline that was heard of, and whether that one is over.
    newest: (u64, bool),
}

/// What is being done.
#[derive(Debug, Clone)]
enum Work {
    Idle,
    /// GitLab is being asked; what it tells meanwhile of pipelines waits.
    Asking {
        wish: Origin,
        early: Vec<PipelineNews>,
    },
    UnderWay(UnderWay),
}

/// A pipeline that has not ended, as far as we know.
#[derive(Debug, Clone)]
struct UnderWay {
    id: u64,
    url: Option<String>,
    /// For how long this is believed.
    span: Span,
    /// GitLab said so, after it was created.
    is_known: bool,
}

/// GitLab refused, and a person is needed.
#[derive(Debug, Clone)]
struct Stopped {
    why: String,
    since: Timestamp,
    /// A person asked meanwhile, which says that it may be mended.
    is_asked_again: bool,
}

impl Gate {
    /// Makes a gate at which nothing waits.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            work: Work::Idle,
            wish: None,
            interval: None,
            pause: None,
            stopped: None,
            failures: 0,
            newest: (0, true),
        }
    }

    /// Takes in a wish and says what becomes of it; [`Answer::Firing`] where GitLab is to be asked now.
    pub fn ask(&mut self, now: Timestamp, origin: Origin) -> Answer {
        self.forget_old(now);
        self.wish.get_or_insert(origin);
        if let Some(stopped) = &mut self.stopped {
            stopped.is_asked_again |= matches!(origin, Origin::Endpoint | Origin::PushHook);
            if !stopped.is_asked_again {
                return Answer::Refused {
                    why: stopped.why.clone(),
                };
            }
        }
        match (&self.work, self.hold(now)) {
            (Work::Idle, None) => Answer::Firing,
            (Work::Idle, Some((until, why))) => Answer::HeldBack { until, why },
            (Work::Asking { .. }, _) => Answer::AlreadyRunning { pipeline_url: None },
            (Work::UnderWay(pipeline), _) => Answer::AlreadyRunning {
                pipeline_url: pipeline.url.clone(),
            },
        }
    }

    /// Says whether GitLab is to be asked now. Whoever gets a yes asks it and hands in the answer.
    pub fn is_due(&mut self, now: Timestamp) -> bool {
        self.forget_old(now);
        if !matches!(self.work, Work::Idle) || self.hold(now).is_some() {
            return false;
        }
        let Some(wish) = self.wish.take() else {
            return false;
        };
        self.work = Work::Asking {
            wish,
            early: Vec::new(),
        };
        true
    }

    /// Returns when a wish that waits may pass without any other event.
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        self.wish?;
        match &self.work {
            Work::Idle => Some(self.hold(now).map_or(now, |(until, _)| until)),
            Work::Asking { .. } => None,
            Work::UnderWay(pipeline) => Some(pipeline.span.end(now).unwrap_or(now)),
        }
    }

    /// Takes in what GitLab answered; `random`, from 0 to 1, spreads the tries of many helpers.
    pub fn answered(&mut self, now: Timestamp, verdict: &Verdict, random: f64) {
        let Work::Asking { wish, early } = std::mem::replace(&mut self.work, Work::Idle) else {
            return;
        };
        if let Verdict::Created(pipeline) = verdict {
            self.created(now, pipeline);
        } else {
            // Whoever wished it first still does.
            self.wish = Some(wish);
        }
        match verdict {
            Verdict::Created(_) => {}
            Verdict::Wait { until, why } => {
                let wait = until.duration_since(now);
                let wait = wait.clamp(SignedDuration::from_secs(1), LONGEST_WAIT);
                self.pause = Some((Span::new(now, wait), why.clone()));
            }
            Verdict::Retry {
                why,
                may_be_created,
            } => {
                self.pause = Some((Span::new(now, self.backoff(random)), why.clone()));
                self.failures = self.failures.saturating_add(1);
                if *may_be_created {
                    self.interval = Some(Span::new(now, self.limits.min_interval));
                }
            }
            Verdict::Refused { why } => {
                self.stopped = Some(Stopped {
                    why: why.clone(),
                    since: now,
                    is_asked_again: false,
                });
            }
        }
        for news in early {
            self.heard(now, &news);
        }
    }

    fn created(&mut self, now: Timestamp, pipeline: &PipelineNews) {
        (self.failures, self.pause, self.stopped) = (0, None, None);
        self.interval = Some(Span::new(now, self.limits.min_interval));
        self.newest = self.newest.max((pipeline.id, pipeline.is_over()));
        if !pipeline.is_over() {
            self.work = Work::UnderWay(UnderWay {
                id: pipeline.id,
                url: pipeline.url.clone(),
                span: Span::new(now, self.limits.assume_running),
                is_known: false,
            });
        }
    }

    /// Takes in how a pipeline goes, from a hook or its status. Somebody else's that is newer counts as much as ours.
    pub fn heard(&mut self, now: Timestamp, news: &PipelineNews) {
        if let Work::Asking { early, .. } = &mut self.work {
            // The last ones say how it is now.
            if early.len() == MOST_EARLY {
                early.remove(0);
            }
            early.push(news.clone());
            return;
        }
        let state = (news.id, news.is_over());
        let is_current = self.pipeline() == Some(news.id);
        // Hooks may come late: what is over stays over, and an older pipeline says nothing.
        if !is_current && state < self.newest {
            return;
        }
        self.newest = self.newest.max(state);
        if !news.is_over() {
            self.work = Work::UnderWay(UnderWay {
                id: news.id,
                url: news.url.clone(),
                span: Span::new(now, KNOWN_RUNNING),
                is_known: true,
            });
        } else if is_current {
            self.work = Work::Idle;
        }
    }

    /// Takes in that the mirror moved: a pipeline that was only assumed to be under way has done its work.
    pub fn mirror_moved(&mut self) {
        if matches!(&self.work, Work::UnderWay(pipeline) if !pipeline.is_known) {
            self.work = Work::Idle;
        }
    }

    /// Says whether a pipeline is under way, or GitLab is being asked for one.
    pub fn is_busy(&mut self, now: Timestamp) -> bool {
        self.forget_old(now);
        !matches!(self.work, Work::Idle)
    }

    /// Returns the number of the pipeline that is under way.
    pub fn pipeline(&self) -> Option<u64> {
        match &self.work {
            Work::UnderWay(pipeline) => Some(pipeline.id),
            Work::Idle | Work::Asking { .. } => None,
        }
    }

    /// Says whether a wish waits.
    pub fn is_remembered(&self) -> bool {
        self.wish.is_some()
    }

    /// Returns what a person must mend before anything is fired.
    pub fn needs_person(&self) -> Option<&str> {
        self.stopped.as_ref().map(|stopped| stopped.why.as_str())
    }

    /// Believes no longer that a pipeline is under way of which nothing was heard for too long.
    fn forget_old(&mut self, now: Timestamp) {
        if matches!(&self.work, Work::UnderWay(pipeline) if pipeline.span.end(now).is_none()) {
            self.work = Work::Idle;
        }
    }

    /// Returns until when nothing may be asked, and why.
    fn hold(&self, now: Timestamp) -> Option<(Timestamp, String)> {
        let interval = self.interval.map(|span| {
            let text = "trigger.min_interval since the last pipeline is not over";
            (span, text.to_owned())
        });
        let stopped = self.stopped.as_ref().map(|stopped| {
            let length = match stopped.is_asked_again {
                true => self.limits.min_interval,
                false => TRY_MENDED,
            };
            (Span::new(stopped.since, length), stopped.why.clone())
        });
        let holds = [interval, self.pause.clone(), stopped];
        let ends = holds
            .into_iter()
            .flatten()
            .filter_map(|(span, why)| Some((span.end(now)?, why)));
        ends.max_by_key(|(until, _)| *until)
    }

    /// Doubles with each failure in a row; `random` adds up to a half.
    fn backoff(&self, random: f64) -> SignedDuration {
        let doubled = FIRST_BACKOFF * (1 << self.failures.min(16));
        let jittered = doubled.mul_f64(1.0 + random.clamp(0.0, 1.0) / 2.0);
        jittered.min(LONGEST_BACKOFF)
    }
}
