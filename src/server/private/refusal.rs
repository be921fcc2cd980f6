//! Why the registry does not do what it was asked for.

use std::fmt;

use crate::error::Error;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is not what cargo sends, or breaks a rule of the registry.
    Invalid,
    /// Who asks may not do that.
    Forbidden,
    /// There is no such crate or version.
    NotFound,
    /// The crate file is larger than `private.max_size`.
    TooLarge,
    /// It could not be done now; nothing was changed, or what became of it is not known.
    Unavailable,
}

/// Why a request is refused, in a sentence that cargo shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of refusal it is.
    pub reason: Reason,
    /// The sentence.
    pub detail: String,
}

impl Refusal {
    /// Refuses what breaks a rule.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, detail)
    }

    /// Refuses what the caller may not do.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Reason::Forbidden, detail)
    }

    /// Refuses what needs a crate or version that is not there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Reason::NotFound, detail)
    }

    /// Refuses what cannot be done now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Reason::Unavailable, detail)
    }

    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// Why a change was not made.
#[derive(Debug)]
pub enum Failure {
    /// It is refused.
    Refused(Refusal),
    /// The index could not be read or written.
    Failed(Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
