//! `/api/v1/crates/{crate}/{version}/download`: crate files.

use std::sync::Arc;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, VIA,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use futures_util::StreamExt as _;
use percent_encoding::percent_decode_str;

use super::audit::{self, Asker};
use super::conditions::is_named;
use super::index;
use super::index_cache::IndexFile;
use super::policy;
use super::state::State;
use super::view::View;
use crate::config::Downloads;
use crate::http::error_response::{ErrorResponse, Note};
use crate::http::routes::{Authorized, Reply};
use crate::http::{Body, Peer};
use crate::index::{CrateFile, CrateName, Published};
use crate::server::crate_files::{self, Unavailable, instance};
use crate::shown::one_line;

/// The bytes of a version never change.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const PRIVATE_FOREVER: HeaderValue =
    HeaderValue::from_static("private, max-age=31536000, immutable");
/// With a policy it may be denied tomorrow: a cache in between asks again within the hour, and gets a 304.
const HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const PRIVATE_HOUR: HeaderValue = HeaderValue::from_static("private, max-age=3600");

/// After how many seconds a client may retry that came while too many were waiting.
const BUSY: u64 = 10;

/// The version of a crate that a path names.
#[derive(Debug, PartialEq, Eq)]
struct Requested {
    name: CrateName,
    version: String,
}

/// Reads crate and version from what stands between `/api/v1/crates/` and `/download`.
fn parse(path: &str) -> Option<Requested> {
    // The version stays a string: it is only looked up among those that the index lists, and no path is made of it. It
    // is decoded, since clients may write the `+` of build metadata as `%2B`.
    let (name, version) = path.split_once('/')?;
    let decoded = |text| percent_decode_str(text).decode_utf8().ok();
    Some(Requested {
        name: CrateName::new(&decoded(name)?).ok()?,
        version: decoded(version)?.into_owned(),
    })
}

/// `GET /api/v1/crates/{crate}/{version}/download`; a `HEAD` fetches nothing.
pub(super) fn download(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let (headers, peer) = (request.headers, request.peer);
    let asker = audit::asker(state, request.caller, &headers, peer);
    refuse_own(&headers)?;
    let requested = parse(request.wildcard).ok_or_else(unlisted)?;
    let is_head = *request.method == Method::HEAD;
    let view = state.view()?;
    let view = view.as_ref().ok_or_else(unlisted)?;
    let path = requested.name.index_path();
    // Answered at once if the index file is in memory, without a future or a thread.
    if let Some(file) = index::find_in_cache(state, view, &path) {
        let permitted = permitted(state, file.as_deref(), &requested);
        let (file, note) = match permitted {
            Err(error)
                if error.status() == StatusCode::NOT_FOUND && is_withdrawn(view, &requested) =>
            {
                let view = Arc::clone(view);
                return Ok(Reply::later(async move {
                    Err(withdrawn(state, &view, requested).await)
                }));
            }
            permitted => permitted?,
        };
        let reply = respond(state, file, is_head, &headers, (peer, asker))?;
        return Ok(match note {
            Some(note) => reply.noted(note),
            None => reply,
        });
    }
    let view = Arc::clone(view);
    Ok(Reply::later(async move {
        let file = index::find(state, &view, path).await?;
        let permitted = permitted(state, file.as_deref(), &requested);
        let (file, note) = match permitted {
            Err(error)
                if error.status() == StatusCode::NOT_FOUND && is_withdrawn(&view, &requested) =>
            {
                return Err(withdrawn(state, &view, requested).await);
            }
            permitted => permitted?,
        };
        let reply = respond(state, file, is_head, &headers, (peer, asker))?;
        match note {
            Some(note) => reply.noted(note).wait().await,
            None => reply.wait().await,
        }
    }))
}

/// Returns the crate file of the requested version, as the index lists it.
fn listed<'f>(
    file: Option<&'f IndexFile>,
    requested: &Requested,
) -> Result<&'f CrateFile, ErrorResponse> {
    let found = file.and_then(|file| file.version(&requested.version));
    // The path may write the name in another case; another crate's name would be a damaged index.
    let is_same = |file: &&CrateFile| {
        let name = file.name.as_str();
        name.eq_ignore_ascii_case(requested.name.as_str())
    };
    found.filter(is_same).ok_or_else(unlisted)
}

/// A crate file, and what the access log says of what the policy decides of it, if anything.
type Permitted<'f> = (&'f CrateFile, Option<Note>);

