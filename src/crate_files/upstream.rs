//! Upstream's crate files, over HTTP. Uses reqwest.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use bytes::{Buf as _, Bytes};
use futures_util::stream::{StreamExt as _, try_unfold};
use reqwest::header::{HeaderMap, RANGE, RETRY_AFTER, VIA};
use reqwest::{Response, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use url::Url;

use super::Unavailable;
use super::receive::Incoming;
use super::upstream_dl::UpstreamDl;
use crate::config::ServeConfig;
use crate::error::Result;
use crate::index::CrateFile;
use crate::index::download::download_url;
use crate::transport::Clients;

/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// After so many failures in a row upstream is left alone for a while.
const FAILURES: u32 = 5;
/// For how long at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where crate files come from.
pub(super) struct Upstream {
    client: Arc<Asking>,
    places: Arc<Semaphore>,
    dl: UpstreamDl,
}

/// What it takes to ask.
struct Asking {
    clients: Clients,
    /// Tells our own requests, should they come back to us.
    via: String,
    retries: u32,
    idle_timeout: Duration,
    trouble: Mutex<Trouble>,
}

/// How often upstream failed in a row, and until when it is left alone.
#[derive(Default)]
struct Trouble {
    failures: u32,
    until: Option<Instant>,
}

/// Where a fetch stands: the response, and how much of it was read.
struct Reading {
    asking: Arc<Asking>,
    url: Url,
    response: Response,
    read: u64,
    /// The end of a piece that was read over.
    rest: Option<Bytes>,
    retries: u32,
}

impl Upstream {
    pub(super) fn new(config: &ServeConfig) -> Result<Self> {
        let contact = config.serve.contact.as_deref();
        let agent = match contact {
            Some(contact) => format!("crates-ferry/{} ({contact})", env!("CARGO_PKG_VERSION")),
            None => format!("crates-ferry/{}", env!("CARGO_PKG_VERSION")),
        };
        let asking = Asking {
            clients: Clients::with_agent(&config.network, &agent, REDIRECTS)?,
            via: format!("1.1 {}", super::instance()),
            retries: config.network.retries,
            idle_timeout: config.network.idle_timeout,
            trouble: Mutex::default(),
        };
        Ok(Self {
            client: Arc::new(asking),
            places: Arc::new(Semaphore::new(config.serve.upstream_connections as usize)),
            dl: UpstreamDl::new(config)?,
        })
    }

    /// Returns where upstream keeps a file.
    pub(super) async fn url(&self, file: &CrateFile) -> Result<Url, Unavailable> {
        let dl = self.dl.get().await?;
        let text = download_url(&dl, file);
        Url::parse(&text).map_err(|error| Unavailable::Upstream(format!("{text}: {error}")))
    }

    /// Asks for a file, once there is a place; the place is to be held until all is read.
    pub(super) async fn fetch(
        &self,
        file: &CrateFile,
    ) -> Result<(Incoming, OwnedSemaphorePermit), Unavailable> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|error| Unavailable::Upstream(error.to_string()))?;
        let url = self.url(file).await?;
        let response = self.client.ask(&url, 0).await?;
        let total = response.content_length();
        let reading = Reading {
            asking: Arc::clone(&self.client),
            url,
            response,
            read: 0,
            rest: None,
            retries: self.client.retries,
        };
        let stream = try_unfold(reading, |mut reading| async {
            let piece = reading.next().await?;
            Ok(piece.map(|piece| (piece, reading)))
        });
        let stream = stream.boxed();
        Ok((Incoming { total, stream }, place))
    }
}

impl Asking {
    /// Asks for what comes after the first `from` bytes, again where the failure may pass.
    async fn ask(&self, url: &Url, from: u64) -> Result<Response, Unavailable> {
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
                Ok(response) => {
                    *self.trouble() = Trouble::default();
                    return Ok(response);
                }
                Err(Refused::ForGood(failure)) => return Err(failure),
                Err(Refused::ForNow(failure, retry_after)) => (failure, retry_after),
            };
            match (waits.next(), retry_after) {
                // Nobody waits longer than a few seconds for one file.
                (Some(wait), asked) if asked.is_none_or(|asked| asked <= LONGEST_WAIT) => {
                    sleep(asked.unwrap_or(wait)).await;
                }
                (_, asked) => {
                    self.failed(asked);
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
            Ok(Err(error)) => return Err(Refused::ForNow(unsent(&error), None)),
            Err(_) => {
                let text = format!("no answer within {limit}");
                return Err(Refused::ForNow(Unavailable::Slow(text), None));
            }
        };
        let status = response.status();
        let place = response.url().host_str().unwrap_or_default().to_owned();
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
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

    /// Leaves upstream alone while it is in trouble.
    fn check_pause(&self) -> Result<(), Unavailable> {
        let until = self.trouble().until;
        let left = until.and_then(|until| until.checked_duration_since(Instant::now()));
        match left {
            Some(left) => Err(Unavailable::Paused(left.as_secs() + 1)),
            None => Ok(()),
        }
    }

    fn failed(&self, asked: Option<Duration>) {
        let mut trouble = self.trouble();
        trouble.failures += 1;
        let over = trouble.failures.checked_sub(FAILURES);
        let own = over.map(|over| Duration::from_secs(1 << over.min(6)));
        let pause = asked.into_iter().chain(own).max();
        trouble.until = pause.map(|pause| Instant::now() + pause.min(LONGEST_PAUSE));
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A longer wait is not borne for one file.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

enum Refused {
    ForGood(Unavailable),
    /// With the time that the server asks us to wait.
    ForNow(Unavailable, Option<Duration>),
}

impl Reading {
    /// Returns the next piece; where the connection is cut, the rest is asked for.
    async fn next(&mut self) -> Result<Option<Bytes>, Unavailable> {
        loop {
            if let Some(rest) = self.rest.take() {
                self.read += rest.len() as u64;
                return Ok(Some(rest));
            }
            let failure = match timeout(self.asking.idle_timeout, self.response.chunk()).await {
                Ok(Ok(piece)) => {
                    self.read += piece.as_ref().map_or(0, Bytes::len) as u64;
                    return Ok(piece);
                }
                Ok(Err(error)) => unsent(&error),
                Err(_) => {
                    let limit = humantime::format_duration(self.asking.idle_timeout);
                    Unavailable::Slow(format!("it falls silent for {limit}"))
                }
            };
            if self.retries == 0 {
                self.asking.failed(None);
                return Err(failure);
            }
            self.retries -= 1;
            self.response = self.asking.ask(&self.url, self.read).await?;
            if self.response.status() != StatusCode::PARTIAL_CONTENT {
                self.skip().await?;
            }
        }
    }

    /// Reads over what is known, from a server that begins anew.
    async fn skip(&mut self) -> Result<(), Unavailable> {
        let mut left = self.read;
        while left > 0 {
            let piece = timeout(self.asking.idle_timeout, self.response.chunk()).await;
            let piece = piece.ok().and_then(Result::ok).flatten();
            let Some(mut piece) = piece else {
                return Err(Unavailable::Upstream("it was cut again".to_owned()));
            };
            let known = left.min(piece.len() as u64);
            piece.advance(usize::try_from(known).unwrap_or(usize::MAX));
            self.rest = Some(piece).filter(|rest| !rest.is_empty());
            left -= known;
        }
        Ok(())
    }
}

/// Says in one line why a request failed; nothing of the address's path.
fn unsent(error: &reqwest::Error) -> Unavailable {
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
