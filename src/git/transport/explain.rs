//! Turns a failure on the wire, or a server's message, into an error with a kind and an advice.

use std::io;

use super::host_messages::{HostMessage, Meaning};
use crate::error::{Error, Kind};
use crate::git::wire;

/// The meaning of a message that looks like a denial and that no known host sends.
const DENIED: Meaning = Meaning::new(
    Kind::Permission,
    "Check the URL, and what the user, key or token may do there: the mirror needs write access (GitLab: a deploy key \
             with \"Grant write permissions\" that is allowed to push to the protected branch).",
);

/// Makes the error of a failure on `remote` while `doing` something; `stderr` is the service's error output.
pub(super) fn explain(remote: &str, doing: &str, error: wire::Error, stderr: &str) -> Error {
    let last_message = HostMessage::new(stderr);
    match error {
        wire::Error::Remote(text) => refused(remote, doing, &HostMessage::new(&text)),
        // Hosts behind sshd write their refusal to the error output and close the channel, before any packet.
        wire::Error::Cut if !last_message.is_empty() => refused(remote, doing, &last_message),
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
                .advise("Use a repository with the object format sha1: `git init --bare --object-format=sha1` makes one.")
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
fn refused(remote: &str, doing: &str, message: &HostMessage) -> Error {
    meaning(message).error(format!("{remote}: refused while {doing}: {message}"))
}

fn meaning(message: &HostMessage) -> Meaning {
    // In doubt an outage: a wrong guess then costs some retries, the other way round it would call for a person.
    let guess = match message.is_denial() && !message.is_outage() {
        true => DENIED,
        false => Meaning::OUTAGE,
    };
    message.meaning().unwrap_or(guess)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_no_known_host_sends_is_guessed_at() {
        let kind = |words: &str| meaning(&HostMessage::new(words)).kind;
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
    fn a_frame_without_text_is_a_connection_that_was_cut() {
        let framed = "remote: \nremote: =====\nremote: \n";
        let error = explain("mirror", "opening it", wire::Error::Cut, framed);
        assert_eq!(error.kind(), Kind::Network);
    }
}
