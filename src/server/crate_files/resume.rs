//! Reads a response of upstream to its end; if the connection is cut, the rest is requested (`Range`).

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::stream::{StreamExt as _, try_unfold};
use reqwest::header::{CONTENT_RANGE, HeaderMap};
use reqwest::{Response, StatusCode};
use url::Url;

use super::receive::Incoming;
use super::unavailable::Unavailable;
use super::upstream_client::{UpstreamClient, failure_of};
use crate::count::counted;
use crate::server::pace::Pace;

/// The body of a response that is resumed with further requests.
pub(super) struct ResumableBody {
    client: Arc<UpstreamClient>,
    url: Url,
    response: Response,
    /// The length of the file, if the first response announced it.
    total: Option<u64>,
    read: u64,
    /// What is new of a piece that was partly skipped.
    rest: Option<Bytes>,
    /// The server reports that there is no more.
    is_at_end: bool,
    retries: u32,
    pace: Pace,
}

impl ResumableBody {
    pub(super) fn new(client: Arc<UpstreamClient>, url: Url, response: Response) -> Self {
        Self {
            total: response.content_length(),
            retries: client.retries,
            pace: Pace::new(client.idle_timeout),
            client,
            url,
            response,
            read: 0,
            rest: None,
            is_at_end: false,
        }
    }

    pub(super) fn into_incoming(self) -> Incoming {
        let total = self.total;
        let stream = try_unfold(self, |mut body| async {
            let piece = body.next().await?;
            Ok(piece.map(|piece| (piece, body)))
        });
        let stream = stream.boxed();
        Incoming { total, stream }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Unavailable> {
        while !self.is_at_end {
            if let Some(rest) = self.rest.take() {
                self.read += rest.len() as u64;
                return Ok(Some(rest));
            }
            let failure = match self.piece().await {
                Ok(piece) => {
                    self.read += piece.as_ref().map_or(0, Bytes::len) as u64;
                    return Ok(piece);
                }
                Err(failure) => failure,
            };
            if self.retries == 0 {
                self.client.breaker.failed(None);
                return Err(failure);
            }
            self.retries -= 1;
            self.resume().await?;
        }
        Ok(None)
    }

    /// Reads the next bytes of the response; `None` at its end.
    async fn piece(&mut self) -> Result<Option<Bytes>, Unavailable> {
        let next = self.pace.wait(self.response.chunk(), length);
        match next.await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(failure_of(&error, None)),
            Err(slow) => Err(Unavailable::Timeout(format!("it {slow}"))),
        }
    }

    /// Requests the rest, which must be the rest of the same file.
    async fn resume(&mut self) -> Result<(), Unavailable> {
        // Without `If-Range`: a rest of other bytes fails the checksum in any case.
        self.response = self.client.request(&self.url, self.read).await?;
        self.pace = Pace::new(self.client.idle_timeout);
        match self.response.status() {
            StatusCode::PARTIAL_CONTENT => {
                match continues(self.response.headers(), self.read, self.total) {
                    true => Ok(()),
                    false => Err(other_file(self.read)),
                }
            }
            // Nothing follows what was read; the checksum tells whether that is true.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                self.is_at_end = true;
                Ok(())
            }
            _ => {
                let length = self.response.content_length();
                match (self.total, length) {
                    (Some(total), Some(length)) if total != length => Err(other_file(self.read)),
                    _ => self.skip().await,
                }
            }
        }
    }

    /// Skips what was read before, of a server that ignores `Range` and sends the file from its start.
    async fn skip(&mut self) -> Result<(), Unavailable> {
        let mut left = self.read;
        while left > 0 {
            let Ok(Some(mut piece)) = self.piece().await else {
                return Err(Unavailable::Upstream(
                    "the connection was cut again".to_owned(),
                ));
            };
            let known = left.min(piece.len() as u64);
            // `known` is at most the piece's length, so that it always fits.
            piece.advance(usize::try_from(known).unwrap_or(usize::MAX));
            self.rest = Some(piece).filter(|rest| !rest.is_empty());
            left -= known;
        }
        Ok(())
    }
}

fn length<E>(piece: &Result<Option<Bytes>, E>) -> usize {
    let piece = piece.as_ref().ok().and_then(Option::as_ref);
    piece.map_or(0, Bytes::len)
}

/// Says whether a partial response begins at this byte of a file of that length (RFC 9110, 14.4).
fn continues(headers: &HeaderMap, from: u64, total: Option<u64>) -> bool {
    let part = || {
        let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
        let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (start, _) = range.split_once('-')?;
        Some((start.parse::<u64>().ok()?, length.parse::<u64>().ok()))
    };
    part().is_some_and(|(start, length)| {
        let is_same = total.is_none() || length.is_none() || length == total;
        start == from && is_same
    })
}

fn other_file(read: u64) -> Unavailable {
    Unavailable::Upstream(format!(
        "the connection was cut after {}, and the next response is not the rest of the file",
        counted(read, "byte")
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_response_continues_a_file_where_it_begins_at_the_requested_byte_of_the_same_length() {
        for (text, total, goes) in [
            ("bytes 10-19/20", Some(20), true),
            ("bytes 10-19/20", None, true),
            ("bytes 10-19/*", Some(20), true),
            ("bytes 0-19/20", Some(20), false),
            ("bytes 11-19/20", Some(20), false),
            ("bytes 10-19/21", Some(20), false),
            ("bytes */20", Some(20), false),
            ("pages 10-19/20", Some(20), false),
            ("bytes", Some(20), false),
        ] {
            let headers = [(CONTENT_RANGE, text.parse().unwrap())];
            let headers = headers.into_iter().collect();
            assert_eq!(continues(&headers, 10, total), goes, "{text}");
        }
        assert!(!continues(&HeaderMap::new(), 10, None));
    }
}
