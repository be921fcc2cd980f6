//! `/private/me`: how one gets a token, where `cargo login` sends people.

use askama::Template;
use axum::http::StatusCode;

use super::frame::Frame;
use super::{later, respond};
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::server::serve::state::State;

#[derive(Template)]
#[template(path = "server/serve/pages/me.html")]
struct Me {
    frame: Frame,
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
    let page = Me {
        frame: Frame::new(state, "Get a token"),
        contact: state.config.serve.contact.clone(),
        has_trusted: state.trusted.is_used(),
    };
    let headers = request.headers;
    later(respond(state, headers, StatusCode::OK, move || page))
}
