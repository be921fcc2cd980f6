//! The endpoint: asks for a pipeline, hears of pipelines and pushes, shows how things are. TLS is left to a proxy.

mod hooks;
mod metrics;
mod page;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tower::ServiceExt as _;
use tracing::debug;

use super::gitlab::Pipeline;
use super::pipeline_gate::{Origin, TriggerResponse};
use super::status::Status;
use crate::http::refusal::Refusal;
use crate::http::{self, Bounds, access};

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

/// What every request finds.
struct Endpoint {
    settings: EndpointSettings,
    core: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    limiter: DefaultDirectRateLimiter,
}

/// Serves until `shutdown`, then lets the requests in hand end; bound that from outside.
pub async fn serve(
    listener: TcpListener,
    settings: EndpointSettings,
    core: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    shutdown: impl Future<Output = ()>,
) {
    let bounds = Bounds {
        connections: CONNECTIONS,
        threads: 0,
        head: settings.timeouts.head,
        write: settings.timeouts.request,
    };
    let router = router(settings, core, status);
    let answer = move |request, _| router.clone().oneshot(request);
    http::serve(listener, answer, bounds, None, shutdown).await;
}

fn router(
    settings: EndpointSettings,
    core: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
) -> Router {
    let rate = NonZeroU32::new(settings.rate_limit).unwrap_or(NonZeroU32::MIN);
    let limit = settings.timeouts.request;
    let endpoint = Arc::new(Endpoint {
        limiter: RateLimiter::direct(Quota::per_minute(rate)),
        settings,
        core,
        status,
    });
    let asking = Router::new()
        .route("/trigger", post(trigger))
        .route("/hooks/gitlab", post(hooks::pipeline))
        .route("/hooks/push", post(hooks::push))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&endpoint),
            limited,
        ));
    Router::new()
        .route("/", get(page::show))
        .route("/status", get(status_json))
        .route("/metrics", get(metrics::show))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(asking)
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path takes another method",
            )
        })
        .layer(middleware::from_fn(move |request, next| {
            bounded(limit, request, next)
        }))
        .with_state(endpoint)
}

/// Cuts off requests that take too long, and logs each; an address may carry a token, so that only its path is logged.
async fn bounded(limit: Duration, request: Request, next: Next) -> Result<Response, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let late = Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request took too long");
            let mut response = late.into_response();
            let close = header::HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
    };
    debug!("{method} {path}: {}", response.status().as_u16());
    Ok(response)
}

async fn limited(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    endpoint.limiter.check().map_err(|not_until| {
        let text = "too many requests: trigger.rate_limit says how many are answered a minute";
        let wait = not_until.wait_time_from(endpoint.limiter.clock().now());
        let seconds = wait.as_secs() + 1;
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, text).with(header::RETRY_AFTER, seconds)
    })?;
    Ok(next.run(request).await)
}

async fn trigger(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request,
) -> Result<Response, Refusal> {
    let settings = &endpoint.settings;
    let query = settings
        .query_token
        .then(|| request.uri().query())
        .flatten();
    access::bearer(settings.token.as_ref(), request.headers(), query)?;
    read(request.into_body()).await?;
    endpoint.ask(Origin::Endpoint).await
}

/// Reads a body of at most [`BODY`] bytes.
async fn read(body: Body) -> Result<Bytes, Refusal> {
    axum::body::to_bytes(body, BODY).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        match source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>()) {
            true => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is larger than 64 KiB",
            ),
            false => Refusal::new(StatusCode::BAD_REQUEST, "the body could not be read"),
        }
    })
}

impl Endpoint {
    /// Hands a request to the core; returns its response, or `firing` if GitLab takes its time.
    async fn ask(&self, origin: Origin) -> Result<Response, Refusal> {
        let (response, responded) = oneshot::channel();
        self.tell(Message::Request { origin, response }).await?;
        let response = match timeout(self.settings.timeouts.answer, responded).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => return Err(stopping()),
            Err(_) => TriggerResponse::Firing,
        };
        Ok((StatusCode::ACCEPTED, axum::Json(response)).into_response())
    }

    async fn tell(&self, message: Message) -> Result<(), Refusal> {
        self.core.send(message).await.map_err(|_| stopping())
    }
}

fn stopping() -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the helper is being stopped",
    )
}

async fn status_json(State(endpoint): State<Arc<Endpoint>>) -> axum::Json<Status> {
    axum::Json(endpoint.status.borrow().clone())
}

async fn healthz(State(endpoint): State<Arc<Endpoint>>) -> Result<&'static str, Refusal> {
    match endpoint.core.is_closed() {
        true => Err(stopping()),
        false => Ok("ok\n"),
    }
}

async fn readyz(State(endpoint): State<Arc<Endpoint>>) -> Result<&'static str, Refusal> {
    let has_polled = {
        let status = endpoint.status.borrow();
        status.last_poll.is_some() || status.poll_error.is_some()
    };
    match has_polled || !endpoint.settings.polls {
        _ if endpoint.core.is_closed() => Err(stopping()),
        true => Ok("ready\n"),
        false => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the first poll of upstream and mirror is under way",
        )),
    }
}
