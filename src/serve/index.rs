//! `/index/`: the sparse index.

use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, VARY,
};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::entries::Entry;
use super::site::{Site, View};
use crate::ObjectId;
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::index::{CrateName, entry};
use crate::web::Body;
use crate::web::refusal::Refusal;

/// For how long a cache in between may answer by itself; cargo asks every time.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// With tokens no cache in between may answer.
const PRIVATE_CACHE: HeaderValue = HeaderValue::from_static("private, max-age=60");

/// Makes the `config.json` of this server.
///
/// # Errors
/// `server` where it cannot be written.
pub(super) fn make_config_json(config: &ServeConfig) -> Result<Bytes> {
    let url = config.public_url();
    let mut says = json!({ "dl": format!("{url}/api/v1/crates"), "api": url });
    if config.serve.auth.is_some() {
        says["auth-required"] = json!(true);
    }
    serde_json::to_vec(&says)
        .map(Bytes::from)
        .map_err(|error| Error::new(Kind::Server, "config.json cannot be written").because(error))
}

/// `GET /index/config.json`.
pub(super) fn config_json(site: &Site) -> Response<Body> {
    let mut response = Response::new(Body::from(site.config_json.clone()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, cache_control(site));
    response
}

/// `GET /index/ab/cd/abcd`; the path begins behind `/index/`.
pub(super) async fn entry(
    site: &'static Site,
    path: &str,
    asked: &HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let view = site.view()?;
    let view = view.as_ref().ok_or_else(unknown)?;
    if !CrateName::is_index_path(path) {
        return Err(unknown());
    }
    let entry = find(site, view, path).await?.ok_or_else(unknown)?;
    Ok(answer(site, view, &entry, asked))
}

fn unknown() -> Refusal {
    Refusal::for_cargo(StatusCode::NOT_FOUND, "the index has no such file")
}

/// Finds a crate's file by its path, in memory or in the copy.
pub(super) async fn find(
    site: &'static Site,
    view: &View,
    path: &str,
) -> Result<Option<Arc<Entry>>, Refusal> {
    let id = view.snapshot.file(path).map_err(|e| site.damaged(&e))?;
    let Some(id) = id else {
        return Ok(None);
    };
    let entry = match site.entries.get(id) {
        Some(entry) => entry,
        None => Box::pin(read(site, view, id)).await?,
    };
    // Where none of its versions is held, the crate is not listed.
    Ok(Some(entry).filter(|entry| !entry.plain.is_empty()))
}

/// Reads a file from the copy and prepares it.
async fn read(site: &'static Site, view: &View, id: ObjectId) -> Result<Arc<Entry>, Refusal> {
    let snapshot = Arc::clone(&view.snapshot);
    let prepared = spawn_blocking(move || {
        let content = snapshot.content(id)?;
        Ok(Arc::new(prepare(site, id, content)))
    });
    let broken = |error| Error::new(Kind::Server, "reading the copy broke off").because(error);
    let prepared = prepared.await.map_err(broken);
    let entry = prepared
        .and_then(|entry| entry)
        .map_err(|e| site.damaged(&e))?;
    site.entries.put(id, &entry);
    Ok(entry)
}

/// Leaves out the versions that are not held, where the index is to list the held ones only.
fn prepare(site: &Site, id: ObjectId, content: Vec<u8>) -> Entry {
    let Some(held) = &site.held else {
        return Entry::new(content, &id.to_string());
    };
    let held = held.load();
    let kept = entry::only(&content, |file| held.contains(&file.path()));
    let tag = hex::encode(&digest(&SHA256, &kept).as_ref()[..20]);
    Entry::new(kept, &tag)
}

fn answer(site: &Site, view: &View, entry: &Entry, asked: &HeaderMap) -> Response<Body> {
    let is_known = match asked.get(IF_NONE_MATCH) {
        Some(tags) => matches(tags, &entry.etag),
        None => asked
            .get(IF_MODIFIED_SINCE)
            .is_some_and(|since| is_since(since, view.seconds)),
    };
    let gzip = (!is_known && takes_gzip(asked))
        .then(|| entry.gzip())
        .flatten();
    let mut response = match (is_known, gzip) {
        (true, _) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        (false, Some(gzip)) => Response::new(Body::from(gzip.clone())),
        (false, None) => Response::new(Body::from(entry.plain.clone())),
    };
    let headers = response.headers_mut();
    let tag = match gzip {
        Some(_) => {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            &entry.weak_etag
        }
        None => &entry.etag,
    };
    headers.insert(ETAG, tag.clone());
    headers.insert(CACHE_CONTROL, cache_control(site));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if !is_known {
        headers.insert(LAST_MODIFIED, view.last_modified.clone());
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
    }
    response
}

fn cache_control(site: &Site) -> HeaderValue {
    match site.tokens {
        Some(_) => PRIVATE_CACHE,
        None => CACHE,
    }
}

/// Says whether one of the validators in `If-None-Match` is this one, be it weak or strong.
fn matches(asked: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(asked), Ok(etag)) = (asked.to_str(), etag.to_str()) else {
        return false;
    };
    asked
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

/// Says whether nothing changed since the date of `If-Modified-Since`.
fn is_since(asked: &HeaderValue, changed: SystemTime) -> bool {
    let date = asked.to_str().ok();
    let date = date.and_then(|text| httpdate::parse_http_date(text).ok());
    date.is_some_and(|date| changed <= date)
}

/// Says whether `Accept-Encoding` admits gzip.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let accepted = asked
        .get(ACCEPT_ENCODING)
        .and_then(|text| text.to_str().ok());
    accepted.is_some_and(|accepted| {
        accepted.split(',').any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let is_refused = parts.any(|part| {
                let quality = part.strip_prefix("q=").map(str::parse::<f32>);
                matches!(quality, Some(Ok(quality)) if quality == 0.0)
            });
            is_gzip && !is_refused
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: axum::http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("deflate, gzip", true),
            ("GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(
                takes_gzip(&headers(ACCEPT_ENCODING, accepted)),
                takes,
                "{accepted}"
            );
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn any_of_several_validators_will_do() {
        let etag = HeaderValue::from_static("\"ab\"");
        for (asked, known) in [
            ("\"ab\"", true),
            ("W/\"ab\"", true),
            ("\"x\", W/\"ab\"", true),
            ("*", true),
            ("\"a\"", false),
            ("ab", false),
            ("", false),
        ] {
            assert_eq!(
                matches(&HeaderValue::from_static(asked), &etag),
                known,
                "{asked}"
            );
        }
    }
}
