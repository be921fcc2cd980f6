//! A dump at an address of the web: asked for where it has changed, and gone on with where a connection breaks.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::Bytes;
use indicatif::HumanBytes;
use reqwest::header::{
    CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, RANGE, RETRY_AFTER,
};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::{sleep, timeout};
use url::Url;

use super::source::Version;
use crate::config::{DumpSource, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::git::transport::{Clients, Reach, innermost, sending};
use crate::retry_after::retry_after;
use crate::server::pace::{Pace, TooSlow};

/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// A server that asks to wait longer than this is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A dump that is being received.
pub(super) struct Download {
    remote: Remote,
    response: Response,
    version: Version,
    length: Option<u64>,
    received: u64,
    /// How often it is gone on with after the connection breaks.
    retries: u32,
    pace: Pace,
}

impl Download {
    /// Requests the dump, and again where the failure may pass; `None` where it is the known one.
    pub(super) async fn begin(
        config: &ServeConfig,
        url: &Url,
        known: &Version,
    ) -> Result<Option<Self>> {
        let remote = Remote::new(config, url)?;
        let response = remote.request(|request| unless(request, known)).await?;
        if response.status() == StatusCode::NOT_MODIFIED && known.is_known() {
            return Ok(None);
        }
        if response.status() != StatusCode::OK {
            return Err(remote.refused(&response));
        }
        Ok(Some(Self {
            version: Version {
                tag: text(response.headers(), ETAG),
                modified: text(response.headers(), LAST_MODIFIED),
            },
            length: response.content_length(),
            received: 0,
            retries: remote.retries,
            pace: Pace::new(remote.idle_timeout),
            response,
            remote,
        }))
    }

    /// Returns its length in bytes, where the server says so.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Returns which dump it is.
    pub(super) fn version(&self) -> &Version {
        &self.version
    }

    /// Returns the next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let next = self.pace.wait(self.response.chunk(), |piece| match piece {
                Ok(Some(piece)) => piece.len(),
                _ => 0,
            });
            let failure = match next.await {
                Ok(Ok(piece)) => {
                    self.received += piece.as_ref().map_or(0, Bytes::len) as u64;
                    return Ok(piece);
                }
                Ok(Err(error)) => self.broken(&error),
                Err(slow) => self.stalled(slow),
            };
            if self.retries == 0 || !self.go_on().await? {
                return Err(failure);
            }
        }
    }

    /// Makes the error of a body that ended before its end.
    fn broken(&self, error: &reqwest::Error) -> Error {
        let place = self.remote.place();
        let received = HumanBytes(self.received);
        let (what, advice) = match self.length {
            Some(length) => (
                format!(
                    "the connection ended after {received} of the dump's {}",
                    HumanBytes(length)
                ),
                "Try again. If it always ends there, the file on that host is cut, or a proxy on the way cuts it: fetch it in another \
                 way, and name the file.",
            ),
            None => (
                format!("the connection broke after {received} of the dump"),
                "Try again. If it goes on, look at the proxies and firewalls on the way, or fetch it in another way, and name the file.",
            ),
        };
        let error = innermost(error);
        Error::new(Kind::Network, format!("{place}: {what}"))
            .because(error)
            .advise(advice)
    }

    fn stalled(&self, slow: TooSlow) -> Error {
        let text = format!("{}: the host {slow}", self.remote.place());
        Error::new(Kind::Network, text)
            .advise("Try again. If the host needs longer than that, raise `network.idle_timeout`.")
    }

    /// Requests the rest of the same dump; says whether the server sends it.
    async fn go_on(&mut self) -> Result<bool> {
        self.retries -= 1;
        // A weak one may stand for other bytes.
        let Some(tag) = self.version.tag.clone().filter(|tag| tag.starts_with('"')) else {
            return Ok(false);
        };
        let range = format!("bytes={}-", self.received);
        let rest = |request: RequestBuilder| {
            let request = request.header(RANGE, range.as_str());
            request.header(IF_RANGE, tag.as_str())
        };
        let response = self.remote.request(rest).await?;
        let place = format!("bytes {}-", self.received);
        let is_rest = response.status() == StatusCode::PARTIAL_CONTENT
            && text(response.headers(), CONTENT_RANGE).is_some_and(|at| at.starts_with(&place));
        if is_rest {
            self.response = response;
            self.pace = Pace::new(self.remote.idle_timeout);
        }
        Ok(is_rest)
    }
}

