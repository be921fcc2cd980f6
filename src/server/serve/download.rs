//! `/api/v1/crates/{crate}/{version}/download`: crate files.

use std::sync::Arc;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, VIA,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::conditions::is_named;
use super::entries::Entry;
use super::index;
use super::reply::Reply;
use super::site::Site;
use crate::config::Downloads;
use crate::http::Body;
use crate::http::refusal::Refusal;
use crate::index::{CrateFile, CrateName};
use crate::server::crate_files::{self, Unavailable, instance};

/// A version's bytes never change.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const PRIVATE_FOREVER: HeaderValue =
    HeaderValue::from_static("private, max-age=31536000, immutable");

/// After how many seconds a client may ask again that came where too many wait.
const BUSY: u64 = 10;

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    name: CrateName,
    version: String,
}

/// Reads the crate and the version off a path; `None` for a path of another form.
pub(super) fn named(path: &str) -> Option<Option<Asked>> {
    let path = path
        .strip_prefix("/api/v1/crates/")?
        .strip_suffix("/download")?;
    Some(parse(path))
}

fn parse(path: &str) -> Option<Asked> {
    let (name, version) = path.split_once('/')?;
    let decoded = |text| percent_decode_str(text).decode_utf8().ok();
    Some(Asked {
        name: CrateName::new(&decoded(name)?).ok()?,
        version: decoded(version)?.into_owned(),
    })
}

/// `GET /api/v1/crates/{crate}/{version}/download`; a `HEAD` fetches nothing.
pub(super) fn download(
    site: &'static Site,
    asked: Option<Asked>,
    method: &Method,
    headers: HeaderMap,
) -> Result<Reply, Refusal> {
    refuse_own(&headers)?;
    let asked = asked.ok_or_else(unlisted)?;
    let is_head = *method == Method::HEAD;
    let view = site.view()?;
    let view = view.as_ref().ok_or_else(unlisted)?;
    let path = asked.name.index_path();
    if let Some(entry) = index::find_in_memory(site, view, &path) {
        return send(site, listed(entry.as_deref(), &asked)?, is_head, &headers);
    }
    let view = Arc::clone(view);
    Ok(Reply::later(async move {
        let entry = index::find(site, &view, path).await?;
        let file = listed(entry.as_deref(), &asked)?;
        send(site, file, is_head, &headers)?.wait().await
    }))
}

/// Returns the file that is asked for, as the index lists it.
fn listed<'e>(entry: Option<&'e Entry>, asked: &Asked) -> Result<&'e CrateFile, Refusal> {
    let file = entry.and_then(|entry| entry.version(&asked.version));
    let named = |file: &&CrateFile| {
        let name = file.name.as_str();
        name.eq_ignore_ascii_case(asked.name.as_str())
    };
    file.filter(named).ok_or_else(unlisted)
}

fn send(
    site: &'static Site,
    file: &CrateFile,
    is_head: bool,
    headers: &HeaderMap,
) -> Result<Reply, Refusal> {
    let etag = etag(file);
    if is_named(headers, etag.as_bytes()) == Some(true) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        describe(site, response.headers_mut(), etag);
        return Ok(Reply::Now(response));
    }
    if site.config.serve.downloads == Downloads::Redirect {
        return Ok(Reply::later(redirect(site, file.clone())));
    }
    if is_head {
        return Ok(Reply::later(look(site, file.clone(), etag)));
    }
    Ok(match site.crate_files.hot(file.checksum) {
        Some(bytes) => Reply::Now(answer(site, etag, Some(bytes.len() as u64), bytes.into())),
        None => Reply::later(get(site, file.clone(), etag)),
    })
}

async fn redirect(site: &'static Site, file: CrateFile) -> Result<Response<Body>, Refusal> {
    let url = site
        .crate_files
        .upstream_url(&file)
        .await
        .map_err(refusal)?;
    let url = HeaderValue::from_str(url.as_str()).map_err(|_| unlisted())?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, url);
    Ok(response)
}

