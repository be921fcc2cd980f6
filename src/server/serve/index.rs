//! `/index/`: the sparse index.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED, VARY,
};
use axum::http::{HeaderValue, Response, StatusCode};
use tokio::task::spawn_blocking;

use super::conditions::{Tag, is_known, takes_gzip};
use super::index_cache::IndexFile;
use super::state::State;
use super::view::View;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::index::{CrateName, entry};

/// For how long a cache in between may answer by itself; cargo asks every time.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// With tokens no cache in between may answer.
const PRIVATE_CACHE: HeaderValue = HeaderValue::from_static("private, max-age=60");

/// The id of a file without a byte, which is no crate's.
const EMPTY: ObjectId = ObjectId::from_bytes([
    0xe6, 0x9d, 0xe2, 0x9b, 0xb2, 0xd1, 0xd6, 0x43, 0x4b, 0x8b, 0x29, 0xae, 0x77, 0x5a, 0xd8, 0xc2,
    0xe4, 0x8c, 0x53, 0x91,
]);

/// `GET /index/config.json`.
pub(super) fn config_json(
    state: &'static State,
    _: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let mut response = Response::new(Body::from(state.config_json.clone()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, cache_control(state));
    Ok(Reply::Now(response))
}

/// `GET /index/ab/cd/abcd`. The answer uses the map of the request's headers again.
pub(super) fn file(state: &'static State, request: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    let (path, asked) = (request.wildcard, request.headers);
    let view = state.view()?;
    let view = view.as_ref().ok_or_else(unknown)?;
    if !CrateName::is_index_path(path) {
        return Err(unknown());
    }
    if let Some(id) = view.snapshot.file_in_memory(path) {
        return answer_id(state, view, id, asked);
    }
    let (view, path) = (Arc::clone(view), path.to_owned());
    Ok(Reply::later(async move {
        let id = locate(state, &view, path).await?;
        answer_id(state, &view, id, asked)?.wait().await
    }))
}

fn answer_id(
    state: &'static State,
    view: &Arc<View>,
    id: Option<ObjectId>,
    asked: HeaderMap,
) -> Result<Reply, ErrorResponse> {
    let id = id.ok_or_else(unknown)?;
    // The id says whether the client has the file: nobody need look at it.
    if view.held.is_none() && id != EMPTY {
        let tag = Tag::of(id.as_bytes());
        if is_known(&asked, &tag, view.modified) {
            return Ok(Reply::Now(unchanged(state, asked, tag.strong())));
        }
    }
    if let Some(entry) = state.entries.get((id, view.generation)) {
        return answer(state, view, &entry, asked).map(Reply::Now);
    }
    let view = Arc::clone(view);
    Ok(Reply::later(async move {
        let entry = content(state, &view, id).await?;
        answer(state, &view, &entry, asked)
    }))
}

fn unknown() -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, "the index has no such file")
}

/// Finds what was prepared of a crate's file; `None` where it is to be read.
pub(super) fn find_in_memory(
    state: &State,
    view: &View,
    path: &str,
) -> Option<Option<Arc<IndexFile>>> {
    match view.snapshot.file_in_memory(path)? {
        Some(id) => state.entries.get((id, view.generation)).map(Some),
        None => Some(None),
    }
}

/// Reads a crate's file, by its path.
pub(super) async fn find(
    state: &'static State,
    view: &Arc<View>,
    path: String,
) -> Result<Option<Arc<IndexFile>>, ErrorResponse> {
    match locate(state, view, path).await? {
        Some(id) => content(state, view, id).await.map(Some),
        None => Ok(None),
    }
}

/// Finds the id of a file.
async fn locate(
    state: &'static State,
    view: &Arc<View>,
    path: String,
) -> Result<Option<ObjectId>, ErrorResponse> {
    let snapshot = Arc::clone(&view.snapshot);
    reading(state, move || snapshot.file(&path)).await
}

/// Reads what a file holds, and keeps it in memory.
async fn content(
    state: &'static State,
    view: &Arc<View>,
    id: ObjectId,
) -> Result<Arc<IndexFile>, ErrorResponse> {
    let of = Arc::clone(view);
    let entry = reading(state, move || prepare(&of, id)).await?;
    state.entries.put((id, view.generation), &entry);
    Ok(entry)
}

/// Reads from the copy, on a thread that may wait for the disk.
async fn reading<T: Send + 'static>(
    state: &'static State,
    read: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, ErrorResponse> {
    let broken = |error| Error::new(Kind::Server, "reading the copy broke off").because(error);
    let read = spawn_blocking(read).await.map_err(broken);
    read.and_then(|read| read).map_err(|e| state.damaged(&e))
}

/// Reads a file from the copy; leaves out what is not held, where the index is to list the held versions only.
fn prepare(view: &View, id: ObjectId) -> Result<Arc<IndexFile>> {
    let content = view.snapshot.content(id)?;
    Ok(Arc::new(match &view.held {
        None => IndexFile::new(content, Tag::of(id.as_bytes())),
        Some(held) => {
            let kept = entry::only(&content, |file| held.contains(&file.path()));
            let mut hash = [0; 20];
            hash.copy_from_slice(&digest(&SHA256, &kept).as_ref()[..20]);
            IndexFile::new(kept, Tag::of(&hash))
        }
    }))
}

/// Answers with a file; one without a version that is listed is none.
fn answer(
    state: &State,
    view: &View,
    entry: &IndexFile,
    asked: HeaderMap,
) -> Result<Response<Body>, ErrorResponse> {
    if entry.plain.is_empty() {
        return Err(unknown());
    }
    if is_known(&asked, &entry.tag, view.modified) {
        return Ok(unchanged(state, asked, entry.etag.clone()));
    }
    let gzip = takes_gzip(&asked).then(|| entry.gzip()).flatten();
    let mut headers = asked;
    headers.clear();
    let tag = match gzip {
        Some(_) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            &entry.weak_etag
        }
        None => &entry.etag,
    };
    describe(state, &mut headers, tag.clone());
    headers.insert(LAST_MODIFIED, view.last_modified.clone());
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, text);
    let mut response = Response::new(Body::from(gzip.unwrap_or(&entry.plain).clone()));
    *response.headers_mut() = headers;
    Ok(response)
}

/// Says that the client has the file.
fn unchanged(state: &State, asked: HeaderMap, tag: HeaderValue) -> Response<Body> {
    let mut headers = asked;
    headers.clear();
    describe(state, &mut headers, tag);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = headers;
    response
}

/// Adds what a 200 and a 304 say alike.
fn describe(state: &State, headers: &mut HeaderMap, tag: HeaderValue) {
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, cache_control(state));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
}

fn cache_control(state: &State) -> HeaderValue {
    match state.tokens {
        Some(_) => PRIVATE_CACHE,
        None => CACHE,
    }
}
