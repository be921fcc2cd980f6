//! What the handlers of the endpoint share, and how it authenticates.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use url::form_urlencoded;

use crate::http;
use crate::http::access::{Access, Authenticate, Caller, Client, is_secret};
use crate::http::error_response::ErrorResponse;
use crate::trigger::gitlab::Pipeline;
use crate::trigger::pipeline_gate::{Origin, TriggerResponse};
use crate::trigger::status::Status;

/// What the endpoint reports to the core.
#[derive(Debug)]
pub enum Message {
    /// A request for a pipeline.
    ///
    /// Its response is sent at once; or, if the helper asks GitLab because of it, as soon as GitLab has answered.
    Request {
        /// Who makes it.
        origin: Origin,
        /// Where the response goes.
        response: oneshot::Sender<TriggerResponse>,
    },
    /// The status of a pipeline, from a hook.
    Pipeline(Pipeline),
}

/// The configuration, as far as the endpoint needs it.
#[derive(Debug, Clone)]
pub struct EndpointSettings {
    /// The token that clients must send to request a pipeline; without one, anyone who can connect may.
    pub token: Option<SecretString>,
    /// The secret of webhooks; without one, webhooks are refused.
    pub hook_token: Option<SecretString>,
    /// Whether `?token=` is accepted, too.
    pub query_token: bool,
    /// How many `POST` requests are accepted in a minute.
    pub rate_limit: u32,
    /// Whether the repositories are polled.
    pub polls: bool,
    /// The project whose pipelines count, by path or id.
    pub project: String,
    /// The branch or tag whose pipelines count.
    pub reference: String,
    /// The branch of upstream whose pushes count.
    pub upstream_branch: String,
    /// How slow clients may be.
    pub timeouts: Timeouts,
}

/// The timeouts of a request.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For its head.
    pub head: Duration,
    /// For the whole request up to the response, and for a client that does not read the response.
    pub request: Duration,
    /// How long a request for a pipeline waits for GitLab before the response is `firing`.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            request: Duration::from_secs(20),
            // Less than `request`: a slow GitLab ends in the response `firing`, and not in a timeout.
            answer: Duration::from_secs(10),
        }
    }
}

/// What the handlers share.
pub(super) struct Endpoint {
    pub(super) settings: EndpointSettings,
    core: mpsc::Sender<Message>,
    pub(super) status: watch::Receiver<Status>,
    limiter: DefaultDirectRateLimiter,
    /// For requests whose authentication failed.
    strangers: DefaultDirectRateLimiter,
}

impl Authenticate for Arc<Endpoint> {
    /// Limits the rate of requests that can lead to a pipeline, and that of attempts to.
    fn admit(&self, method: &Method, client: Client) -> Result<(), ErrorResponse> {
        if *method != Method::POST {
            return Ok(());
        }
        let (limiter, text) = match client {
            Client::Authenticated => (
                &self.limiter,
                "too many requests: trigger.rate_limit is how many are accepted a minute",
            ),
            Client::Stranger => (
                &self.strangers,
                "too many requests without a valid token, secret or signature",
            ),
        };
        limiter.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(limiter.clock().now());
            // Rounded up: whoever comes back a moment too early is refused again.
            let seconds = wait.as_secs() + 1;
            ErrorResponse::new(StatusCode::TOO_MANY_REQUESTS, text)
                .with(header::RETRY_AFTER, seconds)
        })
    }

    /// Checks the token in `Authorization: Bearer` or, if `trigger.query_token` is set, in `?token=`.
    /// Its one token allows all that the table has, which is [`Access::Token`].
    fn grant(&self, _: Access, request: &Parts) -> Result<Option<Caller>, ErrorResponse> {
        let Some(token) = &self.settings.token else {
            return Ok(None);
        };
        let in_header = || {
            let value = request.headers.get(header::AUTHORIZATION)?;
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            is_bearer.then(|| token.trim().to_owned())
        };
        let in_query = || {
            let query = self.settings.query_token.then(|| request.uri.query())??;
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find_map(|(name, value)| (name == "token").then(|| value.into_owned()))
        };
        match in_header().or_else(in_query) {
            Some(given) if is_secret(token, given.as_bytes()) => Ok(None),
            Some(_) => Err(unauthorized("the token is not valid")),
            None => Err(unauthorized(
                "authentication required: send FERRY_TRIGGER_TOKEN as `Authorization: Bearer`",
            )),
        }
    }

    fn hook_secret(&self) -> Option<&SecretString> {
        self.settings.hook_token.as_ref()
    }
}

impl Endpoint {
    pub(super) fn new(
        settings: EndpointSettings,
        core: mpsc::Sender<Message>,
        status: watch::Receiver<Status>,
    ) -> Self {
        let rate = NonZeroU32::new(settings.rate_limit).unwrap_or(NonZeroU32::MIN);
        let limiter = || RateLimiter::direct(Quota::per_minute(rate));
        Self {
            limiter: limiter(),
            strangers: limiter(),
            settings,
            core,
            status,
        }
    }

    /// Refuses while the helper is being stopped.
    ///
    /// # Errors
    /// 503.
    pub(super) fn check_running(&self) -> Result<(), ErrorResponse> {
        match self.core.is_closed() {
            true => Err(stopping()),
            false => Ok(()),
        }
    }

    /// Hands a request to the core; returns its response, or `firing` if GitLab takes its time.
    pub(super) async fn ask(&self, origin: Origin) -> Result<Response<http::Body>, ErrorResponse> {
        let (response, responded) = oneshot::channel();
        self.tell(Message::Request { origin, response }).await?;
        let response = match timeout(self.settings.timeouts.answer, responded).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => return Err(stopping()),
            // The core goes on; only this response no longer waits for it.
            Err(_) => TriggerResponse::Firing,
        };
        let response = (StatusCode::ACCEPTED, axum::Json(response)).into_response();
        Ok(response.map(http::Body::from))
    }

    /// Hands a message to the core.
    pub(super) async fn tell(&self, message: Message) -> Result<(), ErrorResponse> {
        self.core.send(message).await.map_err(|_| stopping())
    }
}

fn unauthorized(error: &'static str) -> ErrorResponse {
    ErrorResponse::new(StatusCode::UNAUTHORIZED, error)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

fn stopping() -> ErrorResponse {
    ErrorResponse::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the helper is being stopped",
    )
}
