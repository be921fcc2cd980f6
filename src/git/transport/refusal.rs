//! Makes one of our errors of what a server did or said: a kind, in whose words, and what to do.

use std::io;

use super::host_words::{HostAnswer, HostWords};
use crate::error::{Error, Kind};
use crate::git::wire;

/// What words mean that sound like a denial, from a host that is not known to say them.
const DENIED: HostAnswer = HostAnswer {
    kind: Kind::Permission,
    advice: "look at the URL, and at what the key or token in use may do there: the mirror needs write access \
             (GitLab: a deploy key with \"Grant write permissions\", and its place among those who may push to a \
             protected branch)",
};

/// Explains a failure on `remote` while `doing` something; `stderr` is what the service wrote to its error output.
pub(super) fn explain(remote: &str, doing: &str, error: wire::Error, stderr: &str) -> Error {
    let last_words = HostWords::new(stderr);
    match error {
        wire::Error::Remote(text) => refused(remote, doing, &HostWords::new(&text)),
        wire::Error::Cut if !last_words.is_empty() => refused(remote, doing, &last_words),
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
fn refused(remote: &str, doing: &str, words: &HostWords) -> Error {
    meaning(words).error(format!("{remote}: refused while {doing}: {words}"))
}

fn meaning(words: &HostWords) -> HostAnswer {
    let guess = match words.tell_denial() && !words.tell_trouble() {
        true => DENIED,
        false => HostAnswer::TROUBLED,
    };
    words.meaning().unwrap_or(guess)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_no_known_host_says_are_guessed_at() {
        let kind = |words: &str| meaning(&HostWords::new(words)).kind;
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
    fn a_frame_without_words_is_a_connection_that_was_cut() {
        let framed = "remote: \nremote: =====\nremote: \n";
        let error = explain("mirror", "opening it", wire::Error::Cut, framed);
        assert_eq!(error.kind(), Kind::Network);
    }
}
