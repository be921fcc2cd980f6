//! `/private/crates`: the private crates, for those who may read them.

use askama::Template;
use axum::http::StatusCode;
use url::form_urlencoded;

use super::frame::Frame;
use super::listed::{Listed, Pages};
use super::text::{clean, number, page_number, words};
use super::{later, respond};
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::server::serve::private::read as private;
use crate::server::serve::registry::Registry;
use crate::server::serve::state::State;

/// How many crates a page has.
const PER_PAGE: usize = 20;
/// The longest text that is searched for, in characters.
const LONGEST: usize = 200;

#[derive(Template)]
#[template(path = "server/serve/pages/private.html")]
struct Private {
    frame: Frame,
    searched: String,
    total: String,
    is_one: bool,
    crates: Vec<Listed>,
    pages: Pages,
    /// Where all registries of the server are searched.
    all: String,
}

/// Reads the words that names are to have.
pub(super) fn asked(query: Option<&str>) -> String {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let text = pairs.find(|(name, _)| name == "q").map(|(_, text)| text);
    let text = text.unwrap_or_default();
    text.trim().chars().take(LONGEST).collect()
}

/// Returns the address of what has these words.
pub(super) fn address(path: &str, text: &str, page: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if !text.is_empty() {
        query.append_pair("q", text);
    }
    if page > 1 {
        query.append_pair("page", &page.to_string());
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// Shows the page.
pub(in crate::server::serve) fn show(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let (text, page) = (asked(request.query), page_number(request.query));
    let headers = request.headers;
    later(async move {
        let part = ((page - 1).saturating_mul(PER_PAGE), PER_PAGE);
        let (total, rows) = private::rows(state, &text, part).await?;
        let searched = clean(&text);
        let title = match searched.as_str() {
            "" => "All crates".to_owned(),
            text => format!("{text} · search"),
        };
        let page = Private {
            crates: Listed::all(Registry::Private, &rows, &words(&text)),
            total: number(total as u64),
            is_one: total == 1,
            pages: Pages::new(page, total, PER_PAGE, |page| {
                address(Registry::Private.crates(), &text, page)
            }),
            all: address(Registry::Private.search(), &text, 1),
            frame: Frame {
                searched: searched.clone(),
                ..Frame::of(state, Registry::Private, title)
            },
            searched,
        };
        respond(state, headers, StatusCode::OK, move || page).await
    })
}
