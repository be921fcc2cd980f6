//! The subject: what happened, where and why, in one line that a phone shows whole.

use super::{Advised, Event, Notice, Withdrawn};
use crate::count::counted;
use crate::error::Kind;
use crate::mirror::report::{Topic, Warning};

/// RFC 5322 asks for header lines of at most 78 characters: a longer subject would be folded, and some clients show the fold.
const LIMIT: usize = 77 - "Subject: ".len();

impl Notice {
    /// Returns the subject, masked by `scrub`: ASCII, at most 68 characters, without line breaks.
    pub fn subject(&self, scrub: impl Fn(&str) -> String) -> String {
        let (before, after) = match &self.event {
            Event::Failed(failure) => ("sync failed: ", format!(": {}", summary(failure.kind))),
            Event::Warned(warnings) => {
                let topics = warnings.iter().filter_map(Warning::calls);
                let first = topics.map(topic).next().unwrap_or("see the log");
                ("sync warning: ", format!(": {first}"))
            }
            Event::Recovered { .. } => ("sync recovered: ", String::new()),
            Event::Alarm { summary, .. } => ("mirror alarm: ", format!(": {summary}")),
            Event::Resolved { .. } => ("mirror recovered: ", String::new()),
            Event::Withdrawn(versions) => ("withdrawn: ", format!(": {}", versions_of(versions))),
            Event::Advised(advisories) => ("advisory: ", format!(": {}", crates_of(advisories))),
            Event::HeldBack(_) => ("index held back: ", ": versions vanished".to_owned()),
            Event::Test => ("test mail: ", String::new()),
        };
        // Not negative: the words around the address have at most 39 characters.
        let room = LIMIT - before.len() - after.len();
        // Masked before it is cut: a part of a secret is not found.
        let place = short_url(&scrub(&self.mirror.url), room);
        format!("{before}{place}{after}")
    }
}

/// Names the version that was withdrawn, or says how many were.
fn versions_of(versions: &[Withdrawn]) -> String {
    match versions {
        [one] => named(&format!("{} {}", one.name, one.version)),
        several => counted(several.len(), "version"),
    }
}

/// Names the crate that an advisory is about, or says how many advisories there are.
fn crates_of(advisories: &[Advised]) -> String {
    match advisories {
        [one] => named(&format!("{} {}", one.class, one.name)),
        several => format!("{} advisories", several.len()),
    }
}

/// Shortens what is named, and leaves out what no subject may have.
fn named(text: &str) -> String {
    /// What is left of a subject beside the address.
    const MOST: usize = 26;
    let is_shown = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let named: String = text.chars().filter(is_shown).collect();
    match named.len() > MOST {
        true => format!("{}...", &named[..MOST - "...".len()]),
        false => named,
    }
}

/// Says in a few words why a sync failed.
fn summary(kind: Kind) -> &'static str {
    match kind {
        Kind::Network => "network error",
        Kind::Server => "server error",
        Kind::Race => "somebody else pushed",
        Kind::Usage => "wrong usage",
        Kind::Config => "wrong configuration",
        Kind::HostKey => "host key not trusted",
        Kind::Auth => "authentication failed",
        Kind::Permission => "permission denied",
        Kind::EmptyMirror => "mirror is empty",
        Kind::MirrorExists => "mirror is not empty",
        Kind::Conflict => "merge conflict",
        Kind::Guard => "upstream lost files",
        Kind::Rewound => "upstream was rewound",
        Kind::Unrelated => "unrelated histories",
        Kind::Mode => "history mode",
        Kind::UpstreamConfig => "bad upstream config.json",
        Kind::Pipeline => "pipeline failed",
        Kind::Stalled => "behind upstream",
    }
}

/// Says in a few words what a warning is about.
fn topic(topic: Topic) -> &'static str {
    match topic {
        Topic::UpstreamConfig => "config.json changed",
        Topic::Squash => "unproven squash",
        Topic::Rewritten => "history was rewritten",
        Topic::Difference => "a path differs",
        Topic::Reserved => "reserved name upstream",
    }
}

/// Shortens an address to host and path; a path that is still too long loses its beginning, because its end says more.
pub(super) fn short_url(url: &str, room: usize) -> String {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    // The user of an ssh address says nothing: it is `git` at most hosts.
    let place = place.split_once('@').map_or(place, |(_, place)| place);
    let place = place.trim_end_matches('/').trim_end_matches(".git");
    // Other characters would need an encoded word (RFC 2047), which is longer than what it encodes.
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let place: Vec<char> = place.chars().map(shown).collect();
    match place.len().checked_sub(room) {
        None | Some(0) => place.into_iter().collect(),
        Some(excess) => {
            let end = place.into_iter().skip(excess + "...".len());
            "...".chars().chain(end).collect()
        }
    }
}