/// Returns the crate file of the requested version, unless the policy denies it.
fn permitted<'f>(
    state: &State,
    file: Option<&'f IndexFile>,
    requested: &Requested,
) -> Result<Permitted<'f>, ErrorResponse> {
    let found = listed(file, requested)?;
    let decided = file.and_then(|file| file.decided(&requested.version));
    let note = decided.and_then(|decided| policy::note(decided.decision));
    match file.and_then(|file| file.refusal(&requested.version)) {
        None => Ok((found, note)),
        Some(denied) => Err(policy::refusal(state, found, denied)),
    }
}

/// Says whether something is remembered of a version that was withdrawn, perhaps in vain.
fn is_withdrawn(view: &View, requested: &Requested) -> bool {
    let seen = view.decisions.as_ref().map(|decisions| decisions.seen());
    let of_crate = seen.map(|seen| seen.of(requested.name.as_str()));
    of_crate.is_some_and(|of_crate| of_crate.withdrawn(&requested.version).is_some())
}

/// Says why a version is refused that is not listed: its line is gone, or its file was set aside; else that it is not listed.
async fn withdrawn(state: &'static State, view: &Arc<View>, requested: Requested) -> ErrorResponse {
    let (of, path) = (Arc::clone(view), requested.name.index_path());
    let reading = index::read_copy(state, move || match of.snapshot.file(&path)? {
        Some(blob) => of.snapshot.content(blob),
        None => Ok(Vec::new()),
    });
    let content = match reading.await {
        Ok(content) => content,
        Err(error) => return error,
    };
    let lines = content.split(|byte| *byte == b'\n');
    // Of two lines for a version the last one counts, as for cargo.
    let mut lines = lines.filter_map(Published::read_whole);
    let line = lines.rfind(|line| line.version == requested.version);
    let name = requested.name.as_str();
    let decided = view.decisions.as_ref().and_then(|decisions| {
        let (policy, seen) = (decisions.policy(), decisions.seen());
        policy.withdrawn(name, &requested.version, line.as_ref(), seen)
    });
    match decided {
        Some(denied) => {
            let version = format!("{name} {}", requested.version);
            policy::refusal(state, version, &denied)
        }
        None => unlisted(),
    }
}

fn respond(
    state: &'static State,
    file: &CrateFile,
    is_head: bool,
    headers: &HeaderMap,
    (peer, asker): (Peer, Option<Asker>),
) -> Result<Reply, ErrorResponse> {
    let etag = etag(file);
    // The tag is the checksum, which the index knows: the file itself need not be here.
    if is_named(headers, etag.as_bytes()) == Some(true) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        add_validators(state, response.headers_mut(), etag);
        return Ok(Reply::Now(response));
    }
    if state.config.serve.downloads == Downloads::Redirect {
        return Ok(Reply::later(redirect(state, file.clone(), asker)));
    }
    if !is_head {
        state.collected.count(&file.name);
    }
    if is_head {
        return Ok(Reply::later(head(state, file.clone(), etag)));
    }
    Ok(match state.crate_files.hot(file.checksum) {
        Some(bytes) => {
            audit::sent(state, file, asker);
            let size = Some(bytes.len() as u64);
            Reply::Now(file_response(state, etag, size, bytes.into()))
        }
        None => Reply::later(get(state, file.clone(), etag, peer, asker)),
    })
}

async fn redirect(
    state: &'static State,
    file: CrateFile,
    asker: Option<Asker>,
) -> Result<Response<Body>, ErrorResponse> {
    let url = state
        .crate_files
        .upstream_url(&file)
        .await
        .map_err(|why| error_response(state, why))?;
    let url = HeaderValue::from_str(url.as_str()).map_err(|_| unlisted())?;
    audit::sent(state, &file, asker);
    let mut response = Response::new(Body::empty());
    // 302, not 301: upstream may move its files, and nobody should remember this answer.
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, url);
    Ok(response)
}

async fn head(
    state: &'static State,
    file: CrateFile,
    etag: HeaderValue,
) -> Result<Response<Body>, ErrorResponse> {
    let size = state
        .crate_files
        .size(&file)
        .await
        .map_err(|why| error_response(state, why))?;
    Ok(file_response(state, etag, size, Body::empty()))
}

