//! Responses that say what went wrong: a status and a JSON object.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A response of a status from 400 on. Handlers return it as their error.
#[derive(Debug)]
pub struct ErrorResponse {
    status: StatusCode,
    error: Cow<'static, str>,
    /// Whether the body has the form whose `errors` cargo shows.
    for_cargo: bool,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ErrorResponse {
    /// Makes one whose body is `{"error": …}`.
    pub fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            error: error.into(),
            for_cargo: false,
            header: None,
        }
    }

    /// Makes one in the form that cargo shows, `{"errors": [{"detail": …}]}`.
    pub fn for_cargo(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            for_cargo: true,
            ..Self::new(status, detail)
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        Self {
            header: Some((name, value.into())),
            ..self
        }
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let body = match self.for_cargo {
            true => json!({ "errors": [{ "detail": self.error }] }),
            false => json!({ "error": self.error }),
        };
        // What fails now may succeed a moment later, and a cache may store a 404 unless it is told not to (RFC 9110,
        // section 15.1).
        let uncached = [(CACHE_CONTROL, "no-store")];
        let mut response = (self.status, uncached, Json(body)).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
