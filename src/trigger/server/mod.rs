//! The endpoint: asks for a pipeline, hears of pipelines and pushes, shows how things are. TLS is left to a proxy.

mod access;
mod hooks;
mod metrics;
mod page;
mod reply;

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
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::types::{Answer, Message, Origin, Status};
use reply::Refusal;

/// The largest body that is read, in bytes.
const BODY: usize = 64 << 10;
/// How many connections are served at once; others wait until one is closed.
const CONNECTIONS: usize = 1024;
/// How long whoever asked for a pipeline waits for GitLab's answer.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// After what time a slow client is cut off.
#[derive(Debug, Clone, Copy)]
pub struct Slowness {
    /// For the head of a request.
    pub head: Duration,
    /// For the whole of a request, until its answer.
    pub request: Duration,
}

impl Default for Slowness {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            request: Duration::from_secs(20),
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
    let slowness = settings.slowness;
    let service = TowerToHyperService::new(router(settings, core, status));
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(slowness.head)
        .max_buf_size(32 << 10);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (accept(&listener).await, place)
        };
        let (stream, place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        let connection = server.serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("a client's connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it an answer only waits a little longer.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                // Out of file descriptors, for example: those in hand end in the meantime.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
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
    endpoint.limiter.check().map_err(|_| {
        let text = "too many requests: trigger.rate_limit says how many are answered a minute";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, text).with(header::RETRY_AFTER, "1")
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
    /// Hands a wish to the core and answers as it does, or that GitLab takes its time.
    async fn ask(&self, origin: Origin) -> Result<Response, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.tell(Message::Ask { origin, answer }).await?;
        let answer = match timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => return Err(stopping()),
            Err(_) => Answer::Firing,
        };
        Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
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
    let has_looked = {
        let status = endpoint.status.borrow();
        status.last_look.is_some() || status.look_error.is_some()
    };
    match has_looked || !endpoint.settings.looks {
        _ if endpoint.core.is_closed() => Err(stopping()),
        true => Ok("ready\n"),
        false => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "upstream and mirror are being looked at for the first time",
        )),
    }
}
