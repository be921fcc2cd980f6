//! What went wrong, as a page: what happened, why, and what to do.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::describe;
use super::frame::Frame;
use super::text::clean;

#[derive(Template)]
#[template(path = "server/serve/pages/error.html")]
struct ErrorPage {
    frame: Frame,
    happened: &'static str,
    why: String,
    to_do: &'static str,
    status: u16,
}

/// Makes the page of an error.
pub(in crate::server::serve) fn show(status: StatusCode, why: &str) -> Response {
    let (happened, to_do) = told(status);
    let page = ErrorPage {
        frame: Frame::without_state(happened),
        happened,
        why: sentence(&clean(why)),
        to_do,
        status: status.as_u16(),
    };
    let html = page.render().unwrap_or_else(|_| happened.to_owned());
    let mut response = (status, html).into_response();
    describe(response.headers_mut());
    response
}

fn told(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::UNAUTHORIZED => (
            "This server wants a token",
            "Reload the page: the browser then asks. Give any user name, and the token as the password. Whoever runs this server makes tokens.",
        ),
        StatusCode::FORBIDDEN => (
            "The token does not allow this",
            "Ask whoever runs this server for one that does.",
        ),
        StatusCode::NOT_FOUND => ("There is no such page", "Check the address."),
        StatusCode::MISDIRECTED_REQUEST => (
            "This server is not known by this name",
            "Ask the server's administrator for its address. If this name is right, the administrator adds it to serve.hosts.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "This page is only for reading",
            "Open the address in a browser.",
        ),
        StatusCode::SERVICE_UNAVAILABLE => (
            "This server is not ready yet",
            "Reload the page in a few seconds. The status page says how far it is.",
        ),
        _ => (
            "This server failed to make the page",
            "Reload the page. If that does not help, tell whoever runs this server: its log says more.",
        ),
    }
}

/// Makes a sentence of a detail as cargo shows it.
pub(super) fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}
