//! A repository somewhere, and how to reach it.

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use tracing::debug;

use super::git::GitRemote;
use super::http::HttpRemote;
use super::local::LocalRemote;
use super::ssh::SshRemote;
use super::stream::Counted;
use super::{Connection, Credentials, Limits, Service, Stream, Traffic, refusal};
use crate::error::{Error, Result};
use crate::git::RemoteUrl;
use crate::git::wire::{self, Advertisement, PacketReader, PacketTrace};

/// One of the two repositories that we work with.
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
    /// Prepares a repository; nothing is opened yet. `role` is what messages call it, for example `mirror`.
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

    /// Returns what was received and sent so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Opens a service and reads its advertisement; protocol v2 is asked for where it may be had.
    ///
    /// # Errors
    /// As the transport says: `network`, `host_key`, `auth`, `permission`, `server`, `config`.
    pub async fn open(&self, service: Service) -> Result<Connection> {
        let v2 = service == Service::UploadPack;
        match &self.host {
            Host::Git(remote) => {
                let stream = remote.open(service, v2).await?;
                self.trace.sent(remote.request(service, v2)?.as_bytes());
                self.greet(stream, service).await
            }
            Host::Local(remote) => self.greet(remote.open(service, v2).await?, service).await,
            Host::Ssh(remote) => self.greet(remote.open(service, v2).await?, service).await,
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

    async fn greet(&self, stream: Stream, service: Service) -> Result<Connection> {
        let reader = Counted::new(stream.reader, Arc::clone(&self.traffic));
        let writer = Counted::new(stream.writer, Arc::clone(&self.traffic));
        let reader: super::Reader = Box::new(reader);
        let mut packets = PacketReader::new(reader).traced(self.trace.clone());
        let advertisement = Advertisement::read(&mut packets)
            .await
            .map_err(|error| self.error(&opening(service), error, &stream.stderr.text()))?;
        self.log_opened(service, &advertisement);
        Ok(Connection::stream(
            packets,
            Box::new(writer),
            stream.stderr,
            advertisement,
            self.trace.clone(),
        ))
    }

    fn log_opened(&self, service: Service, advertisement: &Advertisement) {
        let protocol = advertisement.protocol;
        debug!("{self}: {} speaks {protocol:?}", service.name());
    }

    /// Says in one error what failed on this remote; `stderr` is what the service wrote to its error output.
    pub fn error(&self, doing: &str, error: wire::Error, stderr: &str) -> Error {
        refusal::explain(&self.to_string(), doing, error, stderr)
    }
}

/// Returns what a packet trace must not show. A long user may be a token, which some hosts take in that place.
fn secrets(url: &RemoteUrl, credentials: &Credentials) -> Vec<SecretString> {
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
