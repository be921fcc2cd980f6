//! Trusted publishing: `/private/api/v1/trusted_publishing/tokens`, in crates.io's shapes, and what goes on in the background for it.

use axum::Json;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse as _;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::state::State;
use crate::config::ServeConfig;
use crate::count::counted;
use crate::http::Body;
use crate::http::access::Caller;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::http::webhook::read_body;
use crate::server::trusted::Refused;
use crate::shown::one_line;

/// The largest body, in bytes: a token is at most half of it.
const BODY: usize = 32 << 10;
/// How often what has expired is removed from the store.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// How many are exchanged at the same time: anybody may send what is no token.
static EXCHANGING: Semaphore = Semaphore::const_new(64);

#[derive(Deserialize)]
struct Exchange {
    jwt: String,
}

/// `POST`: exchanges the OIDC token of a job for a token that may publish.
pub(super) fn exchange(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    if !state.trusted.is_used() {
        let detail = "this server trusts no host of CI: private.trusted has no rules";
        return Err(ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail));
    }
    let body = request.body;
    Ok(Reply::later(async move {
        // The semaphore is never closed.
        let _turn = EXCHANGING.acquire().await;
        let body = read_body(body, BODY)
            .await
            .map_err(|error| ErrorResponse::for_cargo(error.status(), error.detail().to_owned()))?;
        let exchange: Exchange = serde_json::from_slice(&body).map_err(|_| {
            let detail = "expected a JSON object with the token of the job: {\"jwt\": \"…\"}";
            ErrorResponse::for_cargo(StatusCode::BAD_REQUEST, detail)
        })?;
        let store = state.crate_files.inventory().store();
        let now = state.handle.timestamp();
        let token = state.trusted.exchange(store, &exchange.jwt, now).await;
        let token = token.map_err(|why| refused(state, why))?;
        let mut response = Json(json!({ "token": token })).into_response();
        let uncached = header::HeaderValue::from_static("no-store");
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, uncached);
        Ok(response.map(Body::from))
    }))
}

/// `DELETE`: revokes the short-lived token that the request carries.
pub(super) fn revoke(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let Some(caller) = request.caller.filter(|caller| caller.job.is_some()) else {
        let detail = "this is no short-lived token: `crates-ferry token revoke` revokes others";
        return Err(ErrorResponse::for_cargo(StatusCode::BAD_REQUEST, detail));
    };
    Ok(Reply::later(async move {
        let store = state.crate_files.inventory().store();
        let revoked = state.trusted.revoke(store, &caller).await;
        revoked.map_err(|error| refused(state, Refused::Unknown(error)))?;
        info!("trusted publishing: {} revoked its token", caller.name);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }))
}

/// Looks whether a short-lived token was revoked at another server.
///
/// # Errors
/// 401 if it was; 503 if nobody can tell.
pub(super) async fn confirm(state: &State, caller: &Caller) -> Result<(), ErrorResponse> {
    let store = state.crate_files.inventory().store();
    match state.trusted.is_revoked_anywhere(store, caller).await {
        Ok(false) => Ok(()),
        Ok(true) => Err(super::auth::revoked()),
        Err(error) => Err(refused(state, Refused::Unknown(error))),
    }
}

fn refused(state: &State, why: Refused) -> ErrorResponse {
    match why {
        Refused::Token(why) => {
            let text = state.mask.apply(&one_line(&why)).into_owned();
            ErrorResponse::for_cargo(StatusCode::BAD_REQUEST, text)
        }
        Refused::Unknown(error) => {
            let text = state.mask.apply(&one_line(&error.chain())).into_owned();
            warn!("trusted publishing: {text}");
            ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, text)
                .with(header::RETRY_AFTER, 10)
        }
    }
}

/// Applies the rules of a configuration that was read again. Those that cannot be used change nothing.
pub(super) fn apply(state: &State, config: &ServeConfig) {
    match state.trusted.apply(config) {
        Ok(false) => info!("private.trusted has not changed"),
        Ok(true) => {
            let text = "private.trusted has changed";
            info!("{text}");
            state.handle.note("trusted", false, text);
            describe(state);
        }
        Err(error) => {
            let text = format!("private.trusted stays as it was: {}", error.chain());
            let text = state.mask.apply(&text).into_owned();
            error!("{text}");
            state.handle.note("trusted", true, &text);
        }
    }
}

/// Says in the log how many rules there are, if there are any.
fn describe(state: &State) {
    match state.trusted.rules() {
        0 => {}
        number => {
            let rules = counted(number, "rule");
            info!("trusted publishing: {rules} of private.trusted");
        }
    }
}

/// Keeps what the servers of a store agree on up to date.
pub(super) async fn forever(state: &'static State) {
    let trusted = &state.trusted;
    describe(state);
    let store = state.crate_files.inventory().store();
    let mut swept: Option<Timestamp> = None;
    loop {
        // Rules may come with SIGHUP.
        while !trusted.is_used() {
            trusted.is_live.notified().await;
        }
        let now = state.handle.timestamp();
        let wait = trusted.refresh(&state.config, store, now).await;
        if swept.is_none_or(|last| now.duration_since(last) > SWEEP_EVERY) {
            swept = Some(now);
            if let Err(error) = trusted.sweep(store, now).await {
                warn!("trusted publishing: cannot remove what has expired: {error}");
            }
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = trusted.is_live.notified() => {}
        }
    }
}
