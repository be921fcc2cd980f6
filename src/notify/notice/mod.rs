//! What a person is told of a mirror, and when: pure, so that every word and every pause can be tested with literals.
//!
//! ```text
//! event → memory: is it due? → notice → subject, text, HTML
//! ```

mod body;
mod mail_history;
mod subject;
#[cfg(test)]
mod tests;

pub use mail_history::{Memory, Record};

use std::time::Duration;

use crate::config::Job;
use crate::error::{Error, Kind};
use crate::mirror::report::Warning;

/// What happened that a person is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A sync failed.
    Failed(Failure),
    /// A sync succeeded, and met something that a person should look at.
    Warned(Vec<Warning>),
    /// A sync succeeded after failures that were told.
    Recovered {
        /// When the first of them was, in seconds since 1970.
        since: i64,
        /// How many there were.
        failures: u32,
    },
    /// The trigger helper needs a person.
    Alarm(Failure),
    /// What the trigger helper needed a person for is over.
    AllClear {
        /// When a person was first called, in seconds since 1970.
        since: i64,
    },
    /// A person asks whether mails arrive.
    Test,
}

/// An error as it is told.
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
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
            causes: error.causes(),
            advice: error.advice().map(str::to_owned),
        }
    }
}

/// A repository and its branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its address, without a password.
    pub url: String,
    /// The branch.
    pub branch: String,
}

/// Where the mirror stands, as far as it could be seen after the event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The mirror's tip and its date in seconds since 1970, or why it could not be seen.
    pub moved: Seen<(String, i64)>,
    /// How far the mirror is behind, in words, or why that could not be seen.
    pub behind: Seen<String>,
}

/// Something that was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Seen<T> {
    /// It was not looked for.
    #[default]
    NotLooked,
    /// It was seen.
    Known(T),
    /// It could not be seen, for this reason.
    Unknown(String),
}

/// All that a mail tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// The repository that we push to.
    pub mirror: Place,
    /// The repository that the index comes from, where it is known.
    pub upstream: Option<Place>,
    /// Where the mirror stands.
    pub standing: Standing,
    /// When a sync succeeded last, in seconds since 1970, where that is remembered.
    pub last_success: Option<i64>,
    /// The CI job.
    pub job: Job,
    /// A command that shows the same by hand; empty where there is none.
    pub by_hand: String,
    /// After what time the same is told again; `None` where nothing is remembered.
    pub repeat_after: Option<Duration>,
    /// When it happened, in seconds since 1970.
    pub now: i64,
}
