//! One authenticated ssh connection.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{self, AuthResult, DisconnectReason, Handle};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Preferred};
use tokio::time::timeout_at;
use tokio_io_timeout::TimeoutWriter;

use super::known_hosts::{KnownHosts, Verdict};
use super::{SshAddress, host_key};
use crate::error::{Error, Kind, Result};
use crate::git::transport::Limits;
use crate::git::transport::tcp;

/// Connects, checks the server's key and authenticates, all within `network.connect_timeout`.
pub(super) async fn connect(
    address: &SshAddress,
    key: &Arc<PrivateKey>,
    known_hosts: &Arc<KnownHosts>,
    limits: &Limits,
) -> Result<Handle<Client>> {
    let deadline = tcp::deadline(limits.connect_timeout);
    let place = tcp::host_and_port(&address.host, address.port);
    let late = |what: &str| {
        let limit = humantime::format_duration(limits.connect_timeout);
        Error::new(Kind::Network, format!("{place} {what} within {limit}"))
            .advise("Try again later, or raise network.connect_timeout.")
    };
    let mut stream = TimeoutWriter::new(tcp::connect(&address.host, address.port, deadline).await?);
    // A server that stops to read must not keep the connection, and what it holds, for ever.
    stream.set_timeout(Some(limits.idle_timeout));
    let client = Client::new(address, known_hosts);
    let heard = Arc::clone(&client.heard);
    let config = Arc::new(config(address, known_hosts));
    let handshake = client::connect_stream(config, Box::pin(stream), client);
    let mut handle = timeout_at(deadline, handshake)
        .await
        .map_err(|_| late("did not finish the ssh handshake"))?
        .map_err(|error| handshake_failed(&place, error, &heard))?;
    timeout_at(deadline, authenticate(&mut handle, address, key, &heard))
        .await
        .map_err(|_| late("did not answer the authentication"))??;
    Ok(handle)
}

fn config(address: &SshAddress, known_hosts: &KnownHosts) -> client::Config {
    let algorithms = known_hosts.algorithms(&address.host, address.port);
    client::Config {
        preferred: Preferred {
            key: Cow::Owned(algorithms),
            ..Preferred::DEFAULT
        },
        // No keepalives: a connection serves one command, whose reads and writes have a time limit of their own.
        keepalive_interval: None,
        ..client::Config::default()
    }
}

/// Answers the server's questions while the connection lives.
pub(super) struct Client {
    address: SshAddress,
    known_hosts: Arc<KnownHosts>,
    heard: Arc<Heard>,
}

/// What was heard from the server that explains a failure.
#[derive(Default)]
struct Heard {
    /// Why its key was refused.
    refused_key: Mutex<Option<Error>>,
    /// Its own words when it hung up.
    farewell: Mutex<Option<String>>,
}

impl Client {
    fn new(address: &SshAddress, known_hosts: &Arc<KnownHosts>) -> Self {
        Self {
            address: address.clone(),
            known_hosts: Arc::clone(known_hosts),
            heard: Arc::default(),
        }
    }
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let key = shown.public_key();
        let (host, port) = (&self.address.host, self.address.port);
        let verdict = self.known_hosts.verify(host, port, &key);
        if verdict == Verdict::Trusted {
            let fingerprint = key.fingerprint(HashAlg::Sha256);
            tracing::debug!(%host, port, %fingerprint, "host key is trusted");
            return Ok(true);
        }
        let error = host_key::refused(&verdict, host, port, &key, self.known_hosts.origin());
        set(&self.heard.refused_key, error);
        Ok(false)
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                set(&self.heard.farewell, info.message);
                Ok(())
            }
            DisconnectReason::Error(error) => {
                tracing::debug!(%error, "the ssh connection ended");
                Err(error)
            }
        }
    }
}

