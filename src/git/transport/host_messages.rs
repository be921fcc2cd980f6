//! The messages that a git host sends for people when it refuses: shown on one line, and recognized where they are known.
//!
//! What a message means is looked up in `known_messages` first; a message that no known host sends is guessed at by the words
//! in it.

mod known_messages;
#[cfg(test)]
mod tests;

use std::fmt;

use self::known_messages::known_messages;
use crate::error::{Error, Kind};
use crate::shown;

/// Words of a host that denies access, or that has no such repository: hosts do not tell the two apart.
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

/// Words of a host that is out of order for a while.
const OUTAGES: [&str; 7] = [
    "internal error",
    "maintenance",
    "read-only",
    "try again",
    "temporarily",
    "timed out",
    "unavailable",
];

/// What git says of a pushed object that `receive.fsckObjects` refuses, and our own `receive-pack` as well.
pub(super) const FSCK_ERROR: &str = "fsck error in packed object";

/// What our own `upload-pack` says of an object that it should have.
pub(super) const LACKS_OBJECT: &str = "the repository lacks the object";
/// How our own service says that a ref cannot be read.
pub(super) const DAMAGED_REF: &str = "the repository has a damaged ref";

/// What a host's message means, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The kind of failure that it is.
    pub kind: Kind,
    /// What to do about it.
    pub advice: &'static str,
    /// Whether it lasts until somebody mends the server, although its kind is one that may pass.
    pub is_lasting: bool,
}

impl Meaning {
    /// Makes the meaning of a failure that passes or lasts as its kind does.
    pub const fn new(kind: Kind, advice: &'static str) -> Self {
        Self {
            kind,
            advice,
            is_lasting: false,
        }
    }

    /// The same, of a failure that lasts until somebody mends the server.
    pub(super) const fn lasting(self) -> Self {
        Self {
            is_lasting: true,
            ..self
        }
    }

    /// The meaning of a message that tells no more than that the host is out of order.
    pub const OUTAGE: Self = Self::new(
        Kind::Server,
        "Try again. If it fails again, ask the server's administrator.",
    );

    /// A wanted object is not there, or no longer.
    pub(super) const MISSING: Self =
        Self::new(Kind::Race, "Try again: the repository changed meanwhile.");

    /// A repository lacks an object that its branch leads to, or cannot read it.
    pub(super) const DAMAGED: Self = Self::new(
        Kind::Server,
        "Run `git fsck` in that repository, which seems to be damaged, and fetch what it lacks from another copy, or \
                 restore it from a backup.",
    );

    /// A push leads to objects that neither it nor the mirror has.
    pub const INCOMPLETE: Self = Self::new(
        Kind::Permission,
        "Look whether upstream is a shallow clone, which lacks the older history: run `git fetch --unshallow` there, \
                 or make a new mirror with `--history snapshot`. Otherwise run `git fsck` in both repositories.",
    );

    /// Makes the error, with one sentence on what was refused where, and the host's message.
    pub fn error(&self, message: impl Into<String>) -> Error {
        let error = Error::new(self.kind, message).advise(self.advice);
        match self.is_lasting {
            true => error.lasting(),
            false => error,
        }
    }
}

/// A host's message on one line, without the frame that GitLab draws around it for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMessage(String);

impl HostMessage {
    /// Takes what a service wrote to its error output or sent in a packet, or what its hook printed.
    pub fn new(text: &str) -> Self {
        let lines: Vec<String> = text.split(['\n', '\r']).filter_map(unframed).collect();
        Self(lines.join(" / "))
    }

    /// Says whether the message is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what the message means, if a known host sends it.
    pub fn meaning(&self) -> Option<Meaning> {
        let text = self.0.to_lowercase();
        let known = known_messages()
            .find(|(patterns, _)| patterns.iter().any(|pattern| matches(pattern, &text)));
        known.map(|(_, answer)| *answer)
    }

    /// Says whether the message means that a wanted object is not there.
    pub fn is_missing_object(&self) -> bool {
        self.meaning() == Some(Meaning::MISSING)
    }

    /// Says whether the message reads like an outage of the host, which may pass.
    pub fn is_outage(&self) -> bool {
        self.has_one_of(&OUTAGES)
    }

    /// Says whether the message reads like a denial: no access, or no such repository.
    pub fn is_denial(&self) -> bool {
        self.has_one_of(&DENIALS)
    }

    fn has_one_of(&self, list: &[&str]) -> bool {
        let text = self.0.to_lowercase();
        list.iter().any(|words| text.contains(words))
    }
}

impl fmt::Display for HostMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes a line out of its frame; `None` for a line that is nothing but frame.
fn unframed(line: &str) -> Option<String> {
    let line = line.trim();
    let line = line.strip_prefix("remote:").unwrap_or(line).trim();
    // GitLab draws lines of `=` above and below its messages, and empty ones around them.
    let has_words = line.chars().any(char::is_alphanumeric);
    // Some hosts colour their messages.
    let plain = anstream::adapter::strip_str(line).to_string();
    has_words.then(|| shown::printable(&plain).into_owned())
}

/// Says whether a text contains the parts of a pattern, which `*` separates, in this order.
fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}
