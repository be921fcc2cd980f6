//! The state of the helper, as its page, `GET /status` and the metrics show it.

use jiff::Timestamp;
use serde::Serialize;

/// The state of the helper; its fields are those of `GET /status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// When the helper was started.
    pub started: Timestamp,
    /// When a pipeline was last created.
    pub last_fired: Option<Timestamp>,
    /// When the next pipeline is due, as far as that is known: by the clock, or for a request that is held back.
    pub next_firing: Option<Timestamp>,
    /// GitLab's last answer to a request for a pipeline, in words.
    pub last_answer: Option<String>,
    /// The page of the last pipeline.
    pub pipeline_url: Option<String>,
    /// The status of the last pipeline, as GitLab names it.
    pub pipeline_status: Option<String>,
    /// Whether a pipeline is running, or assumed to be.
    pub running: bool,
    /// Whether another pipeline was requested meanwhile.
    pub pending: bool,
    /// Upstream's tip.
    pub upstream: Option<String>,
    /// The mirror's tip.
    pub mirror: Option<String>,
    /// Whether the mirror lacks what upstream has; `None` before the first poll.
    pub behind: Option<bool>,
    /// For how many seconds the mirror has been behind and has not moved.
    pub behind_seconds: Option<i64>,
    /// When the mirror was last seen to move.
    pub last_change: Option<Timestamp>,
    /// When both repositories were last polled with success.
    pub last_poll: Option<Timestamp>,
    /// Why the last poll failed.
    pub poll_error: Option<String>,
    /// What a person must fix before the next pipeline.
    pub needs_person: Option<String>,
    /// How many pipelines were created since the start.
    pub fired: u64,
    /// How often GitLab refused a pipeline, or did not answer.
    pub refused: u64,
    /// How many pipelines were seen to fail.
    pub pipelines_failed: u64,
    /// How many polls failed.
    pub polls_failed: u64,
    /// How many mails were sent.
    pub mails: u64,
}
