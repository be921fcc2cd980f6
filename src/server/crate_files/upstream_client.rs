//! Sends HTTP requests to upstream, and retries them if the failure may pass. Uses reqwest.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use reqwest::header::{HeaderMap, RANGE, RETRY_AFTER, VIA};
use reqwest::{Response, StatusCode};
use tokio::time::{sleep, timeout};
use url::Url;

use super::circuit_breaker::CircuitBreaker;
use super::unavailable::Unavailable;
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::git::transport::{
    Clients, PROXY_ADVICE, Proxy, Reach, Refused, innermost, refusal, refused, unreachable,
};
use crate::retry_after::retry_after;

/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// The failure in a row with which upstream is paused.
const FAILURES: u32 = 5;
/// A request is not retried if the server asks to wait longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Sends requests for crate files.
pub(super) struct UpstreamClient {
    clients: Clients,
    reach: Reach,
    /// Names this process, should its own requests come back to it.
    via: String,
    pub(super) retries: u32,
    pub(super) idle_timeout: Duration,
    pub(super) breaker: CircuitBreaker,
}

impl UpstreamClient {
    pub(super) fn new(config: &ServeConfig) -> Result<Self> {
        let agent = config.user_agent();
        let reach = reach(config);
        let limits = config.network.limits();
        Ok(Self {
            clients: Clients::for_foreign_urls(&limits, &agent, REDIRECTS, reach.clone())?,
            reach,
            // A proxy finds loops by its own name in `Via` (RFC 9110, section 7.6.3).
            via: format!("1.1 {}", instance()),
            retries: config.network.retries,
            idle_timeout: config.network.idle_timeout,
            breaker: CircuitBreaker::new(FAILURES),
        })
    }

    /// Requests the bytes after the first `from`, and retries with backoff if the failure may pass.
    pub(super) async fn request(&self, url: &Url, from: u64) -> Result<Response, Unavailable> {
        self.check_pause()?;
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(3))
            .with_jitter()
            .with_max_times(self.retries as usize)
            .build();
        let mut waits = waits.into_iter();
        loop {
            let (why, retry_after) = match self.request_once(url, from).await {
                Ok(response) => return Ok(response),
                Err(Failure::Permanent(why)) => return Err(why),
                Err(Failure::Transient(why, retry_after)) => (why, retry_after),
            };
            match (waits.next(), retry_after) {
                // A client does not wait longer than a few seconds for one file.
                (Some(wait), asked) if asked.is_none_or(|asked| asked <= LONGEST_WAIT) => {
                    sleep(asked.unwrap_or(wait)).await;
                }
                (_, asked) => {
                    self.breaker.failed(asked);
                    return Err(why);
                }
            }
        }
    }

    async fn request_once(&self, url: &Url, from: u64) -> Result<Response, Failure> {
        let within_reach = self.reach.check(url).await;
        within_reach.map_err(|why| Failure::Permanent(out_of_reach(&why)))?;
        let client = self.clients.for_url(url);
        let client =
            client.map_err(|e| Failure::Permanent(Unavailable::Unfetchable(e.to_string())))?;
        let mut request = client.get(url.clone()).header(VIA, &self.via);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let limit = humantime::format_duration(self.idle_timeout);
        let proxy = self.clients.proxy_of(url);
        let response = match timeout(self.idle_timeout, request.send()).await {
            Ok(Ok(response)) => response,
            // A retry would follow the same redirects, to the same addresses.
            Ok(Err(error)) if error.is_redirect() || refused(&error).is_some() => {
                return Err(Failure::Permanent(failure_of(&error, proxy)));
            }
            Ok(Err(error)) => {
                return Err(match failure_of(&error, proxy) {
                    why @ Unavailable::Unfetchable(_) => Failure::Permanent(why),
                    why => Failure::Transient(why, None),
                });
            }
            Err(_) => {
                let place = place(url);
                let text = format!("{place}: no response within {limit}");
                return Err(Failure::Transient(Unavailable::Timeout(text), None));
            }
        };
        judge(response, from)
    }

    /// Refuses while upstream is paused.
    pub(super) fn check_pause(&self) -> Result<(), Unavailable> {
        self.breaker
            .pause()
            .map_or(Ok(()), |seconds| Err(Unavailable::Paused(seconds)))
    }
}

/// Returns where crate files may be fetched from: whoever writes the index, or the host that it names, must not make this server
/// ask the network that it is in.
fn reach(config: &ServeConfig) -> Reach {
    let serve = &config.serve;
    // Markers such as `{crate}` come after the host.
    let dl = serve.dl.as_ref().and_then(|dl| Url::parse(dl).ok());
    let dl = dl.and_then(|dl| dl.host_str().map(without_brackets));
    let proxies = config.network.proxies.hosts();
    let named = serve.allow_private.iter().cloned().chain(dl).chain(proxies);
    Reach::new(config.upstream.url.host(), named)
}

