//! The endpoint: takes requests for a pipeline and webhooks, and shows the status. TLS is left to a proxy.

mod hooks;
mod metrics;
mod page;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hyper::body::Incoming;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::debug;
use url::form_urlencoded;

use super::gitlab::Pipeline;
use super::pipeline_gate::{Origin, TriggerResponse};
use super::status::Status;
use crate::http::access::{Access, Authenticate, Caller, is_secret};
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply, Route, Table};
use crate::http::webhook::{Hosts, read_body};
use crate::http::{self, Bounds};

/// The largest body that is read, in bytes.
const BODY: usize = 64 << 10;
/// Fewer than the usual limit of open files; others wait until one is closed.
const CONNECTIONS: usize = 512;

/// What the endpoint reports to the core.
#[derive(Debug)]
pub enum Message {
    /// A request for a pipeline.
    ///
    /// Its response is sent at once, or as soon as GitLab has answered if it is this request that makes GitLab be asked.
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
            answer: Duration::from_secs(10),
        }
    }
}

/// The paths of the endpoint.
const TABLE: Table<Arc<Endpoint>> = Table {
    routes: &[
        Route::get("/", Access::Public, page::show),
        Route::get("/status", Access::Public, status),
        Route::get("/metrics", Access::Public, metrics::show),
        Route::get("/healthz", Access::Public, healthz),
        Route::get("/readyz", Access::Public, readyz),
        Route::post("/trigger", Access::Token, trigger),
        Route::webhook("/hooks/gitlab", Hosts::GitLab, hooks::pipeline),
        Route::webhook("/hooks/push", Hosts::Any, hooks::push),
    ],
    error: |status, text| ErrorResponse::new(status, text),
    webhook_body: BODY,
};

/// What the handlers share.
struct Endpoint {
    settings: EndpointSettings,
    core: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    limiter: DefaultDirectRateLimiter,
}

/// Serves until `stop`, then drains the requests in flight; the caller limits how long.
pub async fn serve(
    listener: TcpListener,
    settings: EndpointSettings,
    core: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    stop: impl Future<Output = ()>,
) {
    let bounds = Bounds {
        connections: CONNECTIONS,
        threads: 0,
        head: settings.timeouts.head,
        write: settings.timeouts.request,
    };
    let rate = NonZeroU32::new(settings.rate_limit).unwrap_or(NonZeroU32::MIN);
    let endpoint = Arc::new(Endpoint {
        limiter: RateLimiter::direct(Quota::per_minute(rate)),
        settings,
        core,
        status,
    });
    let answer = move |request, _| answer(Arc::clone(&endpoint), request);
    http::serve(listener, answer, bounds, None, stop).await;
}

/// Answers a request within its deadline, and logs it: its path only, as the query may have a token.
async fn answer(
    endpoint: Arc<Endpoint>,
    request: Request<Incoming>,
) -> Result<Response<http::Body>, Infallible> {
    let limit = endpoint.settings.timeouts.request;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answering = TABLE.route(endpoint, request).respond(|response| response);
    let response = match timeout(limit, answering).await {
        Ok(response) => response,
        Err(_) => {
            let text = "the request took too long";
            let late = ErrorResponse::new(StatusCode::REQUEST_TIMEOUT, text);
            // The rest of the body may still arrive, and must not be read as the next request.
            let late = late.with(header::CONNECTION, HeaderValue::from_static("close"));
            late.into_response().map(http::Body::from)
        }
    };
    debug!("{method} {path}: {}", response.status().as_u16());
    Ok(response)
}

impl Authenticate for Arc<Endpoint> {
    /// Limits the rate of requests that can lead to a pipeline.
    fn admit(&self, method: &Method) -> Result<(), ErrorResponse> {
        if *method != Method::POST {
            return Ok(());
        }
        self.limiter.check().map_err(|not_until| {
            let text = "too many requests: trigger.rate_limit is how many are accepted a minute";
            let wait = not_until.wait_time_from(self.limiter.clock().now());
            let seconds = wait.as_secs() + 1;
            ErrorResponse::new(StatusCode::TOO_MANY_REQUESTS, text)
                .with(header::RETRY_AFTER, seconds)
        })
    }

    /// Checks the token in `Authorization: Bearer` or, if `trigger.query_token` is set, in `?token=`.
    fn token(&self, request: &Parts) -> Result<Option<Caller>, ErrorResponse> {
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

/// `POST /trigger`: asks for a pipeline.
fn trigger(endpoint: Arc<Endpoint>, request: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    Ok(Reply::later(async move {
        // Its content does not matter, but must not be read as the next request.
        read_body(request.body, BODY).await?;
        endpoint.ask(Origin::Endpoint).await
    }))
}

impl Endpoint {
    /// Hands a request to the core; returns its response, or `firing` if GitLab takes its time.
    async fn ask(&self, origin: Origin) -> Result<Response<http::Body>, ErrorResponse> {
        let (response, responded) = oneshot::channel();
        self.tell(Message::Request { origin, response }).await?;
        let response = match timeout(self.settings.timeouts.answer, responded).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => return Err(stopping()),
            Err(_) => TriggerResponse::Firing,
        };
        let response = (StatusCode::ACCEPTED, axum::Json(response)).into_response();
        Ok(response.map(http::Body::from))
    }

    async fn tell(&self, message: Message) -> Result<(), ErrorResponse> {
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

/// `GET /status`: the status for programs.
fn status(endpoint: Arc<Endpoint>, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    Ok(Reply::now(axum::Json(&*endpoint.status.borrow())))
}

/// `GET /healthz`: the helper works.
fn healthz(endpoint: Arc<Endpoint>, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    match endpoint.core.is_closed() {
        true => Err(stopping()),
        false => Ok(Reply::now("ok\n")),
    }
}

/// `GET /readyz`: both repositories were polled once, if they are polled.
fn readyz(endpoint: Arc<Endpoint>, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    let has_polled = {
        let status = endpoint.status.borrow();
        status.last_poll.is_some() || status.poll_error.is_some()
    };
    match has_polled || !endpoint.settings.polls {
        _ if endpoint.core.is_closed() => Err(stopping()),
        true => Ok(Reply::now("ready\n")),
        false => Err(ErrorResponse::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the first poll of upstream and mirror is under way",
        )),
    }
}
