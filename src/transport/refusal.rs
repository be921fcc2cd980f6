//! Makes one of our errors of what a server did or said: a kind, in whose words, and what to do.

use std::io;

use crate::error::{Error, Kind};
use crate::wire;

/// What git hosts say when we may not, or when there is nothing there for us: they do not tell the two apart.
const DENIALS: [&str; 14] = [
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
    "protected branch",
    "unauthorized",
];

/// What git hosts say when they are not well themselves.
const TROUBLES: [&str; 8] = [
    "internal api",
    "internal error",
    "maintenance",
    "read-only",
    "try again",
    "temporarily",
    "timed out",
    "unavailable",
];

/// Explains a failure on `remote` while `doing` something; `stderr` is what the service wrote to its error output.
pub(super) fn explain(remote: &str, doing: &str, error: wire::Error, stderr: &str) -> Error {
    match error {
        wire::Error::Remote(text) => refused(remote, doing, &text),
        wire::Error::Cut if !stderr.is_empty() => refused(remote, doing, stderr),
        wire::Error::Cut => Error::new(Kind::Network, format!("{remote}: the connection was cut while {doing}"))
            .because(error)
            .advise("try again; if it keeps being cut, look at proxies and firewalls between here and there"),
        wire::Error::Io(cause) if cause.kind() == io::ErrorKind::TimedOut => {
            Error::new(Kind::Network, format!("{remote}: no answer in time while {doing}"))
                .because(cause)
                .advise("try again; `network.idle_timeout` says how long a server may be silent")
        }
        wire::Error::Io(cause) => Error::new(Kind::Network, format!("{remote}: the connection failed while {doing}"))
            .because(cause)
            .advise("try again"),
        wire::Error::Unsupported(_) => Error::new(Kind::Config, format!("{remote}: not a repository that can be used"))
            .because(error)
            .advise("look at the URL"),
        wire::Error::Garbage(_) | wire::Error::Limit { .. } | wire::Error::Checksum => {
            Error::new(Kind::Server, format!("{remote}: an unusable answer while {doing}"))
                .because(error)
                .advise("try again; if it stays so, what answers there may not be the git server that was meant")
        }
    }
}

/// Makes an error of a server's own words.
pub(super) fn refused(remote: &str, doing: &str, words: &str) -> Error {
    let message = format!("{remote}: refused while {doing}: {}", one_line(words));
    match kind_of(words) {
        Kind::Race => Error::new(Kind::Race, message).advise("try again: the repository changed meanwhile"),
        Kind::Permission => Error::new(Kind::Permission, message).advise(
            "look at the URL, and at what the key or token in use may do there: the mirror needs write access \
             (GitLab: a deploy key with \"Grant write permissions\", and its place among those who may push to a \
             protected branch)",
        ),
        kind => Error::new(kind, message).advise("try again; if it stays so, ask whoever runs that server"),
    }
}

/// Says what kind of failure a server's words stand for.
fn kind_of(words: &str) -> Kind {
    if words.contains("not our ref") {
        Kind::Race
    } else if says(words, &DENIALS) && !is_trouble(words) {
        Kind::Permission
    } else {
        Kind::Server
    }
}

/// Says whether a server's words speak of a trouble of its own, which may pass.
pub fn is_trouble(words: &str) -> bool {
    says(words, &TROUBLES)
}

fn says(words: &str, list: &[&str]) -> bool {
    let words = words.to_lowercase();
    list.iter().any(|text| words.contains(text))
}

fn one_line(words: &str) -> String {
    let lines: Vec<&str> = words
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(" / ")
}
