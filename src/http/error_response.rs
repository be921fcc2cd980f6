//! How a request is refused: a status and one JSON object.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A request that is not granted.
#[derive(Debug)]
pub struct ErrorResponse {
    status: StatusCode,
    error: Cow<'static, str>,
    /// cargo shows what stands in `errors`.
    for_cargo: bool,
    header: Option<(HeaderName, HeaderValue)>,
}

impl ErrorResponse {
    /// Makes a refusal that says why.
    pub fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            error: error.into(),
            for_cargo: false,
            header: None,
        }
    }

    /// Makes a refusal in the form that cargo shows.
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
        // What is refused now may be granted a moment later.
        let not_kept = [(CACHE_CONTROL, "no-store")];
        let mut response = (self.status, not_kept, Json(body)).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
