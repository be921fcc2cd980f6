//! A repository, and the transport that reaches it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use secrecy::SecretString;
use tokio::io::AsyncWriteExt;
use tracing::debug;

use super::git::GitRemote;
use super::http::HttpRemote;
use super::local::LocalRemote;
use super::ssh::SshRemote;
use super::{
    Connection, Credentials, Limits, RoundTrip, Service, Side, Stderr, Stream, Traffic, explain,
};
use crate::RemoteUrl;
use crate::error::{Error, Result};
use crate::wire::{self, Advertisement, PacketReader, PacketTrace, Protocol};

/// A repository, by its side, and the transport that reaches it.
pub struct Remote {
    side: Side,
    url: RemoteUrl,
    host: Host,
    traffic: Arc<Traffic>,
    trace: PacketTrace,
    /// Whether the server turned out to speak v0.
    is_v0: AtomicBool,
}

/// Why a service could not be opened.
enum NotOpened {
    /// The transport's failure.
    Unreached(Error),
    /// What went wrong with the advertisement, and the service's error output.
    Unread(wire::Error, Stderr),
}

impl From<Error> for NotOpened {
    fn from(error: Error) -> Self {
        Self::Unreached(error)
    }
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
            is_v0: AtomicBool::new(false),
        })
    }

    /// Says whether the host starts a process for each service that is opened, over a connection that lasts.
    pub(super) fn is_costly_to_open(&self) -> bool {
        matches!(self.host, Host::Git(_) | Host::Ssh(_))
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
        let opened = self.try_open(service, &Bytes::new()).await;
        opened.map_err(|error| self.explained(error, service))
    }

    /// Opens `upload-pack`, and sends its first command along, so that it is answered one round trip earlier. Also says whether
    /// it was sent: not over HTTP, nor where the server is known to speak v0, which takes no commands. A server that turns out
    /// to speak v0 has ended the conversation, after its advertisement.
    ///
    /// # Errors
    /// As [`Remote::open`].
    pub async fn open_with(&self, command: &Bytes) -> Result<(Connection, bool)> {
        let service = Service::UploadPack;
        let is_stream = matches!(self.host, Host::Git(_) | Host::Ssh(_));
        if !is_stream || self.is_v0.load(Ordering::Relaxed) {
            return Ok((self.open(service).await?, false));
        }
        match self.try_open(service, command).await {
            Ok(connection) => {
                let is_v0 = connection.advertisement.protocol == Protocol::V0;
                self.is_v0.store(is_v0, Ordering::Relaxed);
                Ok((connection, true))
            }
            // Where v0 is spoken, the command ended the conversation, which can cost the rest of a long advertisement.
            Err(NotOpened::Unread(error, stderr))
                if was_cut(&error) && stderr.text().is_empty() =>
            {
                debug!(%error, "{self}: opening {} without a command", service.name());
                Ok((self.open(service).await?, false))
            }
            Err(error) => Err(self.explained(error, service)),
        }
    }

    /// Begins to connect for a service that may be opened soon, without asking the server for anything: the next one that is
    /// opened is so one round trip earlier. Over HTTP, where a connection is made by its first request, this does nothing.
    pub async fn connect_ahead(&self) {
        match &self.host {
            Host::Git(remote) => remote.connect_ahead(),
            Host::Ssh(remote) => remote.open_channel_ahead().await,
            Host::Http(_) | Host::Local(_) => {}
        }
    }

    /// Opens a service, sends `command` unless it is empty, and reads the advertisement.
    async fn try_open(&self, service: Service, command: &Bytes) -> Result<Connection, NotOpened> {
        // `receive-pack` has no version 2, and git's own client does not request it for a push either.
        let v2 = service == Service::UploadPack;
        let _awaiting = self.traffic.awaiting();
        match &self.host {
            Host::Git(remote) => {
                let stream = {
                    let is_awaited = !remote.is_connected_ahead();
                    let _connecting = is_awaited.then(|| self.waiting_for("the connection"));
                    remote.open(service, v2).await?
                };
                self.trace.sent(remote.request(service, v2)?.as_bytes());
                self.advertised(stream, service, command).await
            }
            Host::Local(remote) => {
                let stream = remote.open(service).await?;
                self.advertised(stream, service, command).await
            }
            Host::Ssh(remote) => {
                let stream = remote.open(service, v2).await?;
                match self.advertised(stream, service, command).await {
                    // Some servers end one channel of a connection or the whole of it (dropbear, asyncssh) while another is open.
                    // Nothing was asked for yet but to list refs, so that nothing is done twice.
                    Err(NotOpened::Unread(error, stderr))
                        if was_cut(&error) && stderr.text().is_empty() =>
                    {
                        debug!(%error, "{self}: going on over a new connection");
                        let stream = remote.open_anew(service, v2).await?;
                        self.advertised(stream, service, command).await
                    }
                    advertised => advertised,
                }
            }
            Host::Http(remote) => {
                let _waiting = self.waiting_for("the capabilities");
                let reader = remote.advertisement(service, v2).await?;
                let mut packets = PacketReader::new(reader).traced(self.trace.clone());
                let advertisement = Advertisement::read(&mut packets).await;
                let advertisement =
                    advertisement.map_err(|error| NotOpened::Unread(error, Stderr::default()))?;
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

    /// Reads a service's advertisement, after sending it a command unless that is empty.
    async fn advertised(
        &self,
        stream: Stream,
        service: Service,
        command: &Bytes,
    ) -> Result<Connection, NotOpened> {
        let reader = self.traffic.count_reads(stream.reader);
        let mut writer = self.traffic.count_writes(stream.writer);
        if !command.is_empty() {
            self.trace.sent(command);
            // What the server sent before it closed its end, which is read below, mostly says why.
            if writer.write_all(command).await.is_ok() {
                writer.flush().await.ok();
            }
        }
        let mut packets = PacketReader::new(reader).traced(self.trace.clone());
        let _waiting = self.waiting_for("the capabilities");
        let advertisement = match Advertisement::read(&mut packets).await {
            Ok(advertisement) => advertisement,
            Err(error) => return Err(NotOpened::Unread(error, stream.stderr)),
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

    fn explained(&self, error: NotOpened, service: Service) -> Error {
        let opening = format!("opening {}", service.name());
        match error {
            // The transports do not name the side: both may be at one host.
            NotOpened::Unreached(error) => error.on(self.side),
            NotOpened::Unread(error, stderr) => self.error(&opening, error, &stderr.text()),
        }
    }

    /// Begins to wait for the other side, for the log.
    pub fn waiting_for(&self, cause: &'static str) -> RoundTrip {
        RoundTrip::begin(self.side, cause)
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

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.side, self.url)
    }
}
