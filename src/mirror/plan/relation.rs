//! How upstream's history relates to the mirror's, and the outcome of a command.

use std::fmt;

use serde::Serialize;

/// How upstream's tip relates to the base, the newest upstream commit that the mirror has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// The mirror has upstream's tip.
    Contained,
    /// Upstream's new commits lead to the base.
    Advanced,
    /// Upstream's new commits end in a parentless one: its history was collapsed.
    Squashed,
    /// Upstream's new commits branch off before the base.
    Diverged,
    /// Upstream's tip is older than the base.
    Rewound,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contained => "contained",
            Self::Advanced => "advanced",
            Self::Squashed => "squashed",
            Self::Diverged => "diverged",
            Self::Rewound => "rewound",
        })
    }
}

/// What becomes of the mirror's branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing was new.
    UpToDate,
    /// The branch moves to upstream's tip; no commit is made.
    FastForward,
    /// A commit joins the mirror's tip and upstream's.
    Merge,
    /// The same, across a collapse of upstream's history.
    Squash,
    /// The first commit of an empty mirror.
    Created,
    /// The branch moves to upstream's tip, and what it had besides is no longer on it; `sync --plain` alone does that.
    ForcedUpdate,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpToDate => "up-to-date",
            Self::FastForward => "fast-forward",
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::Created => "created",
            Self::ForcedUpdate => "forced-update",
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn relations_and_outcomes_read_the_same_in_json_and_in_text() {
        for relation in [
            Relation::Contained,
            Relation::Advanced,
            Relation::Squashed,
            Relation::Diverged,
            Relation::Rewound,
        ] {
            assert_eq!(
                serde_json::to_value(relation).unwrap(),
                relation.to_string()
            );
        }
        for outcome in [
            Outcome::UpToDate,
            Outcome::FastForward,
            Outcome::Merge,
            Outcome::Squash,
            Outcome::Created,
            Outcome::ForcedUpdate,
        ] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.to_string());
        }
    }
}
