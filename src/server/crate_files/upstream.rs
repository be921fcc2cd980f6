//! Upstream's crate files, over HTTP. Uses reqwest.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::header::{HeaderMap, RANGE, RETRY_AFTER, VIA};
use reqwest::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use url::Url;

use super::Unavailable;
use super::circuit_breaker::CircuitBreaker;
use super::receive::Incoming;
use super::resume::Reading;
use super::upstream_dl::UpstreamDl;
use crate::config::ServeConfig;
use crate::error::Result;
use crate::git::transport::Clients;
use crate::index::CrateFile;
use crate::index::download::download_url;
use crate::server::store::Scratch;

/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// With so many failures in a row upstream begins to be left alone for a while.
const FAILURES: u32 = 5;
/// How many files may wait for a place.
const WAITING: usize = 1024;

/// Where crate files come from.
pub(super) struct Upstream {
    client: Arc<Asking>,
    places: Arc<Semaphore>,
    waiting: Semaphore,
    dl: UpstreamDl,
}

/// What it takes to ask.
pub(super) struct Asking {
    clients: Clients,
    /// Tells our own requests, should they come back to us.
    via: String,
    pub(super) retries: u32,
    pub(super) idle_timeout: Duration,
    pub(super) trouble: CircuitBreaker,
}

impl Upstream {
    pub(super) fn new(config: &ServeConfig, scratch: &Scratch) -> Result<Self> {
        let contact = config.serve.contact.as_deref();
        let agent = match contact {
            Some(contact) => format!("crates-ferry/{} ({contact})", env!("CARGO_PKG_VERSION")),
            None => format!("crates-ferry/{}", env!("CARGO_PKG_VERSION")),
        };
        let asking = Asking {
            clients: Clients::with_agent(&config.network.limits(), &agent, REDIRECTS)?,
            via: format!("1.1 {}", super::instance()),
            retries: config.network.retries,
            idle_timeout: config.network.idle_timeout,
            trouble: CircuitBreaker::new(FAILURES),
        };
        Ok(Self {
            client: Arc::new(asking),
            places: Arc::new(Semaphore::new(config.serve.upstream_connections as usize)),
            waiting: Semaphore::new(WAITING),
            dl: UpstreamDl::new(config, scratch)?,
        })
    }

    /// Returns where upstream keeps a file.
    pub(super) async fn url(&self, file: &CrateFile) -> Result<Url, Unavailable> {
        let dl = self.dl.get().await?;
        let text = download_url(&dl, file);
        Url::parse(&text).map_err(|error| Unavailable::Upstream(format!("{text}: {error}")))
    }

    /// Waits for a place, which is to be held until all is read; where too many wait already it is refused.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = self.waiting.try_acquire().map_err(|_| Unavailable::Busy)?;
        let place = Arc::clone(&self.places).acquire_owned().await;
        place.map_err(|error| Unavailable::Upstream(error.to_string()))
    }

    /// Asks for a file.
    pub(super) async fn fetch(&self, url: Url) -> Result<Incoming, Unavailable> {
        let response = self.client.ask(&url, 0).await?;
        Ok(Reading::new(Arc::clone(&self.client), url, response).into_incoming())
    }

    /// Leaves upstream alone while it is in trouble.
    pub(super) fn check_pause(&self) -> Result<(), Unavailable> {
        self.client.check_pause()
    }

    /// Notes that a file was had, and is right: that an answer begins well says little.
    pub(super) fn succeeded(&self) {
        self.client.trouble.succeeded();
    }
}

impl Asking {
    /// Asks for what comes after the first `from` bytes, again where the failure may pass.
    pub(super) async fn ask(&self, url: &Url, from: u64) -> Result<Response, Unavailable> {
        self.check_pause()?;
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(3))
            .with_jitter()
            .with_max_times(self.retries as usize)
            .build();
        let mut waits = waits.into_iter();
        loop {
            let (failure, retry_after) = match self.ask_once(url, from).await {
                Ok(response) => return Ok(response),
                Err(Refused::ForGood(failure)) => return Err(failure),
                Err(Refused::ForNow(failure, retry_after)) => (failure, retry_after),
            };
            match (waits.next(), retry_after) {
                // Nobody waits longer than a few seconds for one file.
                (Some(wait), asked) if asked.is_none_or(|asked| asked <= LONGEST_WAIT) => {
                    sleep(asked.unwrap_or(wait)).await;
                }
                (_, asked) => {
                    self.trouble.failed(asked);
                    return Err(failure);
                }
            }
        }
    }

    async fn ask_once(&self, url: &Url, from: u64) -> Result<Response, Refused> {
        let client = self.clients.for_url(url);
        let client = client.map_err(|e| Refused::ForGood(Unavailable::Upstream(e.to_string())))?;
        let mut request = client.get(url.clone()).header(VIA, &self.via);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let limit = humantime::format_duration(self.idle_timeout);
        let response = match timeout(self.idle_timeout, request.send()).await {
            Ok(Ok(response)) => response,
            // It would lead in the same circle again.
            Ok(Err(error)) if error.is_redirect() => return Err(Refused::ForGood(unsent(&error))),
            Ok(Err(error)) => return Err(Refused::ForNow(unsent(&error), None)),
            Err(_) => {
                let text = format!("no answer within {limit}");
                return Err(Refused::ForNow(Unavailable::Slow(text), None));
            }
        };
        let status = response.status();
        let place = response.url().host_str().unwrap_or_default().to_owned();
        match status {
            StatusCode::OK => Ok(response),
            // Of a part only where one was asked for.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                Ok(response)
            }
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::GONE => {
                Err(Refused::ForGood(Unavailable::Missing(status.as_u16())))
            }
            _ => {
                let failure = Unavailable::Upstream(format!("{place} answers {status}"));
                let may_pass = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                Err(match may_pass {
                    true => Refused::ForNow(failure, retry_after(response.headers())),
                    false => Refused::ForGood(failure),
                })
            }
        }
    }

    fn check_pause(&self) -> Result<(), Unavailable> {
        self.trouble
            .pause()
            .map_or(Ok(()), |seconds| Err(Unavailable::Paused(seconds)))
    }
}

/// A longer wait is not borne for one file.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

enum Refused {
    ForGood(Unavailable),
    /// With the time that the server asks us to wait.
    ForNow(Unavailable, Option<Duration>),
}

/// Says in one line why a request failed; nothing of the address's path.
pub(super) fn unsent(error: &reqwest::Error) -> Unavailable {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let place = error.url().and_then(Url::host_str).unwrap_or("upstream");
    let text = format!("{place}: {cause}");
    match error.is_timeout() {
        true => Unavailable::Slow(text),
        false => Unavailable::Upstream(text),
    }
}

/// Reads for how long the server asks us to wait: seconds, or until a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(std::time::SystemTime::now()).ok()
        }
    }
}
