//! Responses that say what went wrong: a status, and a JSON object or a page.

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
    form: Form,
    header: Option<(HeaderName, HeaderValue)>,
    note: Option<Note>,
}

/// What the access log says of a response beside its status. One byte: a text would make errors larger than results should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The policy has it on hold.
    Held,
    /// The policy denies it.
    Denied,
}

impl Note {
    /// Returns the word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Denied => "denied",
        }
    }
}

/// The form of the body.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// `{"error": …}`.
    Json,
    /// `{"errors": [{"detail": …}]}`, which cargo shows.
    Cargo,
    /// One line of plain text: of a crate file's answer cargo shows the body as it is.
    Line,
    /// What this makes of it.
    Page(Page),
}

/// Makes the page that shows an error.
pub type Page = fn(StatusCode, &str) -> Response;

impl ErrorResponse {
    /// Makes one whose body is `{"error": …}`.
    pub fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            error: error.into(),
            form: Form::Json,
            header: None,
            note: None,
        }
    }

    /// Makes one in the form that cargo shows, `{"errors": [{"detail": …}]}`.
    pub fn for_cargo(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            form: Form::Cargo,
            ..Self::new(status, detail)
        }
    }

    /// Makes one whose body is a line of plain text.
    pub fn in_a_line(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            form: Form::Line,
            ..Self::new(status, text)
        }
    }

    /// Returns its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns what it says.
    pub fn detail(&self) -> &str {
        &self.error
    }

    /// Shows it to people: the same status, headers and words, as a page.
    #[must_use]
    pub fn as_page(self, page: Page) -> Self {
        Self {
            form: Form::Page(page),
            ..self
        }
    }

    /// Adds what the access log says of it.
    #[must_use]
    pub fn noted(self, note: Note) -> Self {
        Self {
            note: Some(note),
            ..self
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
        let in_json = |json| (self.status, Json(json)).into_response();
        let mut response = match self.form {
            Form::Json => in_json(json!({ "error": self.error })),
            Form::Cargo => in_json(json!({ "errors": [{ "detail": self.error }] })),
            Form::Line => (self.status, format!("{}\n", self.error)).into_response(),
            Form::Page(page) => page(self.status, &self.error),
        };
        // What fails now may succeed a moment later, and a cache may store a 404 unless it is told not to (RFC 9110,
        // section 15.1).
        let uncached = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, uncached);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        if let Some(note) = self.note {
            response.extensions_mut().insert(note);
        }
        response
    }
}
