//! `POST /hooks/gitlab`: the index was pushed to.

use axum::Json;
use axum::http::StatusCode;
use serde_json::json;

use super::state::State;
use crate::git::branch_ref;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::Reply;
use crate::http::webhook::{Event, ignored};

/// Refreshes the index where its branch was pushed to.
pub(super) fn pushed(state: &'static State, event: Event) -> Result<Reply, ErrorResponse> {
    match event {
        Event::Push {
            reference: Some(reference),
        } if reference == branch_ref(&state.config.index.branch) => {
            state.refresh_now.notify_one();
            let answer = Json(json!({ "result": "refreshing" }));
            Ok(Reply::now((StatusCode::ACCEPTED, answer)))
        }
        _ => Ok(Reply::Now(ignored(
            "it is no push to the branch of the index",
        ))),
    }
}
