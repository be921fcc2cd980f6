//! `/crates/NAME/dependents`: the crates that need a crate.

use askama::Template;
use axum::http::{HeaderMap, Response, StatusCode};

use super::crate_page::missing;
use super::frame::Frame;
use super::listed::{Listed, Pages};
use super::respond;
use super::text::number;
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::server::serve::crate_reader::{ask, catalog};
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

const PER_PAGE: usize = 50;

#[derive(Template)]
#[template(path = "server/serve/pages/dependents.html")]
struct Dependents {
    frame: Frame,
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
    name: String,
    page: usize,
) -> Result<Response<Body>, ErrorResponse> {
    let catalog = catalog(state)?;
    let asked = name.clone();
    let found = ask(state, move || {
        let Some(row) = catalog.find(&asked)? else {
            return Ok(None);
        };
        let offset = (page - 1).saturating_mul(PER_PAGE);
        let (crates, total) = catalog.dependents(row.id, offset, PER_PAGE)?;
        Ok(Some((row, crates, total)))
    });
    let Some((row, crates, total)) = found.await? else {
        return missing(state, headers, Registry::Mirror, &name).await;
    };
    let page = Dependents {
        frame: Frame::new(state, format!("Dependents of {}", row.name)),
        total: number(total as u64),
        is_one: total == 1,
        crates: Listed::marked(state, &crates, &[]).await,
        pages: Pages::new(page, total, PER_PAGE, |page| {
            format!("/crates/{}/dependents?page={page}", row.name)
        }),
        name: row.name,
    };
    respond(state, headers, StatusCode::OK, move || page).await
}
