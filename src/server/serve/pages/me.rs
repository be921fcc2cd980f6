//! `/private/me`: how one gets a token, where `cargo login` sends people.

use askama::Template;
use axum::http::StatusCode;

use super::crate_page::PRIVATE;
use super::frame::Frame;
use super::{error, later, respond};
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::server::serve::state::State;

#[derive(Template)]
#[template(path = "server/serve/pages/me.html")]
struct Me {
    frame: Frame,
    /// The lines of cargo's configuration.
    lines: String,
    /// What they call the registry.
    name: &'static str,
    /// Whom to ask for a token.
    contact: Option<String>,
    /// Whether jobs of CI get tokens by themselves.
    has_trusted: bool,
}

/// Shows the page, to everybody: whoever needs it has no token yet.
pub(in crate::server::serve) fn show(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let address = state
        .address
        .for_request(request.authority, &request.headers);
    let address = address.map_err(|error| error.as_page(error::show))?;
    let page = Me {
        lines: format!(
            "[registries.{PRIVATE}]\nindex = \"sparse+{address}/private/index/\"\ncredential-provider = \"cargo:token\""
        ),
        name: PRIVATE,
        frame: Frame::new(state, "Get a token"),
        contact: state.config.serve.contact.clone(),
        has_trusted: state.trusted.is_used(),
    };
    let headers = request.headers;
    later(respond(state, headers, StatusCode::OK, move || page))
}
