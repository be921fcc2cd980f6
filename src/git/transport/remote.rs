//! A repository somewhere, and how to reach it.

use std::fmt;
use std::sync::Arc;

use tracing::debug;

use super::git::GitRemote;
use super::http::{self, HttpRemote};
use super::local::LocalRemote;
use super::ssh::SshRemote;
use super::stream::Counted;
use super::{Connection, Service, Stream, Traffic, refusal};
use crate::config::{Config, Network, RemoteUrl, Secrets, ServeConfig};
use crate::error::{Error, Result};
use crate::git::wire::{self, Advertisement, PacketReader};

/// One of the two repositories that we work with.
pub struct Remote {
    role: &'static str,
    url: RemoteUrl,
    host: Host,
    traffic: Arc<Traffic>,
}

enum Host {
    Git(GitRemote),
    Http(Arc<HttpRemote>),
    Local(LocalRemote),
    Ssh(SshRemote),
}

impl Remote {
    /// Prepares the upstream repository; nothing is opened yet. Our secrets never go there.
    ///
    /// # Errors
    /// `config` for an unusable key, certificate or known hosts file.
    pub fn upstream(config: &Config) -> Result<Self> {
        let url = &config.upstream.url;
        let credentials = http::url_credentials(url);
        Self::new(
            "upstream",
            url,
            credentials,
            &config.secrets,
            &config.network,
        )
    }

    /// Prepares the mirror's repository; nothing is opened yet.
    ///
    /// # Errors
    /// As [`Remote::upstream`].
    pub fn mirror(config: &Config) -> Result<Self> {
        let url = &config.mirror.url;
        let credentials = http::credentials(url, &config.secrets);
        Self::new("mirror", url, credentials, &config.secrets, &config.network)
    }

    /// Prepares the repository that the server copies; nothing is opened yet. Only the mirror's host gets its token.
    ///
    /// # Errors
    /// As [`Remote::upstream`].
    pub fn index(config: &ServeConfig) -> Result<Self> {
        let url = &config.index.url;
        let credentials = match config.index.is_ours {
            true => http::credentials(url, &config.secrets),
            false => http::url_credentials(url),
        };
        Self::new("index", url, credentials, &config.secrets, &config.network)
    }

    /// Prepares the upstream repository of a server, whose `config.json` says where crate files are.
    ///
    /// # Errors
    /// As [`Remote::upstream`].
    pub fn upstream_of(config: &ServeConfig) -> Result<Self> {
        let url = &config.upstream.url;
        let credentials = http::url_credentials(url);
        Self::new(
            "upstream",
            url,
            credentials,
            &config.secrets,
            &config.network,
        )
    }

    fn new(
        role: &'static str,
        url: &RemoteUrl,
        credentials: Option<http::Credentials>,
        secrets: &Secrets,
        network: &Network,
    ) -> Result<Self> {
        let traffic = Arc::<Traffic>::default();
        let host = match url {
            RemoteUrl::Git { host, port, path } => {
                Host::Git(GitRemote::new(host, *port, path, network))
            }
            RemoteUrl::Http { url, .. } => {
                let remote = HttpRemote::new(url, credentials, network, Arc::clone(&traffic))?;
                Host::Http(Arc::new(remote))
            }
            RemoteUrl::Local(path) => Host::Local(LocalRemote::new(path, network)),
            RemoteUrl::Ssh(address) => {
                Host::Ssh(SshRemote::new(address.clone(), secrets, network)?)
            }
        };
        Ok(Self {
            role,
            url: url.clone(),
            host,
            traffic,
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
            Host::Git(remote) => self.greet(remote.open(service, v2).await?, service).await,
            Host::Local(remote) => self.greet(remote.open(service).await?, service).await,
            Host::Ssh(remote) => self.greet(remote.open(service, v2).await?, service).await,
            Host::Http(remote) => {
                let mut packets = PacketReader::new(remote.advertisement(service, v2).await?);
                let advertisement = Advertisement::read(&mut packets)
                    .await
                    .map_err(|error| self.error(&opening(service), error, ""))?;
                self.log_opened(service, &advertisement);
                Ok(Connection::http(Arc::clone(remote), service, advertisement))
            }
        }
    }

    async fn greet(&self, stream: Stream, service: Service) -> Result<Connection> {
        let reader = Counted::new(stream.reader, Arc::clone(&self.traffic));
        let writer = Counted::new(stream.writer, Arc::clone(&self.traffic));
        let mut packets = PacketReader::new(Box::new(reader) as super::Reader);
        let advertisement = Advertisement::read(&mut packets)
            .await
            .map_err(|error| self.error(&opening(service), error, &stream.stderr.text()))?;
        self.log_opened(service, &advertisement);
        Ok(Connection::stream(
            packets,
            Box::new(writer),
            stream.stderr,
            advertisement,
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

fn opening(service: Service) -> String {
    format!("opening {}", service.name())
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.url)
    }
}
