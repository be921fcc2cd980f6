//! Upstream's crate files, over HTTP.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::receive::Incoming;
use super::resume::ResumableBody;
use super::unavailable::Unavailable;
use super::upstream_client::UpstreamClient;
use super::upstream_dl::UpstreamDl;
use crate::config::ServeConfig;
use crate::error::Result;
use crate::index::CrateFile;
use crate::index::download::download_url;
use crate::server::store::Scratch;

/// How many files may wait for a connection.
// More than these would time out before their turn: 503 with `Retry-After` tells them so at once.
const WAITING: usize = 1024;

/// The server that crate files come from, and the connections to it that may be used at once.
pub(super) struct Upstream {
    client: Arc<UpstreamClient>,
    connections: Arc<Semaphore>,
    waiting: Semaphore,
    dl: UpstreamDl,
}

impl Upstream {
    pub(super) fn new(config: &ServeConfig, scratch: &Scratch) -> Result<Self> {
        Ok(Self {
            client: Arc::new(UpstreamClient::new(config)?),
            connections: Arc::new(Semaphore::new(config.serve.upstream_connections as usize)),
            waiting: Semaphore::new(WAITING),
            dl: UpstreamDl::new(config, scratch)?,
        })
    }

    /// Returns the URL of a file.
    pub(super) async fn url(&self, file: &CrateFile) -> Result<Url, Unavailable> {
        let dl = self.dl.get().await?;
        let text = download_url(&dl, file);
        Url::parse(&text).map_err(|error| Unavailable::Upstream(format!("{text}: {error}")))
    }

    /// Waits for a connection, to be held until all is read.
    ///
    /// # Errors
    /// `Busy` if too many wait already.
    pub(super) async fn connection(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        // Only those that have to wait count as waiting.
        if let Ok(connection) = Arc::clone(&self.connections).try_acquire_owned() {
            return Ok(connection);
        }
        let _waiting = self.waiting.try_acquire().map_err(|_| Unavailable::Busy)?;
        let connection = Arc::clone(&self.connections).acquire_owned().await;
        // Cannot fail: the semaphore is never closed.
        connection.map_err(|error| Unavailable::Upstream(error.to_string()))
    }

    /// Requests a file; its bytes are resumed if the connection is cut.
    pub(super) async fn fetch(&self, url: Url) -> Result<Incoming, Unavailable> {
        let response = self.client.request(&url, 0).await?;
        Ok(ResumableBody::new(Arc::clone(&self.client), url, response).into_incoming())
    }

    /// Refuses while upstream is paused, since it failed too often.
    pub(super) fn check_pause(&self) -> Result<(), Unavailable> {
        self.client.check_pause()
    }

    /// Notes that a file was fetched and verified: a response that begins well proves little.
    pub(super) fn succeeded(&self) {
        self.client.breaker.succeeded();
    }
}
