//! A repository, and the transport that reaches it.

use std::fmt;
use std::io;
use std::sync::Arc;

use secrecy::SecretString;
use tracing::debug;

use super::git::GitRemote;
use super::http::HttpRemote;
use super::local::LocalRemote;
use super::ssh::SshRemote;
use super::{Connection, Credentials, Limits, Service, Side, Stderr, Stream, Traffic, explain};
use crate::error::{Error, Result};
use crate::git::RemoteUrl;
use crate::git::wire::{self, Advertisement, PacketReader, PacketTrace};

/// A repository, by its side, and the transport that reaches it.
pub struct Remote {
    side: Side,
    url: RemoteUrl,
    host: Host,
    traffic: Arc<Traffic>,
    trace: PacketTrace,
}

enum Host {
    Git(GitRemote),
    Http(Arc<HttpRemote>),
    Local(LocalRemote),
    Ssh(SshRemote),
}

impl Remote {
    /// Prepares a repository without opening a connection. `side` says which of the configuration's it is.
    ///
    /// # Errors
    /// `config` for an unusable key, certificate or known hosts file.
    pub fn new(
        side: Side,
        url: &RemoteUrl,
        credentials: &Credentials,
        limits: &Limits,
    ) -> Result<Self> {
        let traffic = Arc::<Traffic>::default();
        let host = match url {
            RemoteUrl::Git { host, port, path } => {
                Host::Git(GitRemote::new(host, *port, path, limits))
            }
            RemoteUrl::Http { url, .. } => {
                let remote =
                    HttpRemote::new(url, credentials.http.clone(), limits, Arc::clone(&traffic))?;
                Host::Http(Arc::new(remote.on(side)))
            }
            RemoteUrl::Local(path) => Host::Local(LocalRemote::new(path, limits).on(side)),
            RemoteUrl::Ssh(address) => {
                let remote = SshRemote::new(address.clone(), &credentials.ssh, limits)?;
                Host::Ssh(remote.on(side))
            }
        };
        Ok(Self {
            side,
            url: url.clone(),
            host,
            traffic,
            trace: PacketTrace::new(side.name(), secrets(url, credentials)),
        })
    }

    /// Returns the bytes received and sent so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Opens a service and reads its advertisement. Protocol v2 is requested for `upload-pack`; `receive-pack` has none.
    ///
    /// # Errors
    /// As the transport's: `network`, `host_key`, `auth`, `permission`, `server`, `config`.
    pub async fn open(&self, service: Service) -> Result<Connection> {
        // `receive-pack` has no version 2, and git's own client does not request it for a push either.
        let v2 = service == Service::UploadPack;
        let _awaiting = self.traffic.awaiting();
        match &self.host {
            Host::Git(remote) => {
                let stream = self.on_side(remote.open(service, v2).await)?;
                self.trace.sent(remote.request(service, v2)?.as_bytes());
                self.connection(stream, service).await
            }
            Host::Local(remote) => {
                let stream = self.on_side(remote.open(service).await)?;
                self.connection(stream, service).await
            }
            Host::Ssh(remote) => {
                let stream = self.on_side(remote.open(service, v2).await)?;
                match self.advertised(stream, service).await {
                    // Some servers end one channel of a connection or the whole of it (dropbear, asyncssh) while another is open.
                    // Nothing was asked for yet, so that nothing is done twice.
                    Err((error, stderr)) if was_cut(&error) && stderr.text().is_empty() => {
                        debug!(%error, "{self}: going on over a new connection");
                        let stream = self.on_side(remote.open_anew(service, v2).await)?;
                        self.connection(stream, service).await
                    }
                    advertised => self.explained(advertised, service),
                }
            }
            Host::Http(remote) => {
                let reader = self.on_side(remote.advertisement(service, v2).await)?;
                let mut packets = PacketReader::new(reader).traced(self.trace.clone());
                let advertisement = Advertisement::read(&mut packets)
                    .await
                    .map_err(|error| self.error(&opening(service), error, ""))?;
                self.log_opened(service, &advertisement);
                Ok(Connection::http(
                    Arc::clone(remote),
                    service,
                    advertisement,
                    self.trace.clone(),
                ))
            }
        }
    }

    /// Names the side, which the transports do not: both sides may be at one host.
    fn on_side<T>(&self, opened: Result<T>) -> Result<T> {
        opened.map_err(|error| error.on(self.side))
    }

    async fn connection(&self, stream: Stream, service: Service) -> Result<Connection> {
        self.explained(self.advertised(stream, service).await, service)
    }

    /// Reads a service's advertisement; with a failure comes the service's error output.
    async fn advertised(
        &self,
        stream: Stream,
        service: Service,
    ) -> Result<Connection, (wire::Error, Stderr)> {
        let reader = self.traffic.count_reads(stream.reader);
        let writer = self.traffic.count_writes(stream.writer);
        let mut packets = PacketReader::new(reader).traced(self.trace.clone());
        let advertisement = match Advertisement::read(&mut packets).await {
            Ok(advertisement) => advertisement,
            Err(error) => return Err((error, stream.stderr)),
        };
        self.log_opened(service, &advertisement);
        Ok(Connection::stream(
            packets,
            writer,
            stream.stderr,
            advertisement,
            self.trace.clone(),
        ))
    }

    fn explained(
        &self,
        advertised: Result<Connection, (wire::Error, Stderr)>,
        service: Service,
    ) -> Result<Connection> {
        advertised.map_err(|(error, stderr)| self.error(&opening(service), error, &stderr.text()))
    }

    fn log_opened(&self, service: Service, advertisement: &Advertisement) {
        let protocol = advertisement.protocol;
        debug!("{self}: {} speaks {protocol:?}", service.name());
    }

    /// Makes the error of a failure on this remote; `stderr` is what the service wrote to its error output.
    pub fn error(&self, doing: &str, error: wire::Error, stderr: &str) -> Error {
        explain::explain(self.side, &self.to_string(), doing, error, stderr)
    }
}

/// Returns what a packet trace must not show. A long user may be a token, which some hosts take in that place.
fn secrets(url: &RemoteUrl, credentials: &Credentials) -> Vec<SecretString> {
    // Shorter ones, `git` or a person's name, occur in ordinary lines, which would be masked for nothing.
    const LONG: usize = 16;
    let RemoteUrl::Http { user, password, .. } = url else {
        return Vec::new();
    };
    let auth = credentials.http.as_ref();
    let users = [user.as_ref(), auth.map(|auth| &auth.user)];
    let users = users
        .into_iter()
        .flatten()
        .filter(|user| user.len() >= LONG);
    let passwords = [password.as_ref(), auth.map(|auth| &auth.password)];
    users
        .map(|user| SecretString::from(user.as_str()))
        .chain(passwords.into_iter().flatten().cloned())
        .collect()
}

/// Says whether a connection ended, by itself and not by a limit of ours.
fn was_cut(error: &wire::Error) -> bool {
    match error {
        wire::Error::Cut => true,
        wire::Error::Io(cause) => cause.kind() == io::ErrorKind::ConnectionReset,
        _ => false,
    }
}

fn opening(service: Service) -> String {
    format!("opening {}", service.name())
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.side, self.url)
    }
}
