//! `/private/api/v1/crates/{crate}/{version}/download`: private crate files, each checked before its first byte is sent.

use std::io;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

use super::{crate_version, refused, registry, unread};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::index::{CrateFile, entry};
use crate::server::private::files::Unread;
use crate::server::serve::audit;
use crate::server::serve::conditions::is_named;
use crate::server::serve::state::State;

/// The bytes of a version never change, and are not for caches that others share.
const FOREVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// How many bytes are handed on at a time.
const PIECE: usize = 64 << 10;
/// How long a request waits for memory, and after how many seconds it may come again.
const PATIENCE: Duration = Duration::from_secs(20);
const BUSY: u64 = 10;

/// `GET /private/api/v1/crates/{crate}/{version}/download`.
pub(in crate::server::serve) fn download(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let registry = registry(state)?;
    let (name, version) = crate_version(request.wildcard)?;
    let headers = request.headers;
    let is_head = *request.method == Method::HEAD;
    let asker = audit::asker(state, request.caller, &headers, request.peer);
    Ok(Reply::later(async move {
        // Not looked for anew unless it is not there: what the index names is never replaced.
        let mut found = None;
        for has_looked in [false, true] {
            if has_looked {
                registry.freshness.look().await;
            }
            let lines = registry
                .lines(&name)
                .await
                .map_err(|error| unread(state, error))?;
            found = lines.and_then(|lines| entry::find(&lines, &version));
            if found.is_some() {
                break;
            }
        }
        let is_same = |file: &CrateFile| file.name.as_str().eq_ignore_ascii_case(name.as_str());
        let file = found.filter(is_same).ok_or_else(unlisted)?;
        let response = respond(state, &file, &headers, is_head).await?;
        if response.status() == StatusCode::OK && !is_head {
            audit::sent(state, &file, asker);
        }
        Ok(response)
    }))
}

async fn respond(
    state: &'static State,
    file: &CrateFile,
    headers: &HeaderMap,
    is_head: bool,
) -> Result<Response<Body>, ErrorResponse> {
    let registry = registry(state)?;
    let etag = format!("\"{}\"", file.checksum);
    if is_named(headers, etag.as_bytes()) == Some(true) {
        return Ok(with_validators(
            StatusCode::NOT_MODIFIED,
            &etag,
            Body::empty(),
        ));
    }
    let size = registry.files.size(file).await;
    let size = size
        .map_err(|error| refused(state, error))?
        .ok_or_else(|| lost(file))?;
    let mebibytes = u32::try_from(size >> 20)
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    let memory = registry.memory(mebibytes);
    let memory = timeout(PATIENCE, memory).await.map_err(|_| busy())?;
    let body = match is_head {
        true => Body::empty(),
        false => {
            let bytes = registry
                .files
                .get(file)
                .await
                .map_err(|unread| match unread {
                    Unread::Absent => lost(file),
                    Unread::Damaged => damaged(file),
                    Unread::Failed(error) => refused(state, error),
                })?;
            let pieces = stream::iter(pieces(bytes).map(Ok::<_, io::Error>));
            let pieces = pieces.inspect(move |_| {
                // It is in memory until the last piece is handed on.
                let _ = &memory;
            });
            axum::body::Body::from_stream(pieces).into()
        }
    };
    let mut response = with_validators(StatusCode::OK, &etag, body);
    response.headers_mut().insert(CONTENT_LENGTH, size.into());
    let gzip = HeaderValue::from_static("application/gzip");
    response.headers_mut().insert(CONTENT_TYPE, gzip);
    Ok(response)
}

fn pieces(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let length = bytes.len().min(PIECE);
        (length > 0).then(|| bytes.split_to(length))
    })
}

fn with_validators(status: StatusCode, etag: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(ETAG, etag);
    }
    headers.insert(CACHE_CONTROL, FOREVER);
    response
}

fn unlisted() -> ErrorResponse {
    let text = "the private index lists no such version of a crate";
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, text)
}

/// Nobody else has the file: a person has to bring it back.
fn lost(file: &CrateFile) -> ErrorResponse {
    tracing::error!(
        "private crates: the file of {file} is not in the store: restore it from a backup"
    );
    let text = format!(
        "the crate file of {file} is not in the store of this registry: ask whoever runs it"
    );
    ErrorResponse::for_cargo(StatusCode::BAD_GATEWAY, text)
}

fn damaged(file: &CrateFile) -> ErrorResponse {
    tracing::error!("private crates: the file of {file} is damaged: restore it from a backup");
    let text = format!(
        "the crate file of {file} is damaged in the store of this registry: ask whoever runs it"
    );
    ErrorResponse::for_cargo(StatusCode::BAD_GATEWAY, text)
}

fn busy() -> ErrorResponse {
    let text =
        "too many crate files wait for clients that do not read them; try again in a few seconds";
    ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, text).with(RETRY_AFTER, BUSY)
}
