//! `POST /hooks/gitlab`: the index was pushed to.

use std::time::Duration;

use axum::Json;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::state::State;
use crate::git::branch_ref;
use crate::http::error_response::ErrorResponse;
use crate::http::{Body, access};

/// The largest body that is read, in bytes: an event lists commits and their files.
const BODY: usize = 1 << 20;
/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// GitLab's push event, as far as it is read.
#[derive(Deserialize)]
struct PushEvent {
    object_kind: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

pub(super) async fn gitlab(
    state: &'static State,
    request: Request<Incoming>,
) -> Result<Response<Body>, ErrorResponse> {
    let token = state.config.secrets.hook_token.as_ref();
    access::gitlab(token, request.headers())?;
    let body = Limited::new(request.into_body(), BODY).collect();
    let body = timeout(PATIENCE, body).await.map_err(|_| {
        ErrorResponse::new(StatusCode::REQUEST_TIMEOUT, "the request took too long")
    })?;
    let body = body.map_err(|_| {
        ErrorResponse::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body could not be read, or is larger than 1 MiB",
        )
    })?;
    let event: PushEvent = serde_json::from_slice(&body.to_bytes()).map_err(|_| {
        ErrorResponse::new(
            StatusCode::BAD_REQUEST,
            "the body is no event of a webhook (JSON)",
        )
    })?;
    let is_ours = event.object_kind.as_deref() == Some("push")
        && event.reference == Some(branch_ref(&state.config.index.branch));
    if !is_ours {
        // A host stops sending hooks that fail.
        let why = "it is no push to the branch of the index";
        let answer = Json(json!({ "result": "ignored", "why": why }));
        return Ok(answer.into_response().map(Body::from));
    }
    state.refresh_now.notify_one();
    let answer = Json(json!({ "result": "refreshing" }));
    let answer = (StatusCode::ACCEPTED, answer).into_response();
    Ok(answer.map(Body::from))
}
