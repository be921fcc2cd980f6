//! `/crates/NAME/dependents`: the crates that need a crate.

use askama::Template;
use axum::http::{HeaderMap, Response, StatusCode};

use super::crate_page::{find, missing};
use super::frame::Frame;
use super::listed::{Listed, Pages};
use super::respond;
use super::text::number;
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::server::serve::crate_reader::{ask, catalog};
use crate::server::serve::private::read;
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

const PER_PAGE: usize = 50;

#[derive(Template)]
#[template(path = "server/serve/pages/dependents.html")]
struct Dependents {
    frame: Frame,
    /// The path of the crate's page.
    base: String,
    name: String,
    total: String,
    is_one: bool,
    crates: Vec<Listed>,
    pages: Pages,
}

/// Shows the page.
pub(super) async fn show(
    state: &'static State,
    headers: HeaderMap,
    registry: Registry,
    name: String,
    page: usize,
) -> Result<Response<Body>, ErrorResponse> {
    let part = ((page - 1).saturating_mul(PER_PAGE), PER_PAGE);
    let found = match registry {
        Registry::Mirror => public(state, name.clone(), part).await?,
        Registry::Private => private(state, &name, part).await?,
    };
    let Some(Found {
        name,
        total,
        crates,
    }) = found
    else {
        return missing(state, headers, registry, &name).await;
    };
    let base = registry.path(&name);
    let page = Dependents {
        frame: Frame::of(state, registry, format!("Dependents of {name}")),
        total: number(total as u64),
        is_one: total == 1,
        crates,
        pages: Pages::new(page, total, PER_PAGE, |page| {
            format!("{base}/dependents?page={page}")
        }),
        base: base.clone(),
        name,
    };
    respond(state, headers, StatusCode::OK, move || page).await
}

/// The name of the crate in its own spelling, how many need it, and some of them.
struct Found {
    name: String,
    total: usize,
    crates: Vec<Listed>,
}

async fn public(
    state: &'static State,
    asked: String,
    (offset, limit): (usize, usize),
) -> Result<Option<Found>, ErrorResponse> {
    let catalog = catalog(state)?;
    let found = ask(state, move || {
        let Some(row) = catalog.find(&asked)? else {
            return Ok(None);
        };
        let (crates, total) = catalog.dependents(row.id, offset, limit)?;
        Ok(Some((row.name, crates, total)))
    });
    let Some((name, crates, total)) = found.await? else {
        return Ok(None);
    };
    let crates = Listed::marked(state, &crates, &[]).await;
    Ok(Some(Found {
        name,
        total,
        crates,
    }))
}

async fn private(
    state: &'static State,
    name: &str,
    part: (usize, usize),
) -> Result<Option<Found>, ErrorResponse> {
    let Some((row, _)) = find(state, Registry::Private, name).await? else {
        return Ok(None);
    };
    let (total, rows) = read::dependent_rows(state, &row.name, part).await?;
    Ok(Some(Found {
        name: row.name,
        total,
        crates: Listed::all(Registry::Private, &rows, &[]),
    }))
}
