//! Webhooks of git hosts: verifies and parses them.
//!
//! GitLab sends the secret itself, in `X-Gitlab-Token`. GitHub signs the body with it: `X-Hub-Signature-256`, an
//! HMAC-SHA-256 (GitHub's documentation, "Validating webhook deliveries"). Gitea and Forgejo send GitHub's headers
//! beside their own.

use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Json;
use axum::http::header::{HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use bytesize::ByteSize;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::access::is_secret;
use super::body::Body;
use super::error_response::ErrorResponse;

const SIGNATURE: &str = "x-hub-signature-256";
const GITHUB_EVENT: &str = "x-github-event";
/// How long the body of a request may take to arrive.
// A limit of its own: while a request is being answered the connection's guard does not count.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// How many bodies of signed webhooks are read at a time: anybody can send one, whose signature proves false only then.
static UNVERIFIED: Semaphore = Semaphore::const_new(32);

/// The hosts whose webhooks a path accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// GitLab only. Its token is checked before the body is read.
    GitLab,
    /// GitLab, GitHub, Gitea and Forgejo. A signature can only be checked once the body was read, so that anybody can
    /// make the server hold a few.
    Any,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A branch or tag was pushed to.
    Push {
        /// Its full name, such as `refs/heads/master`.
        reference: Option<String>,
    },
    /// A pipeline changed its state.
    Pipeline(Pipeline),
    /// Something else: a webhook may be configured to send more events than are used here.
    Other,
}

/// A pipeline of GitLab.
#[derive(Debug)]
pub struct Pipeline {
    /// Its id on the GitLab server.
    pub id: u64,
    /// Its state, for example `running`.
    pub status: String,
    /// Its branch or tag.
    pub reference: String,
    /// The URL of its page.
    pub page: Option<String>,
    project: Option<Project>,
}

#[derive(Debug, Deserialize)]
struct Project {
    id: u64,
    path_with_namespace: Option<String>,
    web_url: Option<String>,
}

impl Pipeline {
    /// Says whether it belongs to this project, a path or an id. An event without a project does: its sender knew the
    /// secret.
    pub fn is_of(&self, project: &str) -> bool {
        self.project.as_ref().is_none_or(|ours| {
            let path = ours.path_with_namespace.as_deref();
            ours.id.to_string() == project
                || path.is_none_or(|path| path.eq_ignore_ascii_case(project))
        })
    }
}

/// Receives, verifies and parses a webhook.
///
/// # Errors
/// 401; 404 if the server has no secret; 400, 408 or 413 if the body is malformed, late or too large; 503 if too many
/// bodies are being read whose signature is not known yet.
pub(super) async fn receive(
    hosts: Hosts,
    secret: Option<&SecretString>,
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
) -> Result<Event, ErrorResponse> {
    let secret = secret.ok_or_else(no_secret)?;
    // GitHub's event header without a signature means a webhook without a secret: the error then says to set it, and
    // not to send GitLab's token.
    let is_signed = headers.contains_key(SIGNATURE) || headers.contains_key(GITHUB_EVENT);
    if hosts == Hosts::Any && is_signed {
        let _turn = UNVERIFIED.try_acquire().map_err(|_| too_many())?;
        let body = read_body(body, limit).await?;
        check_signature(secret, headers, &body)?;
        let kind = headers.get(GITHUB_EVENT);
        return parse(kind.map(|kind| kind.as_bytes()), &body);
    }
    check_token(secret, headers)?;
    parse(None, &read_body(body, limit).await?)
}

/// Answers that an event has no effect. With status 200: hosts disable webhooks that fail.
pub fn ignored(why: &str) -> Response<Body> {
    let body = Json(json!({ "result": "ignored", "why": why }));
    body.into_response().map(Body::from)
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// 400, 408 or 413.
pub async fn read_body(body: Incoming, limit: usize) -> Result<Bytes, ErrorResponse> {
    let read = timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await;
    let read = read.map_err(|_| {
        ErrorResponse::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        )
    })?;
    let read = read.map_err(|error| match error.is::<LengthLimitError>() {
        true => {
            let text = format!("the body is larger than {}", ByteSize(limit as u64));
            ErrorResponse::new(StatusCode::PAYLOAD_TOO_LARGE, text)
        }
        false => ErrorResponse::new(StatusCode::BAD_REQUEST, "the body could not be read"),
    })?;
    Ok(read.to_bytes())
}

