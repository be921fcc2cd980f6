//! `/private/`: the registry of private crates.
//!
//! All of it takes a token. Nothing is decided here: [`PrivateRegistry`] is asked.

pub(super) mod api;
pub(super) mod dependents;
pub(super) mod download;
pub(super) mod index;
pub(super) mod read;
pub(super) mod search;

use std::future::pending;

use axum::http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;

use super::state::State;
use crate::error::Error;
use crate::http::error_response::ErrorResponse;
use crate::index::CrateName;
use crate::server::private::refusal::{Failure, Reason, Refusal};
use crate::server::private::registry::PrivateRegistry;
use crate::server::private::sweep::keep_swept;
use crate::shown::one_line;

/// After how many seconds a client may try again what could not be done.
const LATER: u64 = 5;

/// Keeps the private index fresh, and its files swept, for ever.
pub(super) async fn forever(state: &'static State) {
    match &state.private {
        None => pending().await,
        Some(registry) => {
            tokio::select! {
                never = registry.freshness.keep_fresh() => match never {},
                never = keep_swept(&registry.index, &registry.files, &state.config.serve.data_dir) => match never {},
            }
        }
    }
}

/// Returns the registry.
fn registry(state: &State) -> Result<&PrivateRegistry, ErrorResponse> {
    state.private.as_ref().ok_or_else(|| {
        ErrorResponse::for_cargo(
            StatusCode::NOT_FOUND,
            "this server has no registry of private crates: set private.index",
        )
    })
}

/// Reads the name of a crate from a path.
fn crate_name(text: &str) -> Result<CrateName, ErrorResponse> {
    let text = percent_decode_str(text).decode_utf8_lossy();
    CrateName::new(&text).map_err(|_| no_such_crate(&text))
}

/// Reads crate and version from a path.
fn crate_version(path: &str) -> Result<(CrateName, String), ErrorResponse> {
    let (name, version) = path.split_once('/').ok_or_else(|| no_such_crate(path))?;
    let version = percent_decode_str(version).decode_utf8_lossy();
    Ok((crate_name(name)?, version.into_owned()))
}

fn no_such_crate(text: &str) -> ErrorResponse {
    let shown: String = text.chars().take(100).collect();
    let text = format!(
        "crate `{}` does not exist in this registry",
        one_line(&shown)
    );
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, text)
}

/// Says in cargo's form why something was not done.
fn refused(state: &State, failure: impl Into<Failure>) -> ErrorResponse {
    match failure.into() {
        Failure::Refused(Refusal { reason, detail }) => {
            let status = match reason {
                Reason::Invalid => StatusCode::BAD_REQUEST,
                Reason::Forbidden => StatusCode::FORBIDDEN,
                Reason::NotFound => StatusCode::NOT_FOUND,
                Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                Reason::Unavailable => return unavailable(state, &detail),
            };
            let detail = state.mask.apply(&one_line(&detail)).into_owned();
            ErrorResponse::for_cargo(status, detail)
        }
        Failure::Failed(error) => {
            tracing::error!("private crates: {}", state.mask.apply(&error.chain()));
            unavailable(state, &error.chain())
        }
    }
}

fn unavailable(state: &State, detail: &str) -> ErrorResponse {
    let detail = state.mask.apply(&one_line(detail)).into_owned();
    ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, detail)
        .with(header::RETRY_AFTER, LATER)
}

/// Says that the index cannot be read.
fn unread(state: &State, error: Error) -> ErrorResponse {
    refused(state, error)
}

/// Returns the address by which a client reaches the server.
fn address(
    state: &State,
    authority: Option<&axum::http::uri::Authority>,
    headers: &HeaderMap,
) -> Result<String, ErrorResponse> {
    state.address.for_request(authority, headers)
}
