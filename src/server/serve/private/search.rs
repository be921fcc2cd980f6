//! `/private/api/v1/crates?q=`: `cargo search`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::json;
use url::form_urlencoded;

use super::{read, registry};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::index::release::CrateSummary;
use crate::server::serve::state::State;

/// How many crates a page has, and the most.
const PER_PAGE: usize = 10;
const MOST: usize = 100;
/// The longest question, in bytes.
const LONGEST: usize = 200;

/// `GET /private/api/v1/crates`.
pub(in crate::server::serve) fn search(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    registry(state)?;
    let (mut text, mut per_page, mut page) = (String::new(), PER_PAGE, 1);
    for (key, value) in form_urlencoded::parse(request.query.unwrap_or_default().as_bytes()) {
        let number = |most: usize| {
            value
                .parse()
                .ok()
                .filter(|number| (1..=most).contains(number))
        };
        match &*key {
            "q" => text = value.chars().take(LONGEST).collect(),
            "per_page" => {
                per_page = number(MOST).ok_or_else(|| malformed("per_page is 1 to 100"))?
            }
            "page" => {
                page = number(1 << 20).ok_or_else(|| malformed("page is a number from 1 up"))?
            }
            _ => {}
        }
    }
    Ok(Reply::later(async move {
        let part = ((page - 1) * per_page, per_page);
        let (total, found) = read::search(state, &text, part).await?;
        let mut crates = Vec::new();
        for summary in found {
            crates.push(described(state, summary).await);
        }
        let json = json!({ "crates": crates, "meta": { "total": total } });
        let mut response = Json(json).into_response().map(Body::from);
        let none = axum::http::HeaderValue::from_static("no-store");
        response
            .headers_mut()
            .insert(axum::http::header::CACHE_CONTROL, none);
        Ok(response)
    }))
}

async fn described(state: &State, of: CrateSummary) -> serde_json::Value {
    let description = read::description(state, &of.default).await;
    let shown = of.max.as_ref().unwrap_or(&of.default.version);
    json!({
        "id": of.name,
        "name": of.name,
        "description": description,
        "max_version": shown,
        "max_stable_version": of.max_stable,
        "newest_version": of.newest,
        "default_version": of.default.version,
        "num_versions": of.versions,
        "yanked": of.is_yanked,
        "created_at": of.created,
        "updated_at": of.updated,
    })
}

fn malformed(text: &'static str) -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::BAD_REQUEST, text)
}
