//! Who may ask: tokens and signatures, compared in constant time.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use super::error_response::ErrorResponse;

/// Demands the token as `Authorization: Bearer`, or where a query is given as `token=`; without a token all may ask.
///
/// # Errors
/// 401.
pub fn bearer(
    token: Option<&SecretString>,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<(), ErrorResponse> {
    let Some(token) = token else {
        return Ok(());
    };
    let shown = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, shown) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| shown.trim().to_owned())
    });
    let in_query = || {
        let mut pairs = form_urlencoded::parse(query?.as_bytes());
        pairs.find_map(|(name, value)| (name == "token").then(|| value.into_owned()))
    };
    match shown.or_else(in_query) {
        Some(shown) if is_same(token, shown.as_bytes()) => Ok(()),
        Some(_) => Err(unauthorized("the token is wrong")),
        None => Err(unauthorized(
            "this path takes `Authorization: Bearer` with FERRY_TRIGGER_TOKEN",
        )),
    }
}

/// Demands GitLab's `X-Gitlab-Token`.
///
/// # Errors
/// 401, or 403 where there is no token to compare with.
pub fn gitlab(token: Option<&SecretString>, headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let token = token.ok_or_else(no_hooks)?;
    match headers.get("x-gitlab-token") {
        Some(shown) if is_same(token, shown.as_bytes()) => Ok(()),
        Some(_) => Err(unauthorized("the secret token of the webhook is wrong")),
        None => Err(unauthorized("the webhook has no secret token")),
    }
}

/// Demands GitHub's `X-Hub-Signature-256` over the body.
///
/// # Errors
/// As [`gitlab`].
pub fn github(
    token: Option<&SecretString>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), ErrorResponse> {
    let token = token.ok_or_else(no_hooks)?;
    let signature = headers.get("x-hub-signature-256").and_then(|value| {
        let digits = value.to_str().ok()?.strip_prefix("sha256=")?;
        hex::decode(digits).ok()
    });
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.expose_secret().as_bytes());
    match signature {
        Some(signature) if hmac::verify(&key, body, &signature).is_ok() => Ok(()),
        Some(_) => Err(unauthorized("the signature of the webhook is wrong")),
        None => Err(unauthorized("the webhook has no secret")),
    }
}

/// Hashes first, so that the time tells nothing of the length either.
fn is_same(token: &SecretString, shown: &[u8]) -> bool {
    let hash = |bytes: &[u8]| digest(&SHA256, bytes);
    let (token, shown) = (hash(token.expose_secret().as_bytes()), hash(shown));
    verify_slices_are_equal(token.as_ref(), shown.as_ref()).is_ok()
}

fn unauthorized(error: &'static str) -> ErrorResponse {
    ErrorResponse::new(StatusCode::UNAUTHORIZED, error)
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

fn no_hooks() -> ErrorResponse {
    ErrorResponse::new(
        StatusCode::FORBIDDEN,
        "webhooks are refused as long as neither FERRY_HOOK_TOKEN nor FERRY_TRIGGER_TOKEN is set",
    )
}
