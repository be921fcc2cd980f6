//! What the parts of the trigger helper tell each other.

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;

/// Who wants a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The clock: `trigger.every` or `trigger.cron`.
    Clock,
    /// The watch: upstream has what the mirror lacks.
    Watch,
    /// `POST /trigger`.
    Endpoint,
    /// `POST /hooks/push`.
    PushHook,
}

/// What became of a wish for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Answer {
    /// A pipeline was created for it.
    Fired {
        /// The pipeline's page.
        pipeline_url: Option<String>,
    },
    /// GitLab is being asked for a pipeline and has not answered yet.
    Firing,
    /// One is under way; one more follows it.
    AlreadyRunning {
        /// The page of the one under way.
        pipeline_url: Option<String>,
    },
    /// It is remembered and fired at this time.
    HeldBack {
        /// When it is fired, if nothing else comes in between.
        until: Timestamp,
        /// Why not now.
        why: String,
    },
    /// GitLab refuses, and a person must mend it.
    Refused {
        /// What GitLab said, and what to do.
        why: String,
    },
}

/// What GitLab answered to a request for a pipeline, as the gate needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The pipeline is there.
    Created(PipelineNews),
    /// GitLab says when to come again.
    Wait {
        /// That time.
        until: Timestamp,
        /// What it said.
        why: String,
    },
    /// It may work later.
    Retry {
        /// What failed.
        why: String,
        /// Whether the pipeline may have been created all the same: the request went out and no answer came back.
        may_be_created: bool,
    },
    /// A person is needed.
    Refused {
        /// What GitLab said, and what to do.
        why: String,
    },
}

/// What is known of a pipeline: from the answer that created it, from its status, or from a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineNews {
    /// Its number within the GitLab server.
    pub id: u64,
    /// GitLab's word for its state, for example `pending`, `running`, `success` or `failed`.
    pub status: String,
    /// Its page.
    pub url: Option<String>,
}

impl PipelineNews {
    /// Says whether the pipeline has ended, one way or the other.
    pub fn is_over(&self) -> bool {
        matches!(
            self.status.as_str(),
            "success" | "failed" | "canceled" | "skipped"
        )
    }
}

/// What `GET /status` shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// When the helper was started.
    pub started: Timestamp,
    /// When a pipeline was created last.
    pub last_fired: Option<Timestamp>,
    /// When one is fired next, as far as that is known now: by the clock, or a wish that is held back.
    pub next_firing: Option<Timestamp>,
    /// GitLab's last answer, in words.
    pub last_answer: Option<String>,
    /// The page of the last pipeline.
    pub pipeline_url: Option<String>,
    /// The state of the last pipeline, in GitLab's words.
    pub pipeline_status: Option<String>,
    /// Whether a pipeline is under way, or assumed to be.
    pub running: bool,
    /// Whether another one was asked for meanwhile.
    pub remembered: bool,
    /// Upstream's tip.
    pub upstream: Option<String>,
    /// The mirror's tip.
    pub mirror: Option<String>,
    /// Whether the mirror lacks what upstream has; `None` before the first look.
    pub behind: Option<bool>,
    /// For how many seconds the mirror has been behind and has not moved.
    pub behind_seconds: Option<i64>,
    /// When the mirror was seen to have moved last.
    pub last_change: Option<Timestamp>,
    /// When both sides were looked at last with success.
    pub last_look: Option<Timestamp>,
    /// Why the last look failed.
    pub look_error: Option<String>,
    /// What a person must mend before anything is fired.
    pub needs_person: Option<String>,
    /// How many pipelines were created since the start.
    pub fired: u64,
    /// How often GitLab refused one, or did not answer.
    pub refused: u64,
    /// How many pipelines were seen to fail.
    pub pipelines_failed: u64,
    /// How many looks failed.
    pub looks_failed: u64,
    /// How many mails were sent.
    pub mails: u64,
}

/// What the endpoint hands to the core.
#[derive(Debug)]
pub enum Message {
    /// Somebody wants a pipeline. Answered at once, but for the wish that makes GitLab be asked: that one as GitLab answers.
    Ask {
        /// Who.
        origin: Origin,
        /// Where the answer goes.
        answer: oneshot::Sender<Answer>,
    },
    /// GitLab tells how a pipeline goes.
    Pipeline(PipelineNews),
}
