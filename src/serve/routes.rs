//! Which path is answered by what.

use axum::http::header::{ALLOW, CONTENT_LENGTH};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use hyper::body::Incoming;

use super::gate::Caller;
use super::site::Site;
use super::{download, gate, health, hooks, index, metrics};
use crate::web::Body;
use crate::web::refusal::Refusal;

/// An answer, and whose token opened the server.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) caller: Option<Caller>,
}

/// Answers a request. The request is borrowed, and what may take long is boxed: whatever it holds is moved about with each
/// request.
pub(super) async fn answer(site: &'static Site, request: &mut Request<Incoming>) -> Answer {
    let mut caller = None;
    let is_head = request.method() == Method::HEAD;
    let response = route(site, request, &mut caller).await;
    let mut response = response.unwrap_or_else(|refusal| refusal.into_response().map(Body::from));
    if is_head {
        without_body(&mut response);
    }
    Answer { response, caller }
}

/// Takes the body away, whose length is told all the same; over HTTP/2 nobody else does.
fn without_body(response: &mut Response<Body>) {
    // Of nothing, as in a 304, no length is told.
    if let Some(size @ 1..) = response.body().size() {
        response.headers_mut().insert(CONTENT_LENGTH, size.into());
    }
    *response.body_mut() = Body::empty();
}

async fn route(
    site: &'static Site,
    request: &mut Request<Incoming>,
    caller: &mut Option<Caller>,
) -> Result<Response<Body>, Refusal> {
    if request.uri().path() == "/hooks/gitlab" {
        allow(request, &[Method::POST], "POST")?;
        let response = Box::pin(hooks::gitlab(site, request)).await?;
        return Ok(response.map(Body::from));
    }
    allow(request, &[Method::GET, Method::HEAD], "GET, HEAD")?;
    let headers = std::mem::take(request.headers_mut());
    let path = request.uri().path();
    if let Some(path) = path.strip_prefix("/index/") {
        *caller = gate::open(site, &headers)?;
        return match path {
            "config.json" => Ok(index::config_json(site)),
            path => index::entry(site, path, headers).await,
        };
    }
    if let Some(file) = download::named(path) {
        *caller = gate::open(site, &headers)?;
        let downloading = download::download(site, file, request.method(), &headers);
        return Box::pin(downloading).await;
    }
    let response = match path {
        "/healthz" => health::healthz().into_response(),
        "/readyz" => health::readyz(site)?.into_response(),
        "/metrics" => metrics::show(site).into_response(),
        _ => {
            let detail = "there is nothing at this path";
            return Err(Refusal::for_cargo(StatusCode::NOT_FOUND, detail));
        }
    };
    Ok(response.map(Body::from))
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
