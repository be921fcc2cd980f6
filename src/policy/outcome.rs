//! What a policy decides of all versions of a crate, and what the crate's file then looks like.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Decided, Decision, Policy, Span};
use crate::index::{Published, as_yanked};

/// What a policy decides of the versions in a crate's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The versions that are not served as they are.
    changed: BTreeMap<String, Decided>,
    /// When all of it is the same, with all else equal.
    span: Span,
}

impl Policy {
    /// Decides on all versions in a crate's file.
    pub fn outcome(&self, content: &[u8], now: Timestamp) -> Outcome {
        let mut outcome = Outcome {
            changed: BTreeMap::new(),
            span: Span::ALWAYS,
        };
        let mut about = None;
        for line in content.split(|byte| *byte == b'\n') {
            let Some(line) = Published::read(line) else {
                continue;
            };
            // All lines of a file name the same crate; one that does not is decided by what it names.
            let (_, about) = match &mut about {
                Some(about) if about_of(about) == &*line.name => about,
                other => other.insert((line.name.to_string(), self.about(&line.name))),
            };
            let decided = about.decide(&line.version, line.at, now);
            outcome.span.meet(decided.span);
            // Of two lines for a version the last one counts, as for cargo.
            match decided.is_served() {
                true => drop(outcome.changed.remove(&*line.version)),
                false => drop(outcome.changed.insert(line.version.into_owned(), decided)),
            }
        }
        outcome
    }
}

fn about_of<T>((name, _): &(String, T)) -> &str {
    name
}

impl Outcome {
    /// Says whether the file stays as it is.
    pub fn is_plain(&self) -> bool {
        self.changed.is_empty()
    }

    /// Returns when all of it is the same, with all else equal.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns the versions that are not served as they are, each with what was decided.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &Decided)> {
        let changed = self.changed.iter();
        changed.map(|(version, decided)| (version.as_str(), decided))
    }

    /// Returns what was decided of a version, if that is not served as it is.
    pub fn of(&self, version: &str) -> Option<&Decided> {
        self.changed.get(version)
    }

    /// Returns why the crate file of a version is refused; `None` if it is served.
    pub fn refusal(&self, version: &str) -> Option<&Decided> {
        let decided = self.of(version)?;
        (decided.decision == Decision::Deny).then_some(decided)
    }

    /// Returns the crate's file as it is shown: the lines of these versions say that they are yanked.
    pub fn apply(&self, content: &[u8]) -> Vec<u8> {
        as_yanked(content, |line| {
            let line = Published::read(line);
            line.is_some_and(|line| self.changed.contains_key(&*line.version))
        })
    }
}
