//! `/private/index/`: the sparse index of the private crates. A client asks again each time: what was just published is there.

use std::time::SystemTime;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{address, registry, unread};
use crate::error::{Error, Kind, Result};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::index::CrateName;
use crate::server::private::signature;
use crate::server::serve::conditions::{Tag, is_known};
use crate::server::serve::state::State;

/// There are no dates: two publishes may come in a second.
const NEVER: SystemTime = SystemTime::UNIX_EPOCH;
/// A cache may keep it, and asks whether it is still right.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// `GET /private/index/config.json`.
pub(in crate::server::serve) fn config_json(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    registry(state)?;
    let address = address(state, request.authority, &request.headers)?;
    let mut response = Response::new(Body::from(Bytes::from(signature::config_json(&address))));
    let headers = response.headers_mut();
    if state.address.varies() {
        headers.insert(VARY, HeaderValue::from_static("host"));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, NO_CACHE);
    Ok(Reply::Now(response))
}

/// `GET /private/index/ab/cd/abcd`.
pub(in crate::server::serve) fn file(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let registry = registry(state)?;
    // Owners and other files of the repository are nobody's business here.
    if !CrateName::is_index_path(request.wildcard) {
        return Err(not_found());
    }
    // Answered at once, without a future or a thread, where all of it is in memory.
    if registry.freshness.is_fresh()
        && let Ok(Some(snapshot)) = registry.index.snapshot()
        && let Some(id) = snapshot.file_in_memory(request.wildcard)
    {
        let Some(id) = id else {
            return Err(not_found());
        };
        let tag = Tag::of(id.as_bytes());
        if is_known(&request.headers, &tag, NEVER) {
            return Ok(Reply::Now(respond(
                StatusCode::NOT_MODIFIED,
                &tag,
                Body::empty(),
            )));
        }
        if let Some(content) = registry.kept(id) {
            return Ok(Reply::Now(respond(StatusCode::OK, &tag, content.into())));
        }
    }
    let (path, headers) = (request.wildcard.to_owned(), request.headers);
    Ok(Reply::later(async move {
        registry.freshness.fresh().await;
        let snapshot = registry.index.snapshot();
        let snapshot = snapshot.map_err(|error| unread(state, error))?;
        let snapshot = snapshot.ok_or_else(not_found)?;
        let work = move || -> Result<Option<Response<Body>>> {
            let Some(id) = snapshot.file(&path)? else {
                return Ok(None);
            };
            let tag = Tag::of(id.as_bytes());
            if is_known(&headers, &tag, NEVER) {
                let response = respond(StatusCode::NOT_MODIFIED, &tag, Body::empty());
                return Ok(Some(response));
            }
            let content = Bytes::from(snapshot.content(id)?);
            registry.keep(id, &content);
            Ok(Some(respond(StatusCode::OK, &tag, content.into())))
        };
        let panicked = |error| {
            let text = "the thread that reads the private index failed";
            Error::new(Kind::Server, text).because(error)
        };
        let found = spawn_blocking(work).await.map_err(panicked);
        let found = found.and_then(|found| found).map_err(|error| {
            registry.index.report_damage(&error);
            unread(state, error)
        })?;
        found.ok_or_else(not_found)
    }))
}

fn respond(status: StatusCode, tag: &Tag, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(ETAG, tag.strong());
    headers.insert(CACHE_CONTROL, NO_CACHE);
    if status == StatusCode::OK {
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
    }
    response
}

fn not_found() -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, "the private index has no such file")
}