fn set<T>(slot: &Mutex<Option<T>>, value: T) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn handshake_failed(place: &str, error: russh::Error, heard: &Heard) -> Error {
    if let Some(refused) = take(&heard.refused_key) {
        return refused;
    }
    match &error {
        russh::Error::NoCommonAlgo { kind, theirs, .. } => {
            let kind = match kind {
                AlgorithmKind::Kex => "key exchange",
                AlgorithmKind::Key => "host key",
                AlgorithmKind::Cipher => "cipher",
                AlgorithmKind::Compression => "compression",
                AlgorithmKind::Mac => "MAC",
            };
            let offered = theirs.join(", ");
            let message =
                format!("{place} offers no {kind} algorithm that is safe enough: {offered}");
            Error::new(Kind::Server, message).advise("The server's sshd needs an update.")
        }
        russh::Error::Version => {
            let message = format!("what answers at {place} is no ssh server");
            Error::new(Kind::Server, message).advise("Check the host and the port in the URL.")
        }
        _ => hung_up(place, "during the ssh handshake", error, heard),
    }
}

fn hung_up(place: &str, when: &str, error: russh::Error, heard: &Heard) -> Error {
    let failed = Error::new(Kind::Network, format!("{place} hung up {when}"));
    match take(&heard.farewell) {
        Some(words) => failed.because(words),
        None => failed.because(error),
    }
    .advise(
        "Check that the port is an ssh server's. If it is, try again later: the server may be busy, or refuse \
         connections from this address.",
    )
}

async fn authenticate(
    handle: &mut Handle<Client>,
    address: &SshAddress,
    key: &Arc<PrivateKey>,
    heard: &Heard,
) -> Result<()> {
    let place = tcp::host_and_port(&address.host, address.port);
    let broken = |error| hung_up(&place, "during the authentication", error, heard);
    for hash in signature_hashes(key) {
        let signer = PrivateKeyWithHashAlg::new(Arc::clone(key), *hash);
        let answer = handle.authenticate_publickey(&address.user, signer);
        match answer.await.map_err(broken)? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure {
                partial_success: true,
                ..
            } => return Err(half_accepted(&place, address)),
            // So russh tells that the connection ended before there was an answer.
            AuthResult::Failure {
                remaining_methods, ..
            } if remaining_methods.is_empty() && handle.is_closed() => {
                return Err(unanswered(&place, address, key, heard));
            }
            AuthResult::Failure { .. } => {}
        }
    }
    Err(refused(&place, address, key))
}

/// Lists the hashes to sign with, best first; SHA-1 never.
///
/// Both of RSA's are tried: the list that a server sends (`server-sig-algs`) names hashes that its configuration refuses.
fn signature_hashes(key: &PrivateKey) -> &'static [Option<HashAlg>] {
    if key.algorithm().is_rsa() {
        &[Some(HashAlg::Sha512), Some(HashAlg::Sha256)]
    } else {
        &[None]
    }
}

fn refused(place: &str, address: &SshAddress, key: &PrivateKey) -> Error {
    let user = &address.user;
    let algorithm = key.algorithm();
    let fingerprint = key.fingerprint(HashAlg::Sha256);
    let public = key.public_key().to_openssh().unwrap_or_default();
    let message =
        format!("{place} does not accept the key {fingerprint} ({algorithm}) for the user {user}");
    Error::new(Kind::Auth, message).advise(format!(
        "Add its public half to the repository as a deploy key with write access, or check SSH_PRIVATE_KEY and the \
         URL's user. The public half is:\n{public}"
    ))
}

/// Tells a server that hung up after too many keys, which may be one, from a connection that was cut.
fn unanswered(place: &str, address: &SshAddress, key: &PrivateKey, heard: &Heard) -> Error {
    let farewell = heard.farewell.lock();
    let farewell = farewell.unwrap_or_else(PoisonError::into_inner).clone();
    if farewell.is_some_and(|words| words.contains("authentication failures")) {
        return refused(place, address, key);
    }
    hung_up(
        place,
        "during the authentication",
        russh::Error::Disconnect,
        heard,
    )
}

fn half_accepted(place: &str, address: &SshAddress) -> Error {
    let user = &address.user;
    let message = format!("{place} accepts the key of {user}, and wants a second proof besides");
    Error::new(Kind::Auth, message)
        .advise("Use an account, or a deploy key, for which the key alone is enough.")
}
