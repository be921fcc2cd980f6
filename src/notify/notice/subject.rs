//! The subject: what, where, why, in fewer than 78 characters.

use super::{Event, Notice};
use crate::error::Kind;

/// So many characters keep the whole header line, `Subject: ` included, within one line of a mail.
const LIMIT: usize = 77 - "Subject: ".len();

impl Notice {
    /// Returns the subject: ASCII, at most 68 characters, without line breaks.
    pub fn subject(&self) -> String {
        let (before, after) = match &self.event {
            Event::Failed(failure) => ("sync failed: ", format!(": {}", reason(failure.kind))),
            Event::Warned(_) => ("sync has a warning: ", String::new()),
            Event::Recovered { .. } => ("sync recovered: ", String::new()),
            Event::Alarm(failure) => ("mirror stuck: ", format!(": {}", reason(failure.kind))),
            Event::AllClear { .. } => ("mirror recovered: ", String::new()),
            Event::Test => ("test mail: ", String::new()),
        };
        let room = LIMIT - before.len() - after.len();
        format!("{before}{}{after}", short_place(&self.mirror.url, room))
    }
}

/// Says in a few words why a sync failed.
fn reason(kind: Kind) -> &'static str {
    match kind {
        Kind::Network => "network",
        Kind::Server => "server trouble",
        Kind::Race => "somebody else pushed",
        Kind::Usage => "usage",
        Kind::Config => "configuration",
        Kind::HostKey => "host key not trusted",
        Kind::Auth => "login refused",
        Kind::Permission => "no permission",
        Kind::EmptyMirror => "mirror is empty",
        Kind::MirrorExists => "mirror exists",
        Kind::Conflict => "conflict",
        Kind::Guard => "upstream lost files",
        Kind::Rewound => "upstream went back",
        Kind::Unrelated => "unrelated histories",
        Kind::Mode => "history mode",
        Kind::UpstreamConfig => "bad config.json",
        Kind::Pipeline => "pipeline",
        Kind::Stalled => "behind upstream",
    }
}

/// Shortens an address to host and path; where that is too long its beginning is left out, as its end says more.
fn short_place(url: &str, room: usize) -> String {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let place = place.split_once('@').map_or(place, |(_, place)| place);
    let place = place.trim_end_matches('/').trim_end_matches(".git");
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
