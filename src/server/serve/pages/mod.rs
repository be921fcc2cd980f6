//! The pages for people: search, crates, set-up and status. They are made here, and whole without a script; the one there is
//! only saves steps.
//!
//! Each page has a file for what it says and a template for how. What others wrote is escaped by the templates, and by
//! [`text`] where the eye would be deceived; addresses become links in [`text::Link`] alone.

pub(super) mod assets;
mod chart;
mod compare;
mod crate_page;
mod dependencies;
mod dependents;
pub(super) mod error;
mod features;
mod frame;
mod listed;
mod mark;
pub(super) mod me;
mod numbered;
mod of_version;
pub(super) mod private;
pub(super) mod search;
pub(super) mod setup;
mod source;
pub(super) mod status;
mod text;
mod versions;
mod week;

use std::borrow::Cow;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LOCATION,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::conditions::{Tag, accepts_gzip, is_named};
use super::crate_reader::ask;
use super::index::busy;
use super::index_cache::compress;
use super::registry::Registry;
use super::state::State;
use crate::error::{Error, Kind};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, NOTHING_HERE, Reply};

/// Nothing but our own style, script and pictures, and forms that lead back here: what a page shows of others cannot do or
/// load anything, even if it got past the escapes.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// What every page says to the browser, errors too.
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
];

/// `GET /crates/NAME…`: the pages of a crate.
pub(super) fn below_crates(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    below(state, Registry::Mirror, request)
}

/// `GET /private/crates/NAME…`: the pages of a private crate.
pub(super) fn below_private_crates(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    below(state, Registry::Private, request)
}

fn below(
    state: &'static State,
    registry: Registry,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let parts: Option<Vec<_>> = request.wildcard.split('/').map(part).collect();
    let Some(parts) = parts else {
        return Err(nothing());
    };
    let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
    if let Some(address) = own_address(registry, &parts) {
        return later(async move { Ok(redirect(&address)) });
    }
    let (headers, page) = (request.headers, text::page_number(request.query));
    let own = |part: &str| part.to_owned();
    match *parts.as_slice() {
        ["", ..] => Err(nothing()),
        [name] => later(crate_page::show(state, headers, registry, own(name), None)),
        [name, "versions"] => later(versions::show(state, headers, registry, own(name), page)),
        [name, "dependents"] => later(dependents::show(state, headers, registry, own(name), page)),
        [name, version, "src", ""] => later(source::list(
            state,
            headers,
            registry,
            (own(name), own(version)),
            page,
        )),
        [name, version, "src", ref path @ ..] => {
            let (of, path) = ((own(name), own(version)), path.join("/"));
            let query = request.query.map(str::to_owned);
            later(source::show(state, headers, registry, of, path, query))
        }
        [name, version, "readme"] => later(source::show_readme(
            state,
            headers,
            registry,
            (own(name), own(version)),
        )),
        [name, versions] if versions.contains("...") => {
            let (old, new) = versions.split_once("...").unwrap_or_default();
            let query = request.query.map(str::to_owned);
            later(compare::show(
                state,
                headers,
                registry,
                own(name),
                (own(old), own(new)),
                query,
            ))
        }
        [name, version] => {
            let version = Some(own(version));
            later(crate_page::show(
                state,
                headers,
                registry,
                own(name),
                version,
            ))
        }
        _ => Err(nothing()),
    }
}

/// Returns the one address that a page below that of all crates has, where it is another one than was asked for.
fn own_address(registry: Registry, parts: &[&str]) -> Option<String> {
    let parts: &[_] = match *parts {
        [""] => {
            let all = match registry {
                Registry::Mirror => "/",
                Registry::Private => registry.crates(),
            };
            return Some(all.to_owned());
        }
        ["", ..] => return None,
        [name, ""] => &[name],
        [name, below, ""] => &[name, below],
        [name, version, "src"] => &[name, version, "src", ""],
        _ => return None,
    };
    let parts: Vec<_> = parts.iter().map(|part| text::in_path(part)).collect();
    Some(registry.path(&parts.join("/")))
}

/// `GET /crates`: what somebody looks for there is on the first page.
pub(super) fn crates(_: &'static State, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    later(async { Ok(redirect("/")) })
}

/// Decodes a part of a path; `None` where nothing can have that name: a slash that is written as `%2F` divides nothing.
fn part(encoded: &str) -> Option<Cow<'_, str>> {
    let part = percent_decode_str(encoded).decode_utf8().ok()?;
    (!part.contains(['/', '\0'])).then_some(part)
}

fn nothing() -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, NOTHING_HERE).as_page(error::show)
}

/// Answers with what the work returns; its errors become pages.
fn later(
    work: impl Future<Output = Result<Response<Body>, ErrorResponse>> + Send + 'static,
) -> Result<Reply, ErrorResponse> {
    Ok(Reply::later(async move {
        work.await.map_err(|error| error.as_page(error::show))
    }))
}

/// Makes and renders a page, on a thread that may take its time, and answers with it.
async fn respond<P: Template>(
    state: &'static State,
    request: HeaderMap,
    status: StatusCode,
    page: impl FnOnce() -> P + Send + 'static,
) -> Result<Response<Body>, ErrorResponse> {
    let takes_gzip = accepts_gzip(&request);
    let budget = state.index_cache.budget().clone();
    let rendered = ask(state, move || {
        let html = page().render().map_err(|error| {
            Error::new(Kind::Server, "a page cannot be rendered").because(error)
        })?;
        let mut hash = [0; 20];
        hash.copy_from_slice(&digest(&SHA256, html.as_bytes()).as_ref()[..20]);
        let gzip = takes_gzip.then(|| compress(html.as_bytes())).flatten();
        let is_gzip = gzip.is_some();
        let bytes = gzip.unwrap_or_else(|| html.into_bytes());
        let share = budget.take(bytes.len() as u64);
        Ok(share.map(|share| (Tag::of(&hash), share.hold(bytes), is_gzip)))
    });
    let (tag, body, is_gzip) = rendered.await?.ok_or_else(busy)?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    // Of a reader's own, and asked for again each time: what is asked for changes with the index.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    // By the token as well: some pages show more to whoever has one.
    let vary = HeaderValue::from_static("accept-encoding, authorization");
    headers.insert(VARY, vary);
    headers.insert(ETAG, tag.weak());
    if status == StatusCode::OK && is_named(&request, tag.strong().as_bytes()) == Some(true) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    if is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    describe(headers);
    *response.status_mut() = status;
    *response.body_mut() = body.into();
    Ok(response)
}

/// Adds what every page says to the browser.
fn describe(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Leads to another path of this server.
fn redirect(path: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(path) = HeaderValue::from_str(path) {
        headers.insert(LOCATION, path);
    }
    response
}
