//! The `git://` transport: a plain TCP connection to a git daemon.

use tokio::io::AsyncWriteExt;
use tokio::time::timeout_at;

use super::ahead::Ahead;
use super::quick_ack::QuickAck;
use super::{Service, Stderr, Stream, idle, tcp};
use crate::error::{Error, Kind, Result};
use crate::transport::Limits;

/// A repository behind a git daemon. Each service is opened on its own connection.
#[derive(Debug)]
pub struct GitRemote {
    host: String,
    port: u16,
    path: String,
    limits: Limits,
    ahead: Ahead<QuickAck>,
}

impl GitRemote {
    /// Names the repository `path` (with its leading slash) at `host` and `port`.
    pub fn new(
        host: impl Into<String>,
        port: u16,
        path: impl Into<String>,
        limits: &Limits,
    ) -> Self {
        Self {
            host: host.into(),
            port,
            path: path.into(),
            limits: limits.clone(),
            ahead: Ahead::default(),
        }
    }

    /// Begins to connect, for a service that may be opened soon.
    pub(super) fn connect_ahead(&self) {
        let deadline = tcp::deadline(self.limits.connect_timeout);
        let (host, port) = (self.host.clone(), self.port);
        self.ahead
            .begin(async move { tcp::connect(&host, port, deadline).await.ok() });
    }

    /// Says whether a connection was begun ahead.
    pub(super) fn is_connected_ahead(&self) -> bool {
        self.ahead.is_begun()
    }

    /// Connects and requests a service; the next bytes read are its advertisement. `v2` requests protocol version 2.
    ///
    /// # Errors
    /// `network` where the daemon cannot be reached in time, `config` for a path that cannot be requested.
    pub async fn open(&self, service: Service, v2: bool) -> Result<Stream> {
        let request = self.request(service, v2)?;
        let deadline = tcp::deadline(self.limits.connect_timeout);
        let mut connection = match self.ahead.take().await {
            Some(connection) => connection,
            None => tcp::connect(&self.host, self.port, deadline).await?,
        };
        tracing::debug!(url = %self.url(), service = service.name(), v2, "opening over git://");
        timeout_at(deadline, connection.write_all(request.as_bytes()))
            .await
            .unwrap_or_else(|elapsed| Err(elapsed.into()))
            .map_err(|error| {
                let url = self.url();
                Error::new(
                    Kind::Network,
                    format!("cannot request {} from {url}", service.name()),
                )
                .because(error)
            })?;
        let (reader, writer) = tokio::io::split(connection);
        let idle_timeout = self.limits.idle_timeout;
        Ok(idle::stream(
            reader,
            writer,
            Stderr::default(),
            idle_timeout,
        ))
    }

    /// Returns the request to the daemon (`gitprotocol-pack`, "Git Transport"): one packet, `PROGRAM PATH NUL host=HOST NUL`
    /// and, after one more NUL, the version. `receive-pack` has no version 2.
    pub(super) fn request(&self, service: Service, v2: bool) -> Result<String> {
        let version = match service {
            Service::UploadPack if v2 => "\0version=2\0",
            _ => "",
        };
        let place = tcp::host_and_port(&self.host, self.port);
        let line = format!("{} {}\0host={place}\0{version}", service.name(), self.path);
        let length = line.len() + 4;
        // 0xfff0 is the longest packet. A NUL in the path would end it and begin a `host=` of the path's own.
        if length > 0xfff0 || self.path.contains(['\0', '\n']) {
            let message = format!("the path of {} cannot be sent to a git daemon", self.url());
            return Err(Error::new(Kind::Config, message)
                .advise("Use a shorter path without line breaks and zero bytes."));
        }
        Ok(format!("{length:04x}{line}"))
    }

    fn url(&self) -> String {
        let place = tcp::host_and_port(&self.host, self.port);
        format!("git://{place}{}", self.path.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::transport::Proxies;

    fn remote(path: &str) -> GitRemote {
        let limits = Limits {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            extra_cas: None,
            proxies: Proxies::default(),
        };
        GitRemote::new("git.example", 9418, path, &limits)
    }

    #[test]
    fn a_fetch_requests_version_2_after_the_host() {
        let request = remote("/index").request(Service::UploadPack, true).unwrap();
        let line = "git-upload-pack /index\0host=git.example:9418\0\0version=2\0";
        assert_eq!(request, format!("003c{line}"));
        assert_eq!(0x3c, line.len() + 4);
    }

    #[test]
    fn a_push_and_version_0_name_no_version() {
        let push = remote("/index")
            .request(Service::ReceivePack, true)
            .unwrap();
        assert!(push.ends_with("git-receive-pack /index\0host=git.example:9418\0"));
        let fetch = remote("/index")
            .request(Service::UploadPack, false)
            .unwrap();
        assert!(fetch.ends_with("git-upload-pack /index\0host=git.example:9418\0"));
    }

    #[test]
    fn a_path_that_would_forge_the_request_is_refused() {
        for path in [
            "/index\0host=other.example",
            "/a\nb",
            &"/long".repeat(20_000),
        ] {
            let error = remote(path).request(Service::UploadPack, true).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
        }
    }
}
