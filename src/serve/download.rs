//! `/api/v1/crates/{crate}/{version}/download`: crate files.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, RETRY_AFTER, VIA,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::index;
use super::site::Site;
use crate::config::Downloads;
use crate::crate_files::{self, Unavailable, instance};
use crate::index::{CrateFile, CrateName};
use crate::web::Body;
use crate::web::refusal::Refusal;

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
pub(super) async fn download(
    site: &'static Site,
    asked: Option<Asked>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Refusal> {
    refuse_own(headers)?;
    let Asked { name, version } = asked.ok_or_else(unlisted)?;
    let view = site.view()?;
    let view = view.as_ref().ok_or_else(unlisted)?;
    let entry = index::find(site, view, &name.index_path()).await?;
    let entry = entry.ok_or_else(unlisted)?;
    let file = entry.version(&version).ok_or_else(unlisted)?;
    if !file.name.as_str().eq_ignore_ascii_case(name.as_str()) {
        return Err(unlisted());
    }
    let etag = etag(file);
    if headers.get(IF_NONE_MATCH) == Some(&etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(ETAG, etag);
        return Ok(response);
    }
    if site.config.serve.downloads == Downloads::Redirect {
        return Box::pin(redirect(site, file)).await;
    }
    if *method == Method::HEAD {
        let size = Box::pin(site.crate_files.look(file))
            .await
            .map_err(refusal)?;
        return Ok(answer(site, etag, size, Body::empty()));
    }
    let body = match site.crate_files.hot(file.checksum) {
        Some(bytes) => crate_files::Body::Whole(bytes),
        None => Box::pin(site.crate_files.get(file))
            .await
            .map_err(refusal)?,
    };
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

async fn redirect(site: &Site, file: &CrateFile) -> Result<Response<Body>, Refusal> {
    let url = site.crate_files.upstream_url(file).await.map_err(refusal)?;
    let url = HeaderValue::from_str(url.as_str()).map_err(|_| unlisted())?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, url);
    Ok(response)
}

fn answer(site: &Site, etag: HeaderValue, size: Option<u64>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    if let Some(size) = size {
        headers.insert(CONTENT_LENGTH, size.into());
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/gzip"));
    headers.insert(ETAG, etag);
    let cache = if site.tokens.is_some() {
        PRIVATE_FOREVER
    } else {
        FOREVER
    };
    headers.insert(CACHE_CONTROL, cache);
    response
}

/// Says in cargo's form why a crate file cannot be had.
fn refusal(why: Unavailable) -> Refusal {
    let refusal = Refusal::for_cargo(status(&why), why.to_string());
    match why {
        Unavailable::Paused(seconds) | Unavailable::Lately(_, seconds) => {
            refusal.with(RETRY_AFTER, seconds)
        }
        Unavailable::Busy => refusal.with(RETRY_AFTER, BUSY),
        _ => refusal,
    }
}

fn status(why: &Unavailable) -> StatusCode {
    match why {
        Unavailable::NotHeld | Unavailable::Missing(_) => StatusCode::NOT_FOUND,
        Unavailable::Upstream(_) | Unavailable::Paused(_) | Unavailable::Mismatch { .. } => {
            StatusCode::BAD_GATEWAY
        }
        Unavailable::Lately(why, _) => status(why),
        Unavailable::Busy | Unavailable::Abandoned | Unavailable::Store(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Unavailable::Slow(_) => StatusCode::GATEWAY_TIMEOUT,
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
