//! The errors of a host key that is not accepted.

use russh::keys::{HashAlg, PublicKey};

use super::known_hosts::{self, HostKeyStatus};
use crate::error::{Error, Kind};
use crate::transport::tcp;

/// Makes the error for a key that is not trusted: unknown, changed, or revoked.
pub(super) fn refused(
    verdict: &HostKeyStatus,
    host: &str,
    port: u16,
    key: &PublicKey,
    origin: &str,
) -> Error {
    let place = tcp::host_and_port(host, port);
    let shown = format!("{} ({})", key.fingerprint(HashAlg::Sha256), key.algorithm());
    // Only shown, never stored: a key that is trusted at first sight is that of whoever answered first.
    let line = known_hosts::line(host, port, key);
    match verdict {
        HostKeyStatus::Trusted | HostKeyStatus::Unknown => Error::new(
            Kind::HostKey,
            format!("the host key of {place} is unknown: {shown}"),
        )
        .advise(format!(
            "Compare the fingerprint with the one that the server's owner publishes elsewhere. If they are the same, add \
             this line to SSH_KNOWN_HOSTS:\n{line}"
        )),
        HostKeyStatus::Changed(trusted) => {
            let known = trusted
                .iter()
                .map(|one| format!("{} ({}; {})", one.fingerprint, one.algorithm, one.source))
                .collect::<Vec<_>>()
                .join(", ");
            let message =
                format!("the host key of {place} has changed: it is {shown}, but {known} is known");
            Error::new(Kind::HostKey, message).advise(format!(
                "Ask the server's owner whether the key was changed: someone may be intercepting the connection. If it was, \
                 replace the old line in {origin} with this one:\n{line}"
            ))
        }
        HostKeyStatus::Revoked(where_from) => Error::new(
            Kind::HostKey,
            format!("the host key of {place} is revoked: {shown}, by {where_from}"),
        )
        .advise("Do not connect. Ask the server's owner for its new key: this one was revoked, as after a theft."),
    }
}