fn without_brackets(host: &str) -> String {
    host.trim_matches(['[', ']']).to_owned()
}

/// Why a request failed.
enum Failure {
    Permanent(Unavailable),
    /// With the time that the server asks to wait (`Retry-After`).
    Transient(Unavailable, Option<Duration>),
}

/// Takes a response that has what was asked for, from this byte on.
fn judge(response: Response, from: u64) -> Result<Response, Failure> {
    let status = response.status();
    // After redirects.
    let place = place(response.url());
    let answer = match cure(status) {
        Some(cure) => format!("{place} responds with {status} ({cure})"),
        None => format!("{place} responds with {status}"),
    };
    match status {
        StatusCode::OK => Ok(response),
        // Only if a range was requested.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => Ok(response),
        // S3 answers 403 for an object that does not exist to those who may not list the bucket.
        StatusCode::NOT_FOUND
        | StatusCode::FORBIDDEN
        | StatusCode::GONE
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => {
            Err(Failure::Permanent(Unavailable::Missing(answer)))
        }
        _ => {
            let may_pass = status.is_server_error()
                || matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                );
            Err(match may_pass {
                true => Failure::Transient(
                    Unavailable::Upstream(answer),
                    requested_wait(response.headers()),
                ),
                false => Failure::Permanent(Unavailable::Unfetchable(answer)),
            })
        }
    }
}

/// Returns the name by which this process knows its own requests, should they come back to it (`Via`).
pub fn instance() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    // Random: servers behind one balancer have the same configuration, and are no loop.
    NAME.get_or_init(|| format!("crates-ferry-{:016x}", fastrand::u64(..)))
}

/// Returns what to do about a status that no retry changes.
fn cure(status: StatusCode) -> Option<&'static str> {
    match status {
        StatusCode::UNAUTHORIZED => Some(
            "Set `serve.dl` to a host that needs no login: crate files are fetched without credentials.",
        ),
        StatusCode::FORBIDDEN => Some(
            "A bucket that denies listing answers this for a missing file, and a proxy or firewall for a blocked one.",
        ),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Some(PROXY_ADVICE),
        _ => None,
    }
}

/// Says why a host is not asked, and what to do if it should be.
fn out_of_reach(refused: &Refused) -> Unavailable {
    let cure = match refused.is_private() {
        true => "; if it is meant, name the host in serve.allow_private",
        false => "",
    };
    Unavailable::Unfetchable(format!("{refused}{cure}"))
}

/// Describes in one line why a request through `proxy` failed, without the path of its URL.
pub(super) fn failure_of(error: &reqwest::Error, proxy: Option<&Proxy>) -> Unavailable {
    if let Some(refused) = refused(error) {
        return out_of_reach(refused);
    }
    let place = error.url().map_or_else(|| "upstream".to_owned(), place);
    let host = error.url().and_then(Url::host_str).unwrap_or("upstream");
    if let Some(error) = proxy.and_then(|proxy| proxy.explain(host, error)) {
        return failed(error.kind(), told(&error));
    }
    if let Some(refusal) = refusal(error) {
        let (cause, advice) = (refusal.cause, refusal.advice);
        return Unavailable::Unfetchable(format!(
            "{place}: the server's certificate is not trusted: {cause} ({advice})"
        ));
    }
    let cause = innermost(error);
    match error {
        error if error.is_redirect() => Unavailable::Unfetchable(format!("{place}: {cause}")),
        error if error.is_timeout() => Unavailable::Timeout(format!("{place}: {cause}")),
        error => Unavailable::Upstream(format!("{place}: {}: {cause}", unreachable(error).0)),
    }
}

/// A proxy that wants another login refuses the next request, too.
fn failed(kind: Kind, text: String) -> Unavailable {
    match kind.is_transient() {
        true => Unavailable::Upstream(text),
        false => Unavailable::Unfetchable(text),
    }
}

/// Returns an error and its advice on one line.
fn told(error: &Error) -> String {
    match error.advice() {
        Some(advice) => format!("{error} ({advice})"),
        None => error.to_string(),
    }
}

/// Returns scheme, host and port, and no more of a URL: the rest may be signed.
fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The `headers` crate parses it, but does not give out what it parsed.
fn requested_wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    // A wait of no time is no reason to ask without a pause.
    retry_after(text, SystemTime::now()).filter(|wait| !wait.is_zero())
}
