//! One authenticated ssh connection.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{self, AuthResult, DisconnectReason, Handle};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Preferred, cipher, kex};
use tokio::time::timeout_at;
use tokio_io_timeout::TimeoutWriter;

use super::known_hosts::{HostKeyStatus, KnownHosts};
use super::{SshAddress, host_key};
use crate::error::{Error, Kind, Result};
use crate::transport::tcp;
use crate::transport::{Limits, RoundTrip, Side};

/// Connects, verifies the host key and authenticates, all within `network.connect_timeout`.
pub(super) async fn connect(
    side: Side,
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
            .advise("Try again later, or raise `network.connect_timeout`.")
    };
    let connecting = RoundTrip::begin(side, "the connection");
    let mut stream = TimeoutWriter::new(tcp::connect(&address.host, address.port, deadline).await?);
    drop(connecting);
    // A server that stops reading must not keep the connection open for ever.
    stream.set_timeout(Some(limits.idle_timeout));
    let client = Client::new(address, known_hosts);
    let received = Arc::clone(&client.received);
    let config = Arc::new(config(address, known_hosts));
    let shaking_hands = RoundTrip::begin(side, "the ssh handshake");
    let handshake = client::connect_stream(config, Box::pin(stream), client);
    let mut handle = timeout_at(deadline, handshake)
        .await
        .map_err(|_| late("did not finish the ssh handshake"))?
        .map_err(|error| handshake_failed(&place, error, &received))?;
    drop(shaking_hands);
    let _authenticating = RoundTrip::begin(side, "the ssh authentication");
    timeout_at(
        deadline,
        authenticate(side, &mut handle, address, key, &received),
    )
    .await
    .map_err(|_| late("did not answer the authentication"))??;
    Ok(handle)
}

fn config(address: &SshAddress, known_hosts: &KnownHosts) -> client::Config {
    let algorithms = known_hosts.algorithms(&address.host, address.port);
    client::Config {
        preferred: Preferred {
            key: Cow::Owned(algorithms),
            kex: Cow::Owned(key_exchanges()),
            cipher: Cow::Owned(ciphers()),
            ..Preferred::DEFAULT
        },
        // A pack must not wait for the server to hear that more fits: this is a second of 100 Mbit/s. It takes no memory, since a
        // reader that lags stops the whole connection long before (`channel::PIPE`).
        window_size: 16 << 20,
        // No keepalives: a connection serves one command, whose reads and writes have an idle timeout.
        keepalive_interval: None,
        ..client::Config::default()
    }
}

/// Lists the key exchanges that russh offers by default, and after them those that OpenSSH offers, too: some servers have no others.
fn key_exchanges() -> Vec<kex::Name> {
    let mut names = Preferred::DEFAULT.kex.to_vec();
    // What the list ends in are no algorithms: the names by which SSH announces its extensions.
    let announcements = [
        kex::EXTENSION_SUPPORT_AS_CLIENT,
        kex::EXTENSION_SUPPORT_AS_SERVER,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
        kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
    ];
    let end = names.iter().position(|name| announcements.contains(name));
    let end = end.unwrap_or(names.len());
    names.splice(
        end..end,
        [
            kex::ECDH_SHA2_NISTP256,
            kex::ECDH_SHA2_NISTP384,
            kex::ECDH_SHA2_NISTP521,
        ],
    );
    names
}

/// Lists russh's default ciphers, and after them the one that it leaves out of OpenSSH's.
fn ciphers() -> Vec<cipher::Name> {
    let mut names = Preferred::DEFAULT.cipher.to_vec();
    names.push(cipher::AES_128_GCM);
    names
}

/// The client's callbacks: verifies the host key, keeps the server's last message.
pub(super) struct Client {
    address: SshAddress,
    known_hosts: Arc<KnownHosts>,
    received: Arc<Received>,
}

/// What the server sent that explains a failure; russh reports it to the callbacks only.
#[derive(Default)]
struct Received {
    /// Why its host key was refused.
    refused_key: Mutex<Option<Error>>,
    /// The message with which it disconnected.
    last_message: Mutex<Option<String>>,
}

