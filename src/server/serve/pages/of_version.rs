//! The version that a page is about, and its crate file; and what is said where that is not here.

use std::sync::Arc;

use askama::Template;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, Response, StatusCode};
use semver::Version;

use super::crate_page::{find, missing, no_such_version};
use super::frame::Frame;
use super::mark::Mark;
use super::text::{clean, in_path};
use super::{redirect, respond};
use crate::config::Downloads;
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::index::release::Releases;
use crate::server::decisions::DecidedFile;
use crate::server::serve::crate_contents::{Closed, crate_file};
use crate::server::serve::crate_reader::read;
use crate::server::serve::registry::{FileOf, Registry};
use crate::server::serve::state::State;

/// A version whose crate file is asked for.
pub(super) struct OfVersion {
    pub(super) name: String,
    pub(super) number: String,
    pub(super) file: FileOf,
    /// What the policy says of it. What is denied is shown all the same: whoever looks into it has to see it.
    pub(super) mark: Option<Mark>,
}

/// What is asked for, or the page that is answered with instead.
pub(super) type Found<T> = Result<Result<T, Response<Body>>, ErrorResponse>;

#[derive(Template)]
#[template(path = "server/serve/pages/not_here.html")]
struct NotHere {
    frame: Frame,
    /// The path of the crate's page.
    base: String,
    name: String,
    number: String,
    /// What is wrong with its file, where that is here.
    wrong: Option<String>,
    /// That the policy refuses it, since when and why, if it does.
    denied: Option<String>,
    /// Whether the server fetches what clients download.
    is_fetched: bool,
    /// Whether a browser may download it.
    is_open: bool,
}

/// Finds a version; `below` is the rest of the page's path, for the crate's own spelling.
pub(super) async fn find_version(
    state: &'static State,
    headers: &HeaderMap,
    registry: Registry,
    (name, version): (&str, &str),
    below: &str,
) -> Found<OfVersion> {
    let Some((row, releases)) = find(state, registry, name).await? else {
        return missing(state, headers.clone(), registry, name)
            .await
            .map(Err);
    };
    if row.name != name {
        let path = format!("{}/{}{below}", registry.path(&row.name), in_path(version));
        return Ok(Err(redirect(&path)));
    }
    match pick(state, registry, &row.name, &releases, version).await? {
        Some(found) => Ok(Ok(found)),
        None => no_such_version(state, headers.clone(), registry, version, row.name)
            .await
            .map(Err),
    }
}

/// Returns a version of a crate; `None` where the index does not list it, or not its file.
pub(super) async fn pick(
    state: &'static State,
    registry: Registry,
    name: &str,
    releases: &Arc<Releases>,
    version: &str,
) -> Result<Option<OfVersion>, ErrorResponse> {
    let wanted = Version::parse(version).ok();
    let release = match wanted.and_then(|wanted| releases.place_of(&wanted)) {
        Some(place) => read(state, releases, place).await?,
        None => None,
    };
    Ok(release.and_then(|release| {
        let number = release.version.to_string();
        Some(OfVersion {
            name: name.to_owned(),
            mark: Mark::of(decided(state, registry, name).as_deref(), &number),
            number,
            file: registry.file(crate_file(&release)?),
        })
    }))
}

/// Returns what the policy decides of a crate. It is about the mirror alone, whatever name a private crate has.
pub(super) fn decided(state: &State, registry: Registry, name: &str) -> Option<Arc<DecidedFile>> {
    match registry {
        Registry::Mirror => state.decided(name),
        Registry::Private => None,
    }
}

/// Returns the versions of a crate that upstream took back and of which the index has no line; of the mirror alone.
pub(super) fn withdrawn(state: &State, registry: Registry, name: &str) -> Vec<Mark> {
    match registry {
        Registry::Mirror => state.gone(name).iter().map(Mark::gone).collect(),
        Registry::Private => Vec::new(),
    }
}

impl OfVersion {
    /// Returns the path of the crate's page.
    pub(super) fn base(&self) -> String {
        self.file.registry.path(&self.name)
    }

    /// Says whether a browser may ask the web API for it.
    pub(super) fn is_open(&self, state: &State) -> bool {
        !self.file.registry.is_private() && state.tokens.is_mirror_open()
    }
}

/// Says why there is nothing to show of a version's crate file.
pub(super) async fn not_here(
    state: &'static State,
    headers: HeaderMap,
    of: OfVersion,
    why: Closed,
) -> Result<Response<Body>, ErrorResponse> {
    let wrong = match why {
        Closed::NotStored => None,
        Closed::Unreadable(wrong) => Some(wrong),
        Closed::Store(why) => {
            let error = ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, why);
            return Err(error.with(RETRY_AFTER, 5));
        }
    };
    let registry = of.file.registry;
    let denied = decided(state, registry, &of.name);
    let denied = denied
        .as_ref()
        .and_then(|decided| decided.outcome.refusal(&of.number));
    let denied = denied.map(|denied| clean(&denied.to_string()));
    let page = NotHere {
        frame: Frame::of(
            state,
            registry,
            format!("{} {} is not here", of.name, of.number),
        ),
        base: of.base(),
        is_open: of.is_open(state),
        name: of.name,
        number: of.number,
        wrong,
        denied,
        is_fetched: state.config.serve.downloads == Downloads::Cache,
    };
    respond(state, headers, StatusCode::NOT_FOUND, move || page).await
}
