//! The endpoint: takes requests for a pipeline and webhooks, and shows the status. TLS is left to a proxy.

mod endpoint;
mod hooks;
mod metrics;
mod page;

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::debug;

use super::pipeline_gate::Origin;
use super::status::Status;
use crate::http::access::Access;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply, Route, Table};
use crate::http::webhook::{Hosts, read_body};
use crate::http::{self, Bounds, Peer, Request};
use endpoint::Endpoint;
pub use endpoint::{EndpointSettings, Message, Timeouts};

/// The largest body that is read, in bytes.
const BODY: usize = 64 << 10;
/// Fewer than the usual limit of open files; others wait until one is closed.
const CONNECTIONS: usize = 512;

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
    error: |_, status, text| ErrorResponse::new(status, text),
    told: |_| None,
    webhook_body: BODY,
};

/// Serves until something is sent to `stop` or its sender is dropped, then drains the requests in flight; the caller limits
/// how long.
// Without type parameters, hyper is compiled with the library, and not again with each program that calls `run`.
pub fn start(
    listener: TcpListener,
    settings: EndpointSettings,
    core: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    stop: oneshot::Receiver<()>,
) -> JoinHandle<()> {
    let bounds = Bounds {
        connections: CONNECTIONS,
        // The thread of the core is enough: a request does little more than pass it a message.
        threads: 0,
        head: settings.timeouts.head,
        write: settings.timeouts.request,
    };
    let endpoint = Arc::new(Endpoint::new(settings, core, status));
    let answer = move |request, peer| answer(Arc::clone(&endpoint), request, peer);
    tokio::spawn(http::serve(listener, answer, bounds, None, stop))
}

/// Answers a request within its deadline, and logs it: its path only, as the query may have a token.
async fn answer(
    endpoint: Arc<Endpoint>,
    request: Request,
    peer: Peer,
) -> Result<Response<http::Body>, Infallible> {
    let limit = endpoint.settings.timeouts.request;
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answering = TABLE
        .route(endpoint, request, peer)
        .respond(|response| response);
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

/// `POST /trigger`: asks for a pipeline.
fn trigger(endpoint: Arc<Endpoint>, request: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    Ok(Reply::later(async move {
        // Its content does not matter, but must not be read as the next request.
        read_body(request.body, BODY).await?;
        endpoint.ask(Origin::Endpoint).await
    }))
}

/// `GET /status`: the status for programs.
fn status(endpoint: Arc<Endpoint>, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    Ok(Reply::now(axum::Json(&*endpoint.status.borrow())))
}

/// `GET /healthz`: the helper works.
fn healthz(endpoint: Arc<Endpoint>, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    endpoint.check_running()?;
    Ok(Reply::now("ok\n"))
}

/// `GET /readyz`: both repositories were polled once, if they are polled.
fn readyz(endpoint: Arc<Endpoint>, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    endpoint.check_running()?;
    let has_polled = {
        let status = endpoint.status.borrow();
        status.last_poll.is_some() || status.poll_error.is_some()
    };
    match has_polled || !endpoint.settings.polls {
        true => Ok(Reply::now("ready\n")),
        false => Err(ErrorResponse::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the first poll of upstream and mirror is under way",
        )),
    }
}
