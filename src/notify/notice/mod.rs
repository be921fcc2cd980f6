//! What a person is told about a mirror, and when: pure, so that every word and every pause can be tested with literals.
//!
//! ```text
//! event → mail_history: is it due? → notice → subject, text, HTML
//! ```

mod body;
mod mail_history;
mod subject;
#[cfg(test)]
mod tests;

pub use mail_history::{MailHistory, MirrorHistory};

use std::time::Duration;

use crate::config::Job;
use crate::error::{Error, Kind};
use crate::mirror::plan::Relation;
use crate::mirror::report::Warning;

/// What happened that a person is told about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A sync failed.
    Failed(Failure),
    /// A sync succeeded, but something needs a person's attention.
    Warned(Vec<Warning>),
    /// A sync succeeded after failures that were mailed.
    Recovered {
        /// When the first sync failed, in seconds since 1970.
        since: i64,
        /// How many syncs failed.
        failures: u32,
    },
    /// The trigger helper needs a person.
    Alarm {
        /// What happened, in a few words for the subject.
        summary: &'static str,
        /// What happened, and what to do.
        failure: Failure,
    },
    /// All alarms of the trigger helper are resolved.
    Resolved {
        /// When the first of them was mailed, in seconds since 1970.
        since: i64,
    },
    /// Upstream took back versions that were fetched from a server.
    Withdrawn(Vec<Withdrawn>),
    /// Advisories are about versions that were fetched from a server.
    Advised(Vec<Advised>),
    /// A server goes on serving an index before the newest one.
    HeldBack(Failure),
    /// A person tests whether mails arrive.
    Test,
}

/// A version that upstream took back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// The crate.
    pub name: String,
    /// The version.
    pub version: String,
    /// When that was seen, in seconds since 1970.
    pub at: i64,
    /// Whether the index lists it with another checksum; else its line is gone.
    pub is_replaced: bool,
    /// When it was fetched from the server, in seconds since 1970, and by whom; `None` where that is not recorded.
    pub fetched: Option<Vec<(i64, String)>>,
}

/// An advisory about versions that were fetched from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advised {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// How grave that is, in a word.
    pub class: &'static str,
    /// Where more is told.
    pub url: Option<String>,
    /// The crate.
    pub name: String,
    /// The versions, each with what becomes of it, in words.
    pub versions: Vec<(String, String)>,
    /// When they were fetched, in seconds since 1970, and by whom; `None` where that is not recorded.
    pub fetched: Option<Vec<(i64, String)>>,
}

/// An error, as plain values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub kind: Kind,
    /// What failed, and where.
    pub message: String,
    /// Its causes, nearest first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// Whether it may pass by itself.
    pub is_transient: bool,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
            causes: error.causes(),
            advice: error.advice().map(str::to_owned),
            is_transient: error.is_transient(),
        }
    }
}

/// A branch of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteBranch {
    /// The repository's address, without a password.
    pub url: String,
    /// The branch.
    pub branch: String,
}

/// The state of the mirror after the event, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MirrorStatus {
    /// The mirror's tip and its date in seconds since 1970.
    pub last_moved: Observed<(String, i64)>,
    /// How far the mirror is behind; `None` if it is up to date.
    pub behind: Observed<Option<Behind>>,
}

/// How far the mirror is behind upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// The number of upstream's commits that it lacks.
    pub commits: usize,
    /// The date of the newest upstream commit that it has, in seconds since 1970.
    pub since: i64,
    /// How upstream's history relates to the mirror's.
    pub relation: Relation,
}

/// The result of a question that may fail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Observed<T> {
    /// The question was not asked.
    #[default]
    NotAsked,
    /// The answer.
    Known(T),
    /// Why there is no answer.
    Unknown(String),
}

/// Everything that a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// The repository that we push to.
    pub mirror: RemoteBranch,
    /// The repository that the index comes from, where it is known.
    pub upstream: Option<RemoteBranch>,
    /// The state of the mirror.
    pub mirror_status: MirrorStatus,
    /// When a sync last succeeded, in seconds since 1970, where that is recorded.
    pub last_success: Option<i64>,
    /// The CI job.
    pub job: Job,
    /// A command that reproduces the event by hand; empty where there is none.
    pub dry_run: String,
    /// The least time between two mails about the same; `None` where no history is recorded.
    pub repeat_after: Option<Duration>,
    /// When it happened, in seconds since 1970.
    pub now: i64,
}
