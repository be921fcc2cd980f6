//! The access log: a line of JSON for each request, written by a thread of its own so that no request waits for it.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::Poll;
use std::thread;
use std::time::Instant;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, HeaderName, USER_AGENT};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use jiff::Timestamp;
use serde::Serialize;

use super::gate::Caller;
use super::site::{Site, unusable};
use crate::config;
use crate::error::Result;
use crate::web::Peer;

/// How many lines wait for the disk; further ones are counted as lost.
const WAITING: usize = 16 << 10;
/// The longest text of a client that is logged, in bytes.
const LONGEST: usize = 200;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Takes lines.
pub(super) struct AccessLog {
    lines: Option<SyncSender<Vec<u8>>>,
    lost: AtomicU64,
}

/// What is logged of a request.
#[derive(Debug, Serialize)]
struct Line {
    time: Timestamp,
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    method: String,
    path: String,
    status: u16,
    bytes: u64,
    milliseconds: f64,
    /// Said where an answer ended before its time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
}

impl AccessLog {
    /// Opens the place of the log.
    ///
    /// # Errors
    /// `config` where the file cannot be written.
    pub(super) fn open(place: &config::AccessLog) -> Result<Self> {
        let lines = match place {
            config::AccessLog::Off => None,
            config::AccessLog::Stderr => Some(writing(io::stderr())),
            config::AccessLog::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let what = || format!("cannot write the access log {}", path.display());
                Some(writing(file.map_err(|error| unusable(&what(), error))?))
            }
        };
        let lost = AtomicU64::new(0);
        Ok(Self { lines, lost })
    }

    /// Returns how many lines were lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn write(&self, line: &Line) {
        let Some(lines) = &self.lines else {
            return;
        };
        let mut text = Vec::with_capacity(256);
        let written = serde_json::to_writer(&mut text, line);
        text.push(b'\n');
        if written.is_err() || lines.try_send(text).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Starts the thread that writes; it ends with the last sender.
fn writing(place: impl Write + Send + 'static) -> SyncSender<Vec<u8>> {
    let (lines, waiting) = sync_channel(WAITING);
    thread::spawn(move || write_all(&waiting, place));
    lines
}

/// Writes what waits in one go, and then waits.
fn write_all(waiting: &Receiver<Vec<u8>>, place: impl Write) {
    let mut place = BufWriter::with_capacity(64 << 10, place);
    while let Ok(first) = waiting.recv() {
        let lines = std::iter::once(first).chain(waiting.try_iter());
        for line in lines.take(WAITING) {
            // A full disk must not end the server.
            let _ = place.write_all(&line);
        }
        let _ = place.flush();
    }
}

/// Counts each request and logs it: a whole answer now, one that streams when it ends.
pub(super) async fn log(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let about = site.access_log.lines.is_some().then(|| describe(&request));
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let size = response.body().size_hint().exact();
    let mut record = Record {
        expected: content_length(response.headers()),
        about: about.map(|line| Line {
            status,
            caller: response
                .extensions()
                .get::<Caller>()
                .map(|caller| caller.0.to_string()),
            ..line
        }),
        site,
        start,
        status,
        bytes: 0,
        is_whole: false,
    };
    // A body that is in memory says its size.
    match size {
        Some(size) => {
            record.bytes = size;
            record.is_whole = true;
            response
        }
        None => response.map(|body| record.follow(body)),
    }
}

fn describe(request: &Request) -> Line {
    let client = request.extensions().get::<Peer>();
    let headers = request.headers();
    Line {
        time: Timestamp::now(),
        client: client.map(|peer| peer.0.ip().to_string()),
        forwarded_for: shown(headers, &FORWARDED_FOR),
        caller: None,
        method: request.method().to_string(),
        // Without the query: nothing that we serve has one, and people put secrets there.
        path: shorten(request.uri().path()),
        status: 0,
        bytes: 0,
        milliseconds: 0.0,
        cut: false,
        agent: shown(headers, &USER_AGENT),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn shown(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(shorten)
}

fn shorten(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST);
    text[..end].to_owned()
}

/// An answer under way: written down when it ends, however it ends.
struct Record {
    site: Arc<Site>,
    about: Option<Line>,
    start: Instant,
    status: u16,
    bytes: u64,
    /// How many bytes there are to be, where that is known.
    expected: Option<u64>,
    is_whole: bool,
}

impl Record {
    fn follow(mut self, body: Body) -> Body {
        let mut stream = body.into_data_stream();
        Body::from_stream(poll_fn(move |context| {
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
        }))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.site.traffic.count(self.status, self.bytes);
        if let Some(line) = self.about.take() {
            let elapsed = self.start.elapsed().as_secs_f64() * 1000.0;
            self.site.access_log.write(&Line {
                bytes: self.bytes,
                milliseconds: (elapsed * 1000.0).round() / 1000.0,
                cut: !self.is_whole,
                ..line
            });
        }
    }
}
