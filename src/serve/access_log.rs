//! The access log: a line of JSON for each request. Lines gather in memory and are written a few times a second, by a thread
//! of its own, so that no request waits for the disk.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use axum::http::header::{CONTENT_LENGTH, HeaderName, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::Serialize;

use super::gate::Caller;
use super::routes::Answer;
use super::site::{Site, unusable};
use crate::config;
use crate::error::Result;
use crate::web::{Body, Peer};

/// How many bytes wait for the disk at most; further lines are counted as lost.
const WAITING: usize = 8 << 20;
/// For how long lines gather.
const GATHER: Duration = Duration::from_millis(100);
/// The longest text of a client that is logged, in bytes.
const LONGEST: usize = 200;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Takes lines.
pub(super) struct AccessLog {
    gathered: Option<Arc<Gathered>>,
    lost: AtomicU64,
}

/// The lines that wait for the disk.
#[derive(Default)]
struct Gathered {
    lines: Mutex<Vec<u8>>,
    has_lines: Condvar,
}

/// What is logged of a request.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: Timestamp,
    client: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_for: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a str>,
    method: &'a str,
    protocol: &'static str,
    path: &'a str,
    status: u16,
    bytes: u64,
    milliseconds: f64,
    /// Said where an answer ended before its time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
}

impl AccessLog {
    /// Opens the place of the log.
    ///
    /// # Errors
    /// `config` where the file cannot be written.
    pub(super) fn open(place: &config::AccessLog) -> Result<Self> {
        let gathered = match place {
            config::AccessLog::Off => None,
            config::AccessLog::Stderr => Some(writing(io::stderr())),
            config::AccessLog::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let what = || format!("cannot write the access log {}", path.display());
                Some(writing(file.map_err(|error| unusable(&what(), error))?))
            }
        };
        let lost = AtomicU64::new(0);
        Ok(Self { gathered, lost })
    }

    /// Returns how many lines were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn write(&self, line: &Line<'_>) {
        let Some(gathered) = &self.gathered else {
            return;
        };
        let mut lines = gathered.lock();
        let is_first = lines.is_empty();
        if lines.len() > WAITING || serde_json::to_writer(&mut *lines, line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lines.push(b'\n');
        drop(lines);
        if is_first {
            gathered.has_lines.notify_one();
        }
    }
}

impl Gathered {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a line, and for those that come soon after, and takes all.
    fn take(&self, into: &mut Vec<u8>) {
        let lines = self
            .has_lines
            .wait_while(self.lock(), |lines| lines.is_empty());
        drop(lines);
        thread::sleep(GATHER);
        into.clear();
        std::mem::swap(&mut *self.lock(), into);
    }
}

/// Starts the thread that writes; it ends with the process.
fn writing(mut place: impl Write + Send + 'static) -> Arc<Gathered> {
    let gathered = Arc::<Gathered>::default();
    let taking = Arc::clone(&gathered);
    thread::spawn(move || {
        let mut lines = Vec::new();
        loop {
            taking.take(&mut lines);
            // A full disk must not end the server.
            let _ = place.write_all(&lines);
        }
    });
    gathered
}

/// A request and its answer under way: counted and logged when it ends, however it ends.
pub(super) struct Record {
    site: &'static Site,
    /// Not in this place: without a log it would be moved about for nothing.
    request: Option<Box<Described>>,
    status: u16,
    bytes: u64,
    /// How many bytes there are to be, where that is known.
    expected: Option<u64>,
    is_whole: bool,
}

/// What is remembered of a request.
struct Described {
    time: Timestamp,
    start: Instant,
    client: IpAddr,
    forwarded_for: Option<HeaderValue>,
    caller: Option<Caller>,
    method: Method,
    version: Version,
    uri: Uri,
    agent: Option<HeaderValue>,
}

impl Record {
    /// Begins with a request.
    pub(super) fn begin(site: &'static Site, request: &Request<Incoming>, peer: Peer) -> Self {
        let describe = || Described {
            time: Timestamp::now(),
            start: Instant::now(),
            client: peer.0.ip(),
            forwarded_for: request.headers().get(&FORWARDED_FOR).cloned(),
            caller: None,
            method: request.method().clone(),
            version: request.version(),
            uri: request.uri().clone(),
            agent: request.headers().get(USER_AGENT).cloned(),
        };
        Self {
            site,
            request: site
                .access_log
                .gathered
                .is_some()
                .then(describe)
                .map(Box::new),
            status: 0,
            bytes: 0,
            expected: None,
            is_whole: false,
        }
    }

    /// Takes in the answer: a whole one ends the record, one that streams takes it along.
    pub(super) fn end(mut self, answer: Answer) -> Response<Body> {
        let Answer { response, caller } = answer;
        self.status = response.status().as_u16();
        if let Some(request) = &mut self.request {
            request.caller = caller;
        }
        // A body that is in memory says its size.
        match response.body().size() {
            Some(size) => {
                self.bytes = size;
                self.is_whole = true;
                response
            }
            None => {
                self.expected = content_length(response.headers());
                response.map(|body| self.follow(body))
            }
        }
    }

    fn follow(mut self, body: Body) -> Body {
        let mut stream = axum::body::Body::new(body).into_data_stream();
        let followed = axum::body::Body::from_stream(poll_fn(move |context| {
            // All of it moves here, so that its end is the answer's.
            let record = &mut self;
            let piece = stream.poll_next_unpin(context);
            match &piece {
                Poll::Ready(Some(Ok(piece))) => {
                    record.bytes += piece.len() as u64;
                    record.is_whole = Some(record.bytes) == record.expected;
                }
                Poll::Ready(None) => record.is_whole = true,
                Poll::Ready(Some(Err(_))) | Poll::Pending => {}
            }
            piece
        }));
        followed.into()
    }

    fn write(&self, request: &Described) {
        let milliseconds = request.start.elapsed().as_secs_f64() * 1000.0;
        self.site.access_log.write(&Line {
            time: request.time,
            client: request.client,
            forwarded_for: shown(request.forwarded_for.as_ref()),
            caller: request.caller.as_ref().map(|caller| &*caller.0),
            method: request.method.as_str(),
            protocol: protocol(request.version),
            // Without the query: nothing that we serve has one, and people put secrets there.
            path: shorten(request.uri.path()),
            status: self.status,
            bytes: self.bytes,
            milliseconds: (milliseconds * 1000.0).round() / 1000.0,
            cut: !self.is_whole,
            agent: shown(request.agent.as_ref()),
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.site.traffic.count(self.status, self.bytes);
        if let Some(request) = self.request.take() {
            self.write(&request);
        }
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn shown(value: Option<&HeaderValue>) -> Option<&str> {
    value?.to_str().ok().map(shorten)
}

fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}
