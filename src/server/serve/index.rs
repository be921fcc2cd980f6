//! `/index/`: the sparse index, as cargo's registry index format has it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED, RETRY_AFTER,
    VARY,
};
use axum::http::{HeaderValue, Response, StatusCode};
use tokio::task::spawn_blocking;

use super::conditions::{Tag, accepts_gzip, is_known};
use super::index_cache::IndexFile;
use super::policy;
use super::state::{State, config_json as config_json_of};
use super::view::View;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::index::CrateName;
use crate::server::memory_budget::MemoryBudget;

/// How long a cache in between may answer by itself; cargo revalidates every time.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// If tokens are needed, no shared cache may answer.
const PRIVATE_CACHE: HeaderValue = HeaderValue::from_static("private, max-age=60");

/// After how many seconds a client may retry that found no memory for its response.
const BUSY: u64 = 10;

/// The id of the empty blob: no crate has an empty index file, and a client cannot have it.
const EMPTY: ObjectId = ObjectId::from_bytes([
    0xe6, 0x9d, 0xe2, 0x9b, 0xb2, 0xd1, 0xd6, 0x43, 0x4b, 0x8b, 0x29, 0xae, 0x77, 0x5a, 0xd8, 0xc2,
    0xe4, 0x8c, 0x53, 0x91,
]);

/// `GET /index/config.json`.
pub(super) fn config_json(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let address = state
        .address
        .for_request(request.authority, &request.headers)?;
    // Without validators: cargo asks for config.json without conditions.
    let json = config_json_of(&address, !state.tokens.is_mirror_open());
    let mut response = Response::new(Body::from(json));
    let headers = response.headers_mut();
    if state.address.varies() {
        headers.insert(VARY, HeaderValue::from_static("host"));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, cache_control(state));
    Ok(Reply::Now(response))
}

/// `GET /index/ab/cd/abcd`. The response reuses the header map of the request: see [`Authorized::headers`].
pub(super) fn file(state: &'static State, request: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    let (path, headers) = (request.wildcard, request.headers);
    let view = state.view()?;
    let view = view.as_ref().ok_or_else(not_found)?;
    // The repository may hold other files, such as its CI configuration: only those of crates are served.
    if !CrateName::is_index_path(path) {
        return Err(not_found());
    }
    if let Some(id) = view.file_in_memory(path) {
        return respond_with_id(state, view, id, headers);
    }
    let (view, path) = (Arc::clone(view), path.to_owned());
    Ok(Reply::later(async move {
        let id = locate(state, &view, path).await?;
        respond_with_id(state, &view, id, headers)?.wait().await
    }))
}

fn respond_with_id(
    state: &'static State,
    view: &Arc<View>,
    id: Option<ObjectId>,
    request: HeaderMap,
) -> Result<Reply, ErrorResponse> {
    let id = id.ok_or_else(not_found)?;
    let decided = view.decided(id);
    let shown = decided.map_or(id, |decided| decided.shown);
    let note = decided.and_then(|decided| policy::note(decided.outcome.strictest()));
    let reply = respond_as_shown(state, view, (id, shown), request)?;
    Ok(match note {
        Some(note) => reply.noted(note),
        None => reply,
    })
}

/// Responds with a file; its second id is that of the file as it is shown.
fn respond_as_shown(
    state: &'static State,
    view: &Arc<View>,
    (id, shown): (ObjectId, ObjectId),
    request: HeaderMap,
) -> Result<Reply, ErrorResponse> {
    // That id is the entity tag: whether the client has the file is known before anybody reads it. Not if the
    // file is filtered by what is stored: its bytes then change without a commit.
    if view.stored.is_none() && id != EMPTY {
        let tag = Tag::of(shown.as_bytes());
        if is_known(&request, &tag, view.modified) {
            return Ok(Reply::Now(not_modified(state, request, tag.strong())));
        }
    }
    if let Some(file) = state.index_cache.get((shown, view.generation)) {
        return respond(state, view, &file, request).map(Reply::Now);
    }
    let view = Arc::clone(view);
    Ok(Reply::later(async move {
        let file = load(state, &view, id).await?;
        respond(state, &view, &file, request)
    }))
}

fn not_found() -> ErrorResponse {
    // Not 410 or 451, which the registry protocol also names: cargo takes them for errors since 1.96.
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, "the index has no such file")
}

