//! Sends upstream's HTTP requests, again where a failure may pass. Uses reqwest.

use std::sync::OnceLock;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::header::{HeaderMap, RANGE, RETRY_AFTER, VIA};
use reqwest::{Response, StatusCode};
use tokio::time::{sleep, timeout};
use url::Url;

use super::circuit_breaker::CircuitBreaker;
use super::unavailable::Unavailable;
use crate::config::ServeConfig;
use crate::error::Result;
use crate::git::transport::Clients;

/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// The failure in a row with which upstream begins to be paused.
const FAILURES: u32 = 5;
/// A server that asks for a longer wait than this is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Sends requests for crate files.
pub(super) struct UpstreamClient {
    clients: Clients,
    /// Names this process, should its own requests come back to it.
    via: String,
    pub(super) retries: u32,
    pub(super) idle_timeout: Duration,
    pub(super) breaker: CircuitBreaker,
}

impl UpstreamClient {
    pub(super) fn new(config: &ServeConfig) -> Result<Self> {
        let contact = config.serve.contact.as_deref();
        let agent = match contact {
            Some(contact) => format!("crates-ferry/{} ({contact})", env!("CARGO_PKG_VERSION")),
            None => format!("crates-ferry/{}", env!("CARGO_PKG_VERSION")),
        };
        Ok(Self {
            clients: Clients::with_agent(&config.network.limits(), &agent, REDIRECTS)?,
            via: format!("1.1 {}", instance()),
            retries: config.network.retries,
            idle_timeout: config.network.idle_timeout,
            breaker: CircuitBreaker::new(FAILURES),
        })
    }

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
                    self.breaker.failed(asked);
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

    /// Refuses while upstream is paused.
    pub(super) fn check_pause(&self) -> Result<(), Unavailable> {
        self.breaker
            .pause()
            .map_or(Ok(()), |seconds| Err(Unavailable::Paused(seconds)))
    }
}

enum Refused {
    ForGood(Unavailable),
    /// With the time that the server asks us to wait.
    ForNow(Unavailable, Option<Duration>),
}

/// Returns the name by which this process knows its own requests, should they come back to it (`Via`).
pub fn instance() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("crates-ferry-{:016x}", fastrand::u64(..)))
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
