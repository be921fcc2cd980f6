//! What a git host says, for people, when it refuses: shown on one line, and recognized where hosts are known to say it.

mod answers;
#[cfg(test)]
mod tests;

use std::fmt;

use self::answers::ANSWERS;
use crate::error::{Error, Kind};

/// What hosts say when we may not, or when there is nothing there for us: they do not tell the two apart.
const DENIALS: [&str; 13] = [
    "not allowed",
    "permission denied",
    "permission to",
    "access denied",
    "access is denied",
    "could not be found",
    "repository not found",
    "not found",
    "does not exist",
    "does not appear to be a git repository",
    "not a git repository",
    "not enabled",
    "unauthorized",
];

/// What hosts say when they are not well themselves.
const TROUBLES: [&str; 7] = [
    "internal error",
    "maintenance",
    "read-only",
    "try again",
    "temporarily",
    "timed out",
    "unavailable",
];

/// What a refusal means, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAnswer {
    /// The kind of failure that it is.
    pub kind: Kind,
    /// What to do about it.
    pub advice: &'static str,
}

impl HostAnswer {
    /// What words mean that tell no more than that the host is not well.
    pub const TROUBLED: Self = Self {
        kind: Kind::Server,
        advice: "try again; if it stays so, ask whoever runs that server",
    };

    /// An object that was wanted is not there, or no longer.
    pub(super) const MISSING: Self = Self {
        kind: Kind::Race,
        advice: "try again: the repository changed meanwhile",
    };

    /// Makes an error of it, with one sentence on what was refused where, and in which words.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::new(self.kind, message).advise(self.advice)
    }
}

/// A host's words on one line, without the frame that GitLab draws around them for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostWords(String);

impl HostWords {
    /// Takes what a service wrote to its error output, said in a packet, or had its hook say.
    pub fn new(text: &str) -> Self {
        let lines: Vec<String> = text.split(['\n', '\r']).filter_map(spoken).collect();
        Self(lines.join(" / "))
    }

    /// Says whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what these words mean, where they are those of a host that we know.
    pub fn meaning(&self) -> Option<HostAnswer> {
        let text = self.0.to_lowercase();
        let known = ANSWERS
            .iter()
            .find(|(patterns, _)| patterns.iter().any(|pattern| fits(pattern, &text)));
        known.map(|(_, answer)| *answer)
    }

    /// Says whether they mean that an object which was wanted is not there.
    pub fn tell_missing(&self) -> bool {
        self.meaning() == Some(HostAnswer::MISSING)
    }

    /// Says whether they sound like a trouble of the host's own, which may pass.
    pub fn tell_trouble(&self) -> bool {
        self.tell_one_of(&TROUBLES)
    }

    /// Says whether they sound like a denial: we may not, or there is nothing there.
    pub fn tell_denial(&self) -> bool {
        self.tell_one_of(&DENIALS)
    }

    fn tell_one_of(&self, list: &[&str]) -> bool {
        let text = self.0.to_lowercase();
        list.iter().any(|words| text.contains(words))
    }
}

impl fmt::Display for HostWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes a line out of its frame; none where it is nothing but frame.
fn spoken(line: &str) -> Option<String> {
    let line = line.trim();
    let line = line.strip_prefix("remote:").unwrap_or(line).trim();
    let has_words = line.chars().any(char::is_alphanumeric);
    has_words.then(|| line.chars().filter(|c| !c.is_control()).collect())
}

/// Says whether the parts of a pattern, which `*` divides, are in a text in their order.
fn fits(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}