async fn get(
    state: &'static State,
    file: CrateFile,
    etag: HeaderValue,
    peer: Peer,
    asker: Option<Asker>,
) -> Result<Response<Body>, ErrorResponse> {
    // Before the file is looked for, which opens it.
    let may_open = state.files.take(peer.0).await.ok_or_else(no_files)?;
    let body = state
        .crate_files
        .get(&file)
        .await
        .map_err(|why| error_response(state, why))?;
    audit::sent(state, &file, asker);
    let size = body.size();
    let body = match body {
        crate_files::Body::Whole(bytes) => Body::from(bytes),
        // The stream has the file open to its end.
        other => axum::body::Body::from_stream(other.into_stream().inspect(move |_| {
            let _ = &may_open;
        }))
        .into(),
    };
    Ok(file_response(state, etag, Some(size), body))
}

/// Refuses while clients that do not read their responses have all files open that there may be.
fn no_files() -> ErrorResponse {
    ErrorResponse::for_cargo(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many crate files wait for clients that do not read them; try again in a few seconds",
    )
    .with(RETRY_AFTER, BUSY)
}

/// Refuses a request that this server sent itself, because upstream's `dl` leads back to it.
fn refuse_own(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let own = |via: &HeaderValue| via.to_str().is_ok_and(|via| via.contains(instance()));
    match headers.get_all(VIA).iter().any(own) {
        true => Err(ErrorResponse::for_cargo(
            StatusCode::LOOP_DETECTED,
            "this server requests crate files from itself: serve.dl, or the dl of upstream's config.json, leads back here",
        )),
        false => Ok(()),
    }
}

fn unlisted() -> ErrorResponse {
    ErrorResponse::for_cargo(
        StatusCode::NOT_FOUND,
        "the index lists no such version of a crate",
    )
}

fn etag(file: &CrateFile) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", file.checksum))
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

fn file_response(
    state: &State,
    etag: HeaderValue,
    size: Option<u64>,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    if let Some(size) = size {
        headers.insert(CONTENT_LENGTH, size.into());
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
    add_validators(state, headers, etag);
    response
}

/// Adds what a 200 and a 304 have in common.
fn add_validators(state: &State, headers: &mut HeaderMap, etag: HeaderValue) {
    headers.insert(ETAG, etag);
    let cache = match (state.tokens.is_mirror_open(), state.has_policy()) {
        (false, false) => PRIVATE_FOREVER,
        (true, false) => FOREVER,
        (false, true) => PRIVATE_HOUR,
        (true, true) => HOUR,
    };
    headers.insert(CACHE_CONTROL, cache);
}

/// Explains why there is no crate file, in the form that cargo shows.
fn error_response(state: &State, why: Unavailable) -> ErrorResponse {
    let text = one_line(&why.to_string()).into_owned();
    let text = state.mask.apply(&text).into_owned();
    let response = ErrorResponse::for_cargo(status(&why), text);
    match why {
        Unavailable::Paused(seconds) | Unavailable::FailedRecently(_, seconds) => {
            response.with(RETRY_AFTER, seconds)
        }
        Unavailable::Busy => response.with(RETRY_AFTER, BUSY),
        _ => response,
    }
}

fn status(why: &Unavailable) -> StatusCode {
    match why {
        // cargo retries 429 and 5xx, but gives up at a 404: that is only for what a retry would not find either.
        Unavailable::NotStored | Unavailable::Missing(_) => StatusCode::NOT_FOUND,
        Unavailable::Upstream(_)
        | Unavailable::Unfetchable(_)
        | Unavailable::Paused(_)
        | Unavailable::Mismatch { .. } => StatusCode::BAD_GATEWAY,
        Unavailable::FailedRecently(why, _) => status(why),
        Unavailable::Busy | Unavailable::Abandoned | Unavailable::Store(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Unavailable::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        Unavailable::Disk(_) => StatusCode::INSUFFICIENT_STORAGE,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_names_a_crate_and_a_version() {
        let of = |path: &str| {
            let found = parse(path);
            found.map(|found| format!("{} {}", found.name, found.version))
        };
        for (path, found) in [
            ("serde/1.0.0", Some("serde 1.0.0")),
            ("serde/1.0.0+b", Some("serde 1.0.0+b")),
            ("serde/1.0.0%2Bb", Some("serde 1.0.0+b")),
            ("../1.0.0", None),
            ("%2e%2e/1.0.0", None),
            ("%ff/1.0.0", None),
            ("serde", None),
        ] {
            assert_eq!(of(path).as_deref(), found, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_reader_panic(path in "\\PC*") {
            parse(&path);
        }
    }
}
