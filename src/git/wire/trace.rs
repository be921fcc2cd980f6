//! The packet trace: every packet of a conversation as a log line, in the manner of git's `GIT_TRACE_PACKET`.
//!
//! ```text
//! upstream > 0014 command=ls-refs
//! upstream < 003d 1c2…e90 refs/heads/master
//! upstream < 2004 pack data, 8191 bytes
//! ```
//!
//! The digits are the packet's length as it stands on the wire. All transports pass through here, since all of them read with
//! [`PacketReader`](super::PacketReader) and send through `transport::Connection`.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tracing::{Level, enabled, trace};

use super::Packet;
use super::pkt_line::split;
use crate::count::counted;
use crate::shown;

/// The target of the trace's lines, which `-vv` shows.
const TARGET: &str = "crates_ferry::git::packet";

/// The most that is shown of one packet, in characters.
const SHOWN: usize = 1000;

/// What stands in place of a secret, as in mails.
const MASK: &str = "[masked]";
/// Shorter words are no secrets, and would be found in any text.
const SHORTEST: usize = 4;

/// Where the packets of one remote are logged; nowhere unless the log shows traces, so that an untraced packet costs one
/// comparison.
#[derive(Clone, Default)]
pub struct PacketTrace(Option<Arc<Peer>>);

struct Peer {
    name: &'static str,
    secrets: Vec<SecretString>,
}

impl PacketTrace {
    /// Begins the trace of a remote that the log calls `name`; `secrets` are redacted, should a server repeat them.
    pub fn new(name: &'static str, secrets: Vec<SecretString>) -> Self {
        let is_on = enabled!(target: TARGET, Level::TRACE);
        let is_word = |secret: &SecretString| secret.expose_secret().len() >= SHORTEST;
        let mut secrets: Vec<_> = secrets.into_iter().filter(is_word).collect();
        // The longest first, so that no part of one stays behind where another is its beginning.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        Self(is_on.then(|| Arc::new(Peer { name, secrets })))
    }

    /// Logs the packets of a message that is sent.
    pub fn sent(&self, message: &[u8]) {
        let Some(peer) = &self.0 else { return };
        for packet in split(message) {
            peer.log('>', &packet);
        }
    }

    /// Logs a packet that was received.
    pub(super) fn received(&self, packet: &Packet) {
        if let Some(peer) = &self.0 {
            peer.log('<', packet);
        }
    }

    /// Says whether anything is logged.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Logs the size of a piece of a pack, which is sent without packets around it.
    pub fn sent_pack(&self, bytes: usize) {
        if let Some(peer) = &self.0 {
            let name = peer.name;
            trace!(target: TARGET, "{name} > {}", size(bytes));
        }
    }
}

impl Peer {
    fn log(&self, direction: char, packet: &Packet) {
        let name = self.name;
        match packet {
            Packet::Flush => trace!(target: TARGET, "{name} {direction} 0000"),
            Packet::Delimiter => trace!(target: TARGET, "{name} {direction} 0001"),
            Packet::ResponseEnd => trace!(target: TARGET, "{name} {direction} 0002"),
            Packet::Data(payload) => {
                let (length, text) = (payload.len() + 4, self.shown(payload));
                trace!(target: TARGET, "{name} {direction} {length:04x} {text}");
            }
        }
    }

    /// Shows a payload on one line: text as it is, packs as sizes. In a sideband the first byte says which of them it is.
    fn shown(&self, payload: &[u8]) -> String {
        match payload.split_first() {
            // No line of the protocol begins with one of these bytes, so it need not be known whether a sideband is open.
            Some((1, data)) => size(data.len()),
            Some((2, words)) => format!("remote: {}", self.line(words)),
            Some((3, words)) => format!("fatal: {}", self.line(words)),
            _ => self.line(payload),
        }
    }

    /// Redacts first: a secret that is cut, or has a letter escaped, would not be found.
    fn line(&self, bytes: &[u8]) -> String {
        let text = self.redact(String::from_utf8_lossy(bytes).trim_end());
        // A server must not be able to forge log lines, or to move the cursor of a terminal.
        shown::printable(&shown::beginning(&text, SHOWN)).into_owned()
    }

    fn redact(&self, text: &str) -> String {
        let mut text = redact_user_info(text);
        for secret in &self.secrets {
            text = text.replace(secret.expose_secret(), MASK);
        }
        text
    }
}

fn size(bytes: usize) -> String {
    format!("pack data, {}", counted(bytes, "byte"))
}

/// Takes users and passwords out of URLs, known or not: hooks print URLs, too.
fn redact_user_info(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let authority = after
            .split(|c: char| c.is_whitespace() || c.is_control() || "/'\"".contains(c))
            .next()
            .unwrap_or_default();
        shown.push_str(before);
        shown.push_str("://");
        rest = after;
        if let Some((user_info, _)) = authority.rsplit_once('@') {
            shown.push_str(MASK);
            rest = &after[user_info.len()..];
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        Peer {
            name: "mirror",
            secrets: vec![SecretString::from("hunter2")],
        }
    }

    #[test]
    fn a_packet_is_one_line_of_text_or_a_size() {
        let text = |payload: &[u8]| peer().shown(payload);
        assert_eq!(text(b"want 12\n"), "want 12");
        assert_eq!(text(b"a ref\0report-status\n"), "a ref\\0report-status");
        assert_eq!(text(b"\x01PACK\0\0"), "pack data, 6 bytes");
        assert_eq!(text(b"\x02one\ntwo\n"), "remote: one\\ntwo");
        assert_eq!(text(b"\x03no space"), "fatal: no space");
        let long = text("word ".repeat(1000).as_bytes());
        assert!(long.len() > SHOWN - 5 && long.ends_with("word…"), "{long}");
    }

    #[test]
    fn secrets_and_the_users_of_urls_are_redacted() {
        let shown = |text: &str| peer().redact(text);
        assert_eq!(shown("ERR hunter2 is unknown"), "ERR [masked] is unknown");
        assert_eq!(
            shown("see https://me:pass@a.example/x and ssh://git@b.example/y@z"),
            "see https://[masked]@a.example/x and ssh://[masked]@b.example/y@z"
        );
        assert_eq!(shown("http://a.example"), "http://a.example");
        assert_eq!(shown("http://a.example\nme@b"), "http://a.example\nme@b");
    }

    #[test]
    fn a_secret_that_reaches_across_the_cut_shows_no_part_of_itself() {
        for secret in ["hunter2", "https://me:pass@a.example"] {
            for before in SHOWN - secret.len()..SHOWN {
                let line = format!("{}{secret} and more", "x".repeat(before));
                let shown = peer().shown(line.as_bytes());
                assert!(
                    !shown.contains("hun") && !shown.contains("me:"),
                    "{before}: {shown}"
                );
                assert!(shown.chars().count() <= SHOWN + 1, "{before}");
            }
        }
    }
}
