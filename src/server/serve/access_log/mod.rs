//! The access log: a line of JSON for each request.

mod client;
mod writer;

use std::net::IpAddr;
use std::task::Poll;
use std::time::Instant;

use axum::http::header::{CONTENT_LENGTH, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, Method, Response, Uri, Version};
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::traffic::Traffic;
use crate::config::{self, Addresses, Serve};
use crate::error::{Error, Kind, Result};
use crate::http::access::Caller;
use crate::http::error_response::Note;
use crate::http::{Body, Peer, Request};
use writer::{Destination, Writer};

/// How much of a text that a client sent is logged, in bytes.
const LONGEST: usize = 200;

/// The log, or nothing if it is off.
pub(super) struct AccessLog {
    writer: Option<Writer>,
    /// Of these `X-Forwarded-For` is believed.
    trusted_proxies: Vec<Addresses>,
}

/// What is logged of a request.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// These three are in each line of the log that is written as JSON, too.
    #[serde(serialize_with = "as_in_the_log")]
    time: Timestamp,
    level: &'static str,
    message: &'static str,
    client: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a str>,
    method: &'a str,
    protocol: &'static str,
    path: &'a str,
    status: u16,
    /// What the policy decided, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'static str>,
    bytes: u64,
    milliseconds: f64,
    /// Left out unless the response ended early: the client went away, or the rest could not be read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
}

impl AccessLog {
    /// Opens the file of the log.
    ///
    /// # Errors
    /// `config` if the file cannot be written.
    pub(super) fn open(config: &Serve) -> Result<Self> {
        let place = match &config.access_log {
            config::AccessLog::Off => None,
            config::AccessLog::Stderr => Some(Destination::Stderr),
            config::AccessLog::File(path) => {
                let unusable = |error| {
                    let message = format!("serve.access_log: cannot write {}", path.display());
                    Error::new(Kind::Config, message)
                        .because(error)
                        .advise("Set it to a file that this user may write, to stderr, or to off.")
                };
                let place = Destination::file(path.clone());
                Some(place.map_err(unusable)?)
            }
        };
        Ok(Self {
            writer: place.map(Writer::start),
            trusted_proxies: config.trusted_proxies.clone(),
        })
    }

    /// Returns the address of the client of a request.
    pub(super) fn client(&self, peer: Peer, headers: &HeaderMap) -> IpAddr {
        client::client(peer.0.ip(), headers, &self.trusted_proxies)
    }

    /// Returns how many lines were lost.
    pub(super) fn lost(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::lost)
    }

    /// Writes the lines that are left; later ones are lost.
    pub(super) fn finish(&self) {
        if let Some(writer) = &self.writer {
            writer.finish();
        }
    }

    fn write(&self, line: &Line<'_>) {
        if let Some(writer) = &self.writer {
            writer.add(|bytes| serde_json::to_writer(bytes, line).is_ok());
        }
    }
}

/// A request in flight: counted and logged when it is dropped, however it ends.
pub(super) struct Record {
    log: &'static AccessLog,
    traffic: &'static Traffic,
    /// Boxed: without a log, a record that is moved along with its request stays small.
    request: Option<Box<Details>>,
    status: u16,
    policy: Option<&'static str>,
    bytes: u64,
    /// The `Content-Length`, if there is one.
    expected: Option<u64>,
    is_whole: bool,
}

/// What the log line says of a request.
struct Details {
    time: Timestamp,
    start: Instant,
    client: IpAddr,
    caller: Option<Caller>,
    method: Method,
    version: Version,
    uri: Uri,
    agent: Option<HeaderValue>,
}

impl Record {
    /// Starts the record of a request that has just arrived.
    pub(super) fn begin(
        log: &'static AccessLog,
        traffic: &'static Traffic,
        request: &Request,
        peer: Peer,
    ) -> Self {
        let describe = || Details {
            time: Timestamp::now(),
            start: Instant::now(),
            client: client::client(peer.0.ip(), request.headers(), &log.trusted_proxies),
            caller: None,
            method: request.method().clone(),
            version: request.version(),
            uri: request.uri().clone(),
            agent: request.headers().get(USER_AGENT).cloned(),
        };
        Self {
            log,
            traffic,
            request: log.writer.is_some().then(describe).map(Box::new),
            status: 0,
            policy: None,
            bytes: 0,
            expected: None,
            is_whole: false,
        }
    }

    /// Notes whose token the request carried.
    pub(super) fn called_by(&mut self, caller: Option<Caller>) {
        if let Some(request) = &mut self.request {
            request.caller = caller;
        }
    }

    /// Notes the response. The record ends here, or with the body if that is streamed.
    pub(super) fn end(mut self, response: Response<Body>) -> Response<Body> {
        self.status = response.status().as_u16();
        self.policy = response.extensions().get::<Note>().map(|note| note.word());
        // A body in memory knows its size.
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
            // The closure owns the whole record, which then is dropped with the body.
            let record = &mut self;
            let piece = stream.poll_next_unpin(context);
            match &piece {
                Poll::Ready(Some(Ok(piece))) => {
                    record.bytes += piece.len() as u64;
                    // Over HTTP/1 hyper drops a body of known length after its last byte, and never polls for its end.
                    record.is_whole = Some(record.bytes) == record.expected;
                }
                Poll::Ready(None) => record.is_whole = true,
                Poll::Ready(Some(Err(_))) | Poll::Pending => {}
            }
            piece
        }));
        followed.into()
    }

    fn write(&self, request: &Details) {
        let milliseconds = request.start.elapsed().as_secs_f64() * 1000.0;
        self.log.write(&Line {
            time: request.time,
            level: "info",
            message: "request",
            client: request.client,
            caller: request.caller.as_ref().map(|caller| &*caller.name),
            method: request.method.as_str(),
            protocol: protocol(request.version),
            // Without the query: no path here takes one, and people put secrets there.
            path: shorten(request.uri.path()),
            status: self.status,
            policy: self.policy,
            bytes: self.bytes,
            milliseconds: (milliseconds * 1000.0).round() / 1000.0,
            cut: !self.is_whole,
            agent: shown(request.agent.as_ref()),
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.traffic.count(self.status, self.bytes);
        if let Some(request) = self.request.take() {
            self.write(&request);
        }
    }
}

/// Writes a time with milliseconds: nobody sorts lines by texts of different lengths.
fn as_in_the_log<S: Serializer>(
    time: &Timestamp,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
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
