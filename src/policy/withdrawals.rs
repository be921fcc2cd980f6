//! What upstream took back: lines that vanished, or whose checksum changed.

use jiff::Timestamp;

use super::{Decided, Decision, Policy, Seen, Since, Span, WITHDRAWN, Why};
use crate::index::{Checksum, CrateName, CrateVersion, Published};

/// A version whose line vanished, or has another checksum since.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withdrawal {
    /// When that was seen.
    pub at: Timestamp,
    /// Of which crate.
    pub name: CrateName,
    /// Of which version.
    pub version: CrateVersion,
    /// The checksum that its line had.
    pub checksum: Checksum,
}

/// What is remembered of a version that was withdrawn: the first time, and the checksum that it had then. A line that comes back
/// with that checksum ends it; with another one it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withdrawn {
    /// When it was seen first.
    pub at: Timestamp,
    /// The checksum before.
    pub checksum: Checksum,
}

impl Policy {
    /// Says whether versions that upstream took back are refused.
    pub fn refuses_withdrawn(&self) -> bool {
        self.refuses_withdrawn
    }

    /// Decides on a version of which the index has this line, or none; `None` if it was not withdrawn, or came back as it was.
    pub fn withdrawn(
        &self,
        name: &str,
        version: &str,
        line: Option<&Published<'_>>,
        seen: &Seen,
    ) -> Option<Decided> {
        let withdrawn = seen.of(name).withdrawn(version)?;
        let checksum = line.and_then(|line| line.checksum.as_deref()?.parse().ok());
        if !self.refuses_withdrawn || self.is_own(name) || checksum == Some(withdrawn.checksum) {
            return None;
        }
        let what = match line {
            Some(_) => "its checksum changed",
            None => "its line is gone",
        };
        let why = Why {
            key: WITHDRAWN,
            rule: "refuse".to_owned(),
            reason: Some(format!("withdrawn upstream: {what}")),
            since: Some(Since::Time(withdrawn.at)),
            until: None,
            made: None,
        };
        Some(Decided::new(Decision::Deny, Some(why), Span::ALWAYS))
    }
}