/// An address of the web, and how it is asked.
struct Remote {
    clients: Clients,
    reach: Reach,
    url: Url,
    retries: u32,
    idle_timeout: Duration,
}

impl Remote {
    fn new(config: &ServeConfig, url: &Url) -> Result<Self> {
        // Whoever runs this named the host. A redirect of it must not lead into the network that this machine is in, unless
        // the host is there itself.
        let host = url.host_str();
        let host = host.map(|host| host.trim_matches(['[', ']']).to_owned());
        let named = config.serve.allow_private.iter().cloned();
        let named = named
            .chain(host.clone())
            .chain(config.network.proxies.hosts());
        let reach = Reach::new(host.as_deref(), named);
        let agent = config.user_agent();
        let limits = config.network.limits();
        Ok(Self {
            clients: Clients::for_foreign_urls(&limits, &agent, REDIRECTS, reach.clone())?,
            reach,
            url: url.clone(),
            retries: config.network.retries,
            idle_timeout: config.network.idle_timeout,
        })
    }

    /// Sends a request, and again where the failure may pass.
    async fn request(
        &self,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        let waits = ExponentialBuilder::default()
            .with_jitter()
            .with_max_times(self.retries as usize);
        for wait in waits.build() {
            match self.request_once(&prepare).await {
                Err(error) if error.is_transient() => {
                    let asked = error.retry_after().unwrap_or(wait);
                    if asked > LONGEST_WAIT {
                        return Err(error);
                    }
                    sleep(asked).await;
                }
                done => return done,
            }
        }
        self.request_once(&prepare).await
    }

    async fn request_once(
        &self,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response> {
        let within_reach = self.reach.check(&self.url).await;
        within_reach.map_err(|why| Error::new(Kind::Config, why.to_string()))?;
        let client = self.clients.for_url(&self.url)?;
        let request = prepare(client.get(self.url.clone()));
        let response = match timeout(self.idle_timeout, request.send()).await {
            Ok(response) => response
                .map_err(|error| sending(&self.url, self.clients.proxy_of(&self.url), error))?,
            Err(_) => {
                let limit = humantime::format_duration(self.idle_timeout);
                let text = format!("{}: no response within {limit}", self.place());
                return Err(Error::new(Kind::Network, text).advise(
                    "Try again. If the host needs longer than that, raise `network.idle_timeout`.",
                ));
            }
        };
        let status = response.status();
        match status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            true => Err(self.refused(&response)),
            false => Ok(response),
        }
    }

    fn refused(&self, response: &Response) -> Error {
        let status = response.status();
        let said = format!("{} responds with {status}", self.place());
        let advice = match status {
            StatusCode::TOO_MANY_REQUESTS => {
                "Wait before the next try, or import less often (`catalog.import_every`)."
            }
            status if status.is_server_error() => {
                "Try again later: the fault is with the host. If it persists, download the dump yourself and pass the file."
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "Use an address that needs no credentials, since none are sent, or download the dump yourself and pass the file."
            }
            _ => "Set catalog.import to the address of crates.io's db-dump.tar.gz.",
        };
        let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let kind = if passes { Kind::Server } else { Kind::Config };
        let asked = text(response.headers(), RETRY_AFTER).filter(|_| passes);
        let asked = asked.and_then(|asked| retry_after(&asked, SystemTime::now()));
        Error::new(kind, said).after(asked).advise(advice)
    }

    /// Names the address without its query, which may be a signature.
    fn place(&self) -> String {
        DumpSource::Address(self.url.clone()).to_string()
    }
}

fn unless(request: RequestBuilder, known: &Version) -> RequestBuilder {
    let headers = [
        (IF_NONE_MATCH, &known.tag),
        (IF_MODIFIED_SINCE, &known.modified),
    ];
    headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        .fold(request, |request, (name, value)| {
            request.header(name, value)
        })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}
