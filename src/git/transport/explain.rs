//! Turns a failure on the wire, or a server's message, into an error with a kind and an advice.

use std::io;

use super::Side;
use super::host_messages::{HostMessage, Meaning};
use crate::error::{Error, Kind};
use crate::wire;

/// Makes the error of a failure on `remote` while `doing` something; `stderr` is the service's error output.
pub(super) fn explain(
    side: Side,
    remote: &str,
    doing: &str,
    error: wire::Error,
    stderr: &str,
) -> Error {
    let last_message = HostMessage::new(stderr);
    match error {
        wire::Error::Remote(text) => refused(side, remote, doing, &HostMessage::new(&text)),
        // Hosts behind sshd write their refusal to the error output and close the channel, before any packet.
        wire::Error::Cut if !last_message.is_empty() => refused(side, remote, doing, &last_message),
        wire::Error::Cut => Error::new(
            Kind::Network,
            format!("{remote}: the connection was cut while {doing}"),
        )
        .because(error)
        .advise("Try again. If it keeps being cut, check the proxies and firewalls on the way."),
        wire::Error::Io(cause) if cause.kind() == io::ErrorKind::TimedOut => Error::new(
            Kind::Network,
            format!("{remote}: idle timeout while {doing}"),
        )
        .because(cause)
        .advise("Try again, or raise `network.idle_timeout`."),
        wire::Error::Io(cause) => Error::new(
            Kind::Network,
            format!("{remote}: the connection failed while {doing}"),
        )
        .because(cause)
        .advise("Try again."),
        wire::Error::Unsupported(_) => {
            Error::new(Kind::Config, format!("{remote}: unsupported repository"))
                .because(error)
                .advise(side.other_format())
        }
        wire::Error::Lacks { .. } => Error::new(
            Kind::Config,
            format!("{remote}: the server cannot be used for this"),
        )
        .because(error)
        .advise("Serve the repository with another git server, such as git's own."),
        wire::Error::Garbage(_) | wire::Error::Limit { .. } | wire::Error::Checksum => Error::new(
            Kind::Server,
            format!("{remote}: an invalid response while {doing}"),
        )
        .because(error)
        .advise("Try again. If it fails again, check that the URL is that of a git server."),
    }
}

/// Makes the error of a server's own message.
fn refused(side: Side, remote: &str, doing: &str, message: &HostMessage) -> Error {
    meaning(side, message).error(format!("{remote}: refused while {doing}: {message}"))
}

fn meaning(side: Side, message: &HostMessage) -> Meaning {
    // In doubt an outage: a wrong guess then costs some retries, the other way round it would call for a person.
    let guess = match message.is_denial() && !message.is_outage() {
        true => Meaning::new(Kind::Permission, side.denied()),
        false => Meaning::OUTAGE,
    };
    message.meaning().unwrap_or(guess)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_no_known_host_sends_is_guessed_at() {
        let kind = |words: &str| meaning(Side::Mirror, &HostMessage::new(words)).kind;
        assert_eq!(
            kind("fatal: '/a' does not appear to be a git repository"),
            Kind::Permission
        );
        assert_eq!(kind("ERROR: Repository not found."), Kind::Permission);
        assert_eq!(
            kind("access denied, try again after the maintenance"),
            Kind::Server
        );
        assert_eq!(
            kind("the server refuses to run git-receive-pack"),
            Kind::Server
        );
        assert_eq!(kind("kernel panic"), Kind::Server);
    }

    #[test]
    fn each_failure_on_the_wire_advises_what_its_side_needs() {
        let of = |cause: &str| match cause {
            "a denial" => wire::Error::Remote("access denied".into()),
            "an outage" => wire::Error::Remote("kernel panic".into()),
            "an idle timeout" => wire::Error::Io(io::ErrorKind::TimedOut.into()),
            "a reset" => wire::Error::Io(io::ErrorKind::ConnectionReset.into()),
            "a wrong checksum" => wire::Error::Checksum,
            _ => wire::Error::Cut,
        };
        let causes = [
            "a denial",
            "an outage",
            "a cut",
            "an idle timeout",
            "a reset",
            "a wrong checksum",
        ];
        let rows = causes.iter().flat_map(|cause| {
            [Side::Upstream, Side::Mirror, Side::Index].map(|side| {
                let remote = format!("{side} https://h.example/index.git");
                let error = explain(side, &remote, "opening git-upload-pack", of(cause), "");
                crate::error::row(&format!("{cause}, {side}"), &error)
            })
        });
        insta::assert_snapshot!(rows.collect::<String>());
    }

    #[test]
    fn a_frame_without_text_is_a_connection_that_was_cut() {
        let framed = "remote: \nremote: =====\nremote: \n";
        let error = explain(
            Side::Mirror,
            "mirror",
            "opening it",
            wire::Error::Cut,
            framed,
        );
        assert_eq!(error.kind(), Kind::Network);
    }
}