impl Client {
    fn new(address: &SshAddress, known_hosts: &Arc<KnownHosts>) -> Self {
        Self {
            address: address.clone(),
            known_hosts: Arc::clone(known_hosts),
            received: Arc::default(),
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
        if verdict == HostKeyStatus::Trusted {
            let fingerprint = key.fingerprint(HashAlg::Sha256);
            tracing::debug!(%host, port, %fingerprint, "host key is trusted");
            return Ok(true);
        }
        let error = host_key::refused(&verdict, host, port, &key, self.known_hosts.origin());
        set(&self.received.refused_key, error);
        Ok(false)
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                set(&self.received.last_message, info.message);
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

fn handshake_failed(place: &str, error: russh::Error, received: &Received) -> Error {
    // First: russh knows no more than that the callback said no.
    if let Some(refused) = take(&received.refused_key) {
        return refused;
    }
    match &error {
        russh::Error::NoCommonAlgo { kind, ours, theirs } => {
            let kind = match kind {
                AlgorithmKind::Kex => "key exchange",
                AlgorithmKind::Key => "type of host key",
                AlgorithmKind::Cipher => "cipher",
                AlgorithmKind::Compression => "compression",
                AlgorithmKind::Mac => "MAC",
            };
            let offered = theirs.join(", ");
            let message = format!("{place} offers no {kind} that is sound: it offers {offered}");
            Error::new(Kind::Config, message).advise(format!(
                "Update the SSH server, or have it offer one of these as well: {}.",
                ours.join(", ")
            ))
        }
        russh::Error::Version => {
            let message = format!("{place} is not an ssh server");
            Error::new(Kind::Server, message).advise("Check the host and the port in the URL.")
        }
        _ => hung_up(place, "during the ssh handshake", error, received),
    }
}

fn hung_up(place: &str, when: &str, error: russh::Error, received: &Received) -> Error {
    let failed = Error::new(Kind::Network, format!("{place} hung up {when}"));
    match take(&received.last_message) {
        Some(words) => failed.because(words),
        None => failed.because(error),
    }
    .advise(
        "Check that the port is an ssh server's. If it is, try again later: the server may be busy, or reject \
         connections from this address.",
    )
}

async fn authenticate(
    side: Side,
    handle: &mut Handle<Client>,
    address: &SshAddress,
    key: &Arc<PrivateKey>,
    received: &Received,
) -> Result<()> {
    let place = tcp::host_and_port(&address.host, address.port);
    let broken = |error| hung_up(&place, "during the authentication", error, received);
    for hash in signature_hashes(key) {
        let signer = PrivateKeyWithHashAlg::new(Arc::clone(key), *hash);
        let answer = handle.authenticate_publickey(&address.user, signer);
        match answer.await.map_err(broken)? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure {
                partial_success: true,
                ..
            } => return Err(half_accepted(&place, address)),
            // russh reports a connection that ended before the response in this way.
            AuthResult::Failure {
                remaining_methods, ..
            } if remaining_methods.is_empty() && handle.is_closed() => {
                return Err(unanswered(side, &place, address, key, received));
            }
            // The next hash, if there is one.
            AuthResult::Failure { .. } => {}
        }
    }
    Err(refused(side, &place, address, key))
}

/// Lists the hashes to sign with, best first; never SHA-1.
///
/// For RSA both are tried: a server's `server-sig-algs` also lists hashes that its configuration rejects.
fn signature_hashes(key: &PrivateKey) -> &'static [Option<HashAlg>] {
    if key.algorithm().is_rsa() {
        &[Some(HashAlg::Sha512), Some(HashAlg::Sha256)]
    } else {
        &[None]
    }
}

fn refused(side: Side, place: &str, address: &SshAddress, key: &PrivateKey) -> Error {
    let user = &address.user;
    let algorithm = key.algorithm();
    let fingerprint = key.fingerprint(HashAlg::Sha256);
    let public = key.public_key().to_openssh().unwrap_or_default();
    let message =
        format!("{place} does not accept the key {fingerprint} ({algorithm}) for the user {user}");
    Error::new(Kind::Auth, message).advise(format!(
        "{} The public half is:\n{public}",
        side.unknown_key()
    ))
}

/// Tells a server that disconnects after too many failures (`MaxAuthTries` may be 1) from a connection that was cut:
/// the key is a matter for a person, the cut is worth another try.
fn unanswered(
    side: Side,
    place: &str,
    address: &SshAddress,
    key: &PrivateKey,
    received: &Received,
) -> Error {
    let last_message = received.last_message.lock();
    let last_message = last_message.unwrap_or_else(PoisonError::into_inner).clone();
    if last_message.is_some_and(|words| words.contains("authentication failures")) {
        return refused(side, place, address, key);
    }
    hung_up(
        place,
        "during the authentication",
        russh::Error::Disconnect,
        received,
    )
}

fn half_accepted(place: &str, address: &SshAddress) -> Error {
    let user = &address.user;
    let message = format!("{place} accepts the key of {user}, but requires a second factor");
    Error::new(Kind::Auth, message)
        .advise("Use an account, or a deploy key, that needs no second factor.")
}
