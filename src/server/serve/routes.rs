//! Which path is answered by what.

use std::future::ready;

use axum::http::header::{ALLOW, CONTENT_LENGTH};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use futures_util::future::Either;
use hyper::body::Incoming;

use super::access_log::Record;
use super::reply::Reply;
use super::state::State;
use super::{auth, download, health, hooks, index, metrics};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;

/// Answers a request, and records it.
pub(super) fn answer(
    state: &'static State,
    request: Request<Incoming>,
    mut record: Record,
) -> impl Future<Output = Response<Body>> + Send {
    let is_head = request.method() == Method::HEAD;
    let finish = move |answer: Result<Response<Body>, ErrorResponse>, record: Record| {
        let mut response = answer.unwrap_or_else(|error| error.into_response().map(Body::from));
        if is_head {
            without_body(&mut response);
        }
        record.end(response)
    };
    match route(state, request, &mut record) {
        Ok(Reply::Later(work)) => {
            Either::Right(Box::pin(async move { finish(work.await, record) }))
        }
        Ok(Reply::Now(response)) => Either::Left(ready(finish(Ok(response), record))),
        Err(error) => Either::Left(ready(finish(Err(error), record))),
    }
}

/// Takes the body away, whose length is told all the same; over HTTP/2 nobody else does.
fn without_body(response: &mut Response<Body>) {
    // Of nothing, as in a 304, no length is told.
    if let Some(size @ 1..) = response.body().size() {
        response.headers_mut().insert(CONTENT_LENGTH, size.into());
    }
    *response.body_mut() = Body::empty();
}

fn route(
    state: &'static State,
    mut request: Request<Incoming>,
    record: &mut Record,
) -> Result<Reply, ErrorResponse> {
    if request.uri().path() == "/hooks/gitlab" {
        allow(&request, &[Method::POST], "POST")?;
        return Ok(Reply::later(hooks::gitlab(state, request)));
    }
    allow(&request, &[Method::GET, Method::HEAD], "GET, HEAD")?;
    let headers = std::mem::take(request.headers_mut());
    let path = request.uri().path();
    if let Some(path) = path.strip_prefix("/index/") {
        record.called_by(auth::open(state, &headers)?);
        return match path {
            "config.json" => Ok(Reply::Now(index::config_json(state))),
            path => index::entry(state, path, headers),
        };
    }
    if let Some(file) = download::named(path) {
        record.called_by(auth::open(state, &headers)?);
        return download::download(state, file, request.method(), headers);
    }
    let response = match path {
        "/healthz" => health::healthz().into_response(),
        "/readyz" => health::readyz(state)?.into_response(),
        "/metrics" => metrics::show(state).into_response(),
        _ => {
            let detail = "there is nothing at this path";
            return Err(ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail));
        }
    };
    Ok(Reply::Now(response.map(Body::from)))
}

fn allow(
    request: &Request<Incoming>,
    methods: &[Method],
    shown: &'static str,
) -> Result<(), ErrorResponse> {
    match methods.contains(request.method()) {
        true => Ok(()),
        false => Err(ErrorResponse::for_cargo(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path takes another method",
        )
        .with(ALLOW, HeaderValue::from_static(shown))),
    }
}