async fn look(
    site: &'static Site,
    file: CrateFile,
    etag: HeaderValue,
) -> Result<Response<Body>, Refusal> {
    let size = site.crate_files.size(&file).await.map_err(refusal)?;
    Ok(answer(site, etag, size, Body::empty()))
}

async fn get(
    site: &'static Site,
    file: CrateFile,
    etag: HeaderValue,
) -> Result<Response<Body>, Refusal> {
    let body = site.crate_files.get(&file).await.map_err(refusal)?;
    let size = body.size();
    let body = match body {
        crate_files::Body::Whole(bytes) => Body::from(bytes),
        other => axum::body::Body::from_stream(other.into_stream()).into(),
    };
    Ok(answer(site, etag, Some(size), body))
}

/// Refuses a request that we sent ourselves: upstream's `dl` leads back to us.
fn refuse_own(headers: &HeaderMap) -> Result<(), Refusal> {
    let own = |via: &HeaderValue| via.to_str().is_ok_and(|via| via.contains(instance()));
    match headers.get_all(VIA).iter().any(own) {
        true => Err(Refusal::for_cargo(
            StatusCode::LOOP_DETECTED,
            "this server asks itself for crate files: serve.dl, or the dl of upstream's config.json, leads back here",
        )),
        false => Ok(()),
    }
}

fn unlisted() -> Refusal {
    Refusal::for_cargo(
        StatusCode::NOT_FOUND,
        "the index lists no such version of a crate",
    )
}

fn etag(file: &CrateFile) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{}\"", file.checksum))
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

fn answer(site: &Site, etag: HeaderValue, size: Option<u64>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    if let Some(size) = size {
        headers.insert(CONTENT_LENGTH, size.into());
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
    describe(site, headers, etag);
    response
}

/// Adds what a 200 and a 304 say alike.
fn describe(site: &Site, headers: &mut HeaderMap, etag: HeaderValue) {
    headers.insert(ETAG, etag);
    let cache = match site.tokens {
        Some(_) => PRIVATE_FOREVER,
        None => FOREVER,
    };
    headers.insert(CACHE_CONTROL, cache);
}

/// Says in cargo's form why a crate file cannot be had.
fn refusal(why: Unavailable) -> Refusal {
    let refusal = Refusal::for_cargo(status(&why), why.to_string());
    match why {
        Unavailable::Paused(seconds) | Unavailable::FailedRecently(_, seconds) => {
            refusal.with(RETRY_AFTER, seconds)
        }
        Unavailable::Busy => refusal.with(RETRY_AFTER, BUSY),
        _ => refusal,
    }
}

fn status(why: &Unavailable) -> StatusCode {
    match why {
        Unavailable::NotStored | Unavailable::Missing(_) => StatusCode::NOT_FOUND,
        Unavailable::Upstream(_) | Unavailable::Paused(_) | Unavailable::Mismatch { .. } => {
            StatusCode::BAD_GATEWAY
        }
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
            let asked = named(path).flatten();
            asked.map(|asked| format!("{} {}", asked.name, asked.version))
        };
        for (path, found) in [
            ("/api/v1/crates/serde/1.0.0/download", Some("serde 1.0.0")),
            (
                "/api/v1/crates/serde/1.0.0+b/download",
                Some("serde 1.0.0+b"),
            ),
            (
                "/api/v1/crates/serde/1.0.0%2Bb/download",
                Some("serde 1.0.0+b"),
            ),
            ("/api/v1/crates/../1.0.0/download", None),
            ("/api/v1/crates/%2e%2e/1.0.0/download", None),
            ("/api/v1/crates/%ff/1.0.0/download", None),
            ("/api/v1/crates/serde/download", None),
        ] {
            assert_eq!(of(path).as_deref(), found, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_reader_panic(path in "/api/v1/crates/\\PC*/download") {
            named(&path);
        }
    }
}
