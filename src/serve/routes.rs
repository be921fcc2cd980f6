//! Which path is answered by what.

use axum::body::Body;
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;

use super::gate::Caller;
use super::site::Site;
use super::{download, gate, health, hooks, index, metrics};
use crate::web::refusal::Refusal;

/// An answer, and whose token opened the server.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) caller: Option<Caller>,
}

/// Answers a request. What may take long is boxed, so that what is in memory costs no more than it must.
pub(super) async fn answer(site: &'static Site, request: Request<Incoming>) -> Answer {
    let mut caller = None;
    let response = route(site, request, &mut caller).await;
    Answer {
        response: response.unwrap_or_else(Refusal::into_response),
        caller,
    }
}

async fn route(
    site: &'static Site,
    request: Request<Incoming>,
    caller: &mut Option<Caller>,
) -> Result<Response<Body>, Refusal> {
    let path = request.uri().path();
    if path == "/hooks/gitlab" {
        allow(&request, &[Method::POST], "POST")?;
        return Box::pin(hooks::gitlab(site, request)).await;
    }
    allow(&request, &[Method::GET, Method::HEAD], "GET, HEAD")?;
    if let Some(path) = path.strip_prefix("/index/") {
        *caller = gate::open(site, request.headers())?;
        return match path {
            "config.json" => Ok(index::config_json(site)),
            path => index::entry(site, path, request.headers()).await,
        };
    }
    if let Some(file) = download::named(path) {
        *caller = gate::open(site, request.headers())?;
        return download::download(site, file, request.headers()).await;
    }
    match path {
        "/healthz" => Ok(health::healthz().into_response()),
        "/readyz" => Ok(health::readyz(site)?.into_response()),
        "/metrics" => Ok(metrics::show(site).into_response()),
        _ => Err(Refusal::for_cargo(
            StatusCode::NOT_FOUND,
            "there is nothing at this path",
        )),
    }
}

fn allow(
    request: &Request<Incoming>,
    methods: &[Method],
    shown: &'static str,
) -> Result<(), Refusal> {
    match methods.contains(request.method()) {
        true => Ok(()),
        false => Err(Refusal::for_cargo(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path takes another method",
        )
        .with(ALLOW, HeaderValue::from_static(shown))),
    }
}
