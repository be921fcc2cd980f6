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

use super::types::{Answer, Message, Origin, Status};
use crate::http::error_response::ErrorResponse;
use crate::http::{self, Bounds, access};

/// The largest body that is read, in bytes.
const BODY: usize = 64 << 10;
/// Fewer than the usual limit of open files; others wait until one is closed.
const CONNECTIONS: usize = 512;

/// What the endpoint needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whoever sends it may ask for a pipeline; without one, anybody who can connect.
    pub token: Option<SecretString>,
    /// The secret of webhooks; without one they are refused.
    pub hook_token: Option<SecretString>,
    /// Whether `?token=` is taken too.
    pub query_token: bool,
    /// How many requests to fire are answered a minute.
    pub rate_limit: u32,
    /// Whether both repositories are looked at.
    pub looks: bool,
    /// The project whose pipelines count, by path or number.
    pub project: String,
    /// The branch or tag whose pipelines count.
    pub reference: String,
    /// The branch of upstream whose pushes count.
    pub upstream_branch: String,
    /// How slow clients may be.
    pub slowness: Slowness,
}

/// After what time a slow client is cut off, and answered without GitLab's word.
#[derive(Debug, Clone, Copy)]
pub struct Slowness {
    /// For the head of a request.
    pub head: Duration,
    /// For the whole of a request, until its answer, and for taking it.
    pub request: Duration,
    /// How long whoever asked for a pipeline waits for GitLab's answer.
    pub answer: Duration,
}

impl Default for Slowness {
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
    settings: Settings,
    core: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    limiter: DefaultDirectRateLimiter,
}

/// Serves until `shutdown`, then lets the requests in hand end; bound that from outside.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    core: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    shutdown: impl Future<Output = ()>,
) {
    let bounds = Bounds {
        connections: CONNECTIONS,
        threads: 0,
        head: settings.slowness.head,
        write: settings.slowness.request,
    };
    let router = router(settings, core, status);
    let answer = move |request, _| router.clone().oneshot(request);
    http::serve(listener, answer, bounds, None, shutdown).await;
}

fn router(
    settings: Settings,
    core: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
) -> Router {
    let rate = NonZeroU32::new(settings.rate_limit).unwrap_or(NonZeroU32::MIN);
    let limit = settings.slowness.request;
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
        .fallback(async || {
            ErrorResponse::new(StatusCode::NOT_FOUND, "there is nothing at this path")
        })
        .method_not_allowed_fallback(async || {
            ErrorResponse::new(
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
            let late = ErrorResponse::new(StatusCode::REQUEST_TIMEOUT, "the request took too long");
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
) -> Result<Response, ErrorResponse> {
    endpoint.limiter.check().map_err(|not_until| {
        let text = "too many requests: trigger.rate_limit says how many are answered a minute";
        let wait = not_until.wait_time_from(endpoint.limiter.clock().now());
        let seconds = wait.as_secs() + 1;
        ErrorResponse::new(StatusCode::TOO_MANY_REQUESTS, text).with(header::RETRY_AFTER, seconds)
    })?;
    Ok(next.run(request).await)
}

async fn trigger(
    State(endpoint): State<Arc<Endpoint>>,
    request: Request,
) -> Result<Response, ErrorResponse> {
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
async fn read(body: Body) -> Result<Bytes, ErrorResponse> {
    axum::body::to_bytes(body, BODY).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        match source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>()) {
            true => ErrorResponse::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is larger than 64 KiB",
            ),
            false => ErrorResponse::new(StatusCode::BAD_REQUEST, "the body could not be read"),
        }
    })
}

impl Endpoint {
    /// Hands a wish to the core and answers as it does, or that GitLab takes its time.
    async fn ask(&self, origin: Origin) -> Result<Response, ErrorResponse> {
        let (answer, answered) = oneshot::channel();
        self.tell(Message::Ask { origin, answer }).await?;
        let answer = match timeout(self.settings.slowness.answer, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Err(stopping()),
            Err(_) => Answer::Firing,
        };
        Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
    }

    async fn tell(&self, message: Message) -> Result<(), ErrorResponse> {
        self.core.send(message).await.map_err(|_| stopping())
    }
}

fn stopping() -> ErrorResponse {
    ErrorResponse::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the helper is being stopped",
    )
}

async fn status_json(State(endpoint): State<Arc<Endpoint>>) -> axum::Json<Status> {
    axum::Json(endpoint.status.borrow().clone())
}

async fn healthz(State(endpoint): State<Arc<Endpoint>>) -> Result<&'static str, ErrorResponse> {
    match endpoint.core.is_closed() {
        true => Err(stopping()),
        false => Ok("ok\n"),
    }
}

async fn readyz(State(endpoint): State<Arc<Endpoint>>) -> Result<&'static str, ErrorResponse> {
    let has_looked = {
        let status = endpoint.status.borrow();
        status.last_look.is_some() || status.look_error.is_some()
    };
    match has_looked || !endpoint.settings.looks {
        _ if endpoint.core.is_closed() => Err(stopping()),
        true => Ok("ready\n"),
        false => Err(ErrorResponse::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "upstream and mirror are being looked at for the first time",
        )),
    }
}