/// Finds the index file of a crate in the cache; `None` if the disk has to be read.
pub(super) fn find_in_cache(
    state: &State,
    view: &View,
    path: &str,
) -> Option<Option<Arc<IndexFile>>> {
    match view.file_in_memory(path)? {
        Some(id) => {
            let cached = state.index_cache.get((view.shown(id), view.generation));
            cached.map(Some)
        }
        None => Some(None),
    }
}

/// Finds the index file of a crate, in the cache or on the disk.
pub(super) async fn find(
    state: &'static State,
    view: &Arc<View>,
    path: String,
) -> Result<Option<Arc<IndexFile>>, ErrorResponse> {
    match locate(state, view, path).await? {
        Some(id) => load(state, view, id).await.map(Some),
        None => Ok(None),
    }
}

/// Finds the id of a file.
async fn locate(
    state: &'static State,
    view: &Arc<View>,
    path: String,
) -> Result<Option<ObjectId>, ErrorResponse> {
    let view = Arc::clone(view);
    read_copy(state, move || view.file(&path)).await
}

/// Reads a file from the copy into the cache.
async fn load(
    state: &'static State,
    view: &Arc<View>,
    id: ObjectId,
) -> Result<Arc<IndexFile>, ErrorResponse> {
    let (of, budget) = (Arc::clone(view), state.index_cache.budget());
    let file = read_copy(state, move || prepare(&of, id, budget)).await?;
    let file = file.ok_or_else(busy)?;
    state
        .index_cache
        .put((view.shown(id), view.generation), &file);
    Ok(file)
}

/// Reads from the copy, on a thread that may wait for the disk.
pub(super) async fn read_copy<T: Send + 'static>(
    state: &'static State,
    read: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, ErrorResponse> {
    let panicked =
        |error| Error::new(Kind::Server, "the thread that reads the copy failed").because(error);
    let read = spawn_blocking(read).await.map_err(panicked);
    read.and_then(|read| read)
        .map_err(|error| state.replace_copy(&error))
}

/// Reads what is listed of a crate. `None` if there is no memory for it.
fn prepare(view: &View, id: ObjectId, budget: &MemoryBudget) -> Result<Option<Arc<IndexFile>>> {
    let content = view.content(id)?;
    let tag = match &view.stored {
        None => Tag::of(view.shown(id).as_bytes()),
        Some(_) => {
            // A tag has room for a git object id; as many bytes of a SHA-256 serve as well.
            let mut hash = [0; 20];
            hash.copy_from_slice(&digest(&SHA256, &content).as_ref()[..20]);
            Tag::of(&hash)
        }
    };
    let decided = view
        .decided(id)
        .filter(|decided| !decided.outcome.is_plain());
    Ok(IndexFile::new(content, tag, decided.cloned(), budget).map(Arc::new))
}

/// Refuses while clients that do not read their responses hold all of the memory for index files.
pub(super) fn busy() -> ErrorResponse {
    ErrorResponse::for_cargo(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many responses wait for clients that do not read them; try again in a few seconds",
    )
    .with(RETRY_AFTER, BUSY)
}

/// Responds with a file. One of which no version is listed does not exist.
fn respond(
    state: &State,
    view: &View,
    file: &IndexFile,
    request: HeaderMap,
) -> Result<Response<Body>, ErrorResponse> {
    if file.plain.is_empty() {
        return Err(not_found());
    }
    if is_known(&request, &file.tag, view.modified) {
        return Ok(not_modified(state, request, file.etag.clone()));
    }
    let gzip = accepts_gzip(&request).then(|| file.gzip()).flatten();
    let mut headers = request;
    headers.clear();
    let tag = match gzip {
        Some(_) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            // A strong tag would promise the same bytes in every encoding.
            &file.weak_etag
        }
        None => &file.etag,
    };
    add_validators(state, &mut headers, tag.clone());
    headers.insert(LAST_MODIFIED, view.last_modified.clone());
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, text);
    let mut response = Response::new(Body::from(gzip.unwrap_or(&file.plain).clone()));
    *response.headers_mut() = headers;
    Ok(response)
}

/// Responds with 304.
fn not_modified(state: &State, request: HeaderMap, tag: HeaderValue) -> Response<Body> {
    let mut headers = request;
    headers.clear();
    add_validators(state, &mut headers, tag);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = headers;
    response
}

/// Adds what a 200 and a 304 have in common (RFC 9110, section 15.4.5).
fn add_validators(state: &State, headers: &mut HeaderMap, tag: HeaderValue) {
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, cache_control(state));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
}

fn cache_control(state: &State) -> HeaderValue {
    match state.tokens.is_mirror_open() {
        false => PRIVATE_CACHE,
        true => CACHE,
    }
}
