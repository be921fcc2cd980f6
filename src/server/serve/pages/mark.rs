//! What the policy says of a version, as pages show it.

use super::text::clean;
use crate::policy::{Decided, Decision};
use crate::server::decisions::DecidedFile;

/// A class of the style, and the word.
pub(super) type State = (&'static str, &'static str);

/// What the policy says of the version that a page is about.
#[derive(Clone)]
pub(super) struct Mark {
    /// The version.
    pub(super) number: String,
    pub(super) state: State,
    /// Why, and until when.
    pub(super) why: String,
    /// What that means for whoever wants the version.
    pub(super) meaning: &'static str,
}

/// Returns how a version is marked in a list; `None` if it is served as it is.
pub(super) fn state(decided: Option<&DecidedFile>, version: &str) -> Option<State> {
    decided?.outcome.of(version).and_then(state_of)
}

fn state_of(decided: &Decided) -> Option<State> {
    match decided.decision {
        Decision::Serve => None,
        Decision::Hold { .. } | Decision::HoldYank { .. } => {
            Some(("warn", decided.decision.word()))
        }
        Decision::Deny => Some(("bad", decided.decision.word())),
    }
}

fn meaning(decision: Decision) -> &'static str {
    match decision {
        Decision::Serve => "",
        Decision::Hold { .. } => "cargo takes this version only where a lockfile names it already.",
        Decision::HoldYank { .. } => "Until then cargo treats this version as not yanked.",
        Decision::Deny => "This server refuses its crate file.",
    }
}

impl Mark {
    /// Makes it of what was decided; `None` if the version is served as it is.
    pub(super) fn of(decided: Option<&DecidedFile>, version: &str) -> Option<Self> {
        let decided = decided?.outcome.of(version)?;
        let text = decided.to_string();
        // The word is shown before it.
        let why = text.strip_prefix(decided.decision.word()).unwrap_or(&text);
        Some(Self {
            number: clean(version),
            state: state_of(decided)?,
            why: clean(why.trim_start_matches(':')),
            meaning: meaning(decided.decision),
        })
    }
}