fn check_token(secret: &SecretString, headers: &HeaderMap) -> Result<(), ErrorResponse> {
    match headers.get("x-gitlab-token") {
        Some(token) if is_secret(secret, token.as_bytes()) => Ok(()),
        Some(_) => Err(unauthorized("the secret token of the webhook is wrong")),
        None => Err(unauthorized(
            "authentication required: set the secret token of the webhook",
        )),
    }
}

fn check_signature(
    secret: &SecretString,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), ErrorResponse> {
    let signature = headers.get(SIGNATURE).and_then(|value| {
        let digits = value.to_str().ok()?.strip_prefix("sha256=")?;
        hex::decode(digits).ok()
    });
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    match signature {
        // `verify` compares in constant time.
        Some(signature) if hmac::verify(&key, body, &signature).is_ok() => Ok(()),
        Some(_) => Err(unauthorized("the signature of the webhook is wrong")),
        None => Err(unauthorized(
            "authentication required: set the secret of the webhook",
        )),
    }
}

/// Parses an event. GitHub names its kind in a header, GitLab in the body.
fn parse(kind: Option<&[u8]>, body: &[u8]) -> Result<Event, ErrorResponse> {
    #[derive(Deserialize)]
    struct Head {
        object_kind: Option<String>,
        #[serde(rename = "ref")]
        reference: Option<String>,
    }
    #[derive(Deserialize)]
    struct PipelineEvent {
        object_attributes: Attributes,
        project: Option<Project>,
    }
    #[derive(Deserialize)]
    struct Attributes {
        id: u64,
        status: String,
        #[serde(rename = "ref")]
        reference: String,
        url: Option<String>,
    }
    // In two steps: events of other kinds use the same keys for something else.
    let head: Head = deserialize(body)?;
    match kind.or(head.object_kind.as_deref().map(str::as_bytes)) {
        Some(b"push") | None => Ok(Event::Push {
            reference: head.reference,
        }),
        Some(b"pipeline") => {
            let PipelineEvent {
                object_attributes: pipeline,
                project,
            } = deserialize(body)?;
            let web_url = project
                .as_ref()
                .and_then(|project| project.web_url.as_ref());
            let page = web_url.map(|url| format!("{url}/-/pipelines/{}", pipeline.id));
            Ok(Event::Pipeline(Pipeline {
                id: pipeline.id,
                status: pipeline.status,
                reference: pipeline.reference,
                // Not every GitLab server sends the address.
                page: pipeline.url.or(page),
                project,
            }))
        }
        Some(_) => Ok(Event::Other),
    }
}

fn deserialize<T: DeserializeOwned>(body: &[u8]) -> Result<T, ErrorResponse> {
    serde_json::from_slice(body).map_err(|_| {
        ErrorResponse::new(
            StatusCode::BAD_REQUEST,
            "the body is not a webhook event; set the webhook's content type to application/json",
        )
    })
}

fn unauthorized(error: &'static str) -> ErrorResponse {
    ErrorResponse::new(StatusCode::UNAUTHORIZED, error)
        // A 401 must name a scheme (RFC 9110, section 15.5.2).
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

fn too_many() -> ErrorResponse {
    ErrorResponse::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many webhooks at the same time",
    )
    .with(RETRY_AFTER, 5)
}

/// Answers where the server has no secret, so that nobody could prove to be a git host.
pub(super) fn no_secret() -> ErrorResponse {
    ErrorResponse::new(
        StatusCode::NOT_FOUND,
        "webhooks are disabled: set FERRY_HOOK_TOKEN or FERRY_TRIGGER_TOKEN on the server",
    )
}
