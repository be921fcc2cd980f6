//! The body of a request that somebody with a token uploads: bounded in size, and in the time that it may be silent.

use std::time::Duration;

use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use bytesize::ByteSize;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
pub use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::error_response::ErrorResponse;

/// How long a client may send nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// How many bytes must have come a second, once that time has passed: who sends fewer keeps a place that others wait for.
const LEAST: u64 = 4 << 10;
/// How long all of it may take: 20 MiB in this time are 36 KB a second.
const WHOLE: Duration = Duration::from_secs(10 * 60);

/// How much is read and dropped of a body that is too large, and for how long: most clients read the answer only when they have sent
/// all, and would tell of a broken connection.
const DROPPED: u64 = 64 << 20;
const DROPPING: Duration = Duration::from_secs(30);

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// 400, 408 or 413, in cargo's form.
pub async fn read_upload(mut body: Incoming, limit: usize) -> Result<Bytes, ErrorResponse> {
    let late = || {
        let text = "the request did not arrive in time";
        ErrorResponse::for_cargo(StatusCode::REQUEST_TIMEOUT, text)
    };
    let cut = || {
        let text = "the request could not be read to its end";
        ErrorResponse::for_cargo(StatusCode::BAD_REQUEST, text)
    };
    let too_large = || {
        let text = format!("the request is larger than {}", ByteSize(limit as u64));
        ErrorResponse::for_cargo(StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    if body.size_hint().lower() > limit as u64 {
        drop_rest(body).await;
        return Err(too_large());
    }
    let began = Instant::now();
    // As it comes: what is announced is not reserved.
    let mut read = BytesMut::new();
    loop {
        let frame = timeout(SILENCE, body.frame()).await.map_err(|_| late())?;
        let Some(frame) = frame else {
            return Ok(read.freeze());
        };
        if let Ok(data) = frame.map_err(|_| cut())?.into_data() {
            if read.len() + data.len() > limit {
                drop(read);
                drop_rest(body).await;
                return Err(too_large());
            }
            read.extend_from_slice(&data);
        }
        let took = began.elapsed();
        let is_slow = took > SILENCE && (read.len() as u64) < took.as_secs() * LEAST;
        if is_slow || took > WHOLE {
            return Err(late());
        }
    }
}

async fn drop_rest(mut body: Incoming) {
    if body.size_hint().lower() > DROPPED {
        return;
    }
    let mut left = DROPPED;
    let dropping = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
            if left == 0 {
                return;
            }
        }
    };
    // Too slow, and so the client is told no more.
    let _ = timeout(DROPPING, dropping).await;
}
