//! Says why a server's host key is not accepted, and what to do.

use russh::keys::{HashAlg, PublicKey};

use super::known_hosts::{self, Verdict};
use crate::error::{Error, Kind};
use crate::git::transport::tcp;

/// Makes the error for a key that is not trusted: unknown, changed, or revoked.
pub(super) fn refused(
    verdict: &Verdict,
    host: &str,
    port: u16,
    key: &PublicKey,
    origin: &str,
) -> Error {
    let place = tcp::host_and_port(host, port);
    let shown = format!("{} ({})", key.fingerprint(HashAlg::Sha256), key.algorithm());
    let line = known_hosts::line(host, port, key);
    match verdict {
        Verdict::Trusted | Verdict::Unknown => Error::new(
            Kind::HostKey,
            format!("the host key of {place} is unknown: {shown}"),
        )
        .advise(format!(
            "Compare the fingerprint with one that you get from the server's owner on another way than this \
             connection. If they are the same, add this line to SSH_KNOWN_HOSTS:\n{line}"
        )),
        Verdict::Changed(trusted) => {
            let known = trusted
                .iter()
                .map(|one| format!("{} ({}; {})", one.fingerprint, one.algorithm, one.source))
                .collect::<Vec<_>>()
                .join(", ");
            let message =
                format!("the host key of {place} has changed: it shows {shown}, known is {known}");
            Error::new(Kind::HostKey, message).advise(format!(
                "Somebody may be listening in. Ask the server's owner whether the key was changed; if so, put this \
                 line into {origin} in place of the old one:\n{line}"
            ))
        }
        Verdict::Revoked(where_from) => Error::new(
            Kind::HostKey,
            format!("the host key of {place} is revoked: {shown}, by {where_from}"),
        )
        .advise("The key was given up as stolen. Do not connect; ask the server's owner for its new key."),
    }
}
