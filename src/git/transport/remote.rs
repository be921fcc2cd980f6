//! A repository, and the transport that reaches it.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use tracing::debug;

use super::git::GitRemote;
use super::http::HttpRemote;
use super::local::LocalRemote;
use super::ssh::SshRemote;
use super::{Connection, Credentials, Limits, Service, Stream, Traffic, explain};
use crate::error::{Error, Result};
use crate::git::RemoteUrl;
use crate::git::wire::{self, Advertisement, PacketReader, PacketTrace};

/// A repository, by its role, and the transport that reaches it.
pub struct Remote {
    role: &'static str,
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
    /// Prepares a repository without opening a connection. `role` is its name in messages, for example `mirror`.
    ///
    /// # Errors
    /// `config` for an unusable key, certificate or known hosts file.
    pub fn new(
        role: &'static str,
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
                Host::Http(Arc::new(remote))
            }
            RemoteUrl::Local(path) => Host::Local(LocalRemote::new(path, limits)),
            RemoteUrl::Ssh(address) => {
                Host::Ssh(SshRemote::new(address.clone(), &credentials.ssh, limits)?)
            }
        };
        Ok(Self {
            role,
            url: url.clone(),
            host,
            traffic,
            trace: PacketTrace::new(role, secrets(url, credentials)),
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
                let stream = remote.open(service, v2).await?;
                self.trace.sent(remote.request(service, v2)?.as_bytes());
                self.connection(stream, service).await
            }
            Host::Local(remote) => self.connection(remote.open(service).await?, service).await,
            Host::Ssh(remote) => {
                self.connection(remote.open(service, v2).await?, service)
                    .await
            }
            Host::Http(remote) => {
                let reader = remote.advertisement(service, v2).await?;
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

    async fn connection(&self, stream: Stream, service: Service) -> Result<Connection> {
        let reader = self.traffic.count_reads(stream.reader);
        let writer = self.traffic.count_writes(stream.writer);
        let mut packets = PacketReader::new(reader).traced(self.trace.clone());
        let advertisement = Advertisement::read(&mut packets)
            .await
            .map_err(|error| self.error(&opening(service), error, &stream.stderr.text()))?;
        self.log_opened(service, &advertisement);
        Ok(Connection::stream(
            packets,
            writer,
            stream.stderr,
            advertisement,
            self.trace.clone(),
        ))
    }

    fn log_opened(&self, service: Service, advertisement: &Advertisement) {
        let protocol = advertisement.protocol;
        debug!("{self}: {} speaks {protocol:?}", service.name());
    }

    /// Makes the error of a failure on this remote; `stderr` is what the service wrote to its error output.
    pub fn error(&self, doing: &str, error: wire::Error, stderr: &str) -> Error {
        explain::explain(&self.to_string(), doing, error, stderr)
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

fn opening(service: Service) -> String {
    format!("opening {}", service.name())
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.url)
    }
}
