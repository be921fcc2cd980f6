//! `/healthz` and `/readyz`.

use axum::http::StatusCode;

use super::state::State;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};

/// `GET /healthz`: the process answers.
pub(super) fn healthz(_: &'static State, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    Ok(Reply::now("ok\n"))
}

/// `GET /readyz`: the index is there, and was refreshed not too long ago.
pub(super) fn readyz(state: &'static State, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    state.view()?;
    let looks = state.looks();
    let age = looks.last_success.map(|at| at.elapsed());
    let limit = state.config.serve.stale_after;
    match age {
        Some(age) if age <= limit => Ok(Reply::now("ready\n")),
        _ => {
            let limit = humantime::format_duration(limit);
            let why = looks
                .failure
                .unwrap_or_else(|| "none was tried yet".to_owned());
            let text = format!("no look at the index succeeded within {limit}: {why}");
            Err(ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, text))
        }
    }
}
