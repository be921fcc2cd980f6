//! The routes of a server as a table: path, methods, who may, handler.
//!
//! ```text
//! Route::get("/index/*", Access::Token, index::entry)
//! Route::webhook("/hooks/push", Hosts::Any, hooks::push)
//! ```
//!
//! Authentication has one place, [`Table::route`], and no row can be written without saying who may: a handler is
//! called only after the [`Access`] of its row is granted. `HEAD`, `OPTIONS`, 404 and 405 with `Allow` follow from the
//! table.
//!
//! Why not axum's `Router`: it boxes a future for every request, even if the response is in memory. With seven paths, a
//! 304 took 365 ns of CPU time through it and 155 ns through this table; in `ci/bench-serve`, where a 304 takes about 5
//! µs in all, we are at 1.01 times nginx. Its extractors and layers would not be used: a handler here takes the shared
//! state and the request.

use std::future::ready;

use axum::http::header::{ALLOW, CONTENT_LENGTH, HeaderMap};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use futures_util::future::{BoxFuture, Either};
use hyper::body::Incoming;

use super::access::{Access, Authenticate, Caller, Client};
use super::body::Body;
use super::connection::Peer;
use super::error_response::{ErrorResponse, Note};
use super::webhook::{self, Event, Hosts};

/// A request as its handler gets it, after access was granted.
#[derive(Debug)]
pub struct Authorized<'r> {
    /// What the `*` of the route's path stands for.
    pub wildcard: &'r str,
    /// The host and port of the request's own URI: HTTP/2's `:authority`, or of HTTP/1 where the whole URI is sent.
    pub authority: Option<&'r Authority>,
    /// What follows the path's `?`.
    pub query: Option<&'r str>,
    /// Which connection it came from.
    pub peer: Peer,
    /// Whose token it carried: `None` where none was needed.
    pub caller: Option<Caller>,
    /// `GET` or `HEAD` for the same handler. Only one that can save work needs to tell them apart: the table leaves the
    /// body out.
    pub method: &'r Method,
    /// Owned, so that the response can reuse the map: to make another one takes as long as the rest of a 304.
    pub headers: HeaderMap,
    /// The body, which most handlers drop unread.
    pub body: Incoming,
}

/// What a handler returns: a response, or a future of one.
///
/// Most responses of the server come from memory. A future for each would cost an allocation, and hyper, which polls
/// the connection for the client's end meanwhile, would make a new read buffer each time.
pub enum Reply {
    /// A response that is ready.
    Now(Response<Body>),
    /// A response that waits for the disk, for upstream, or for the body of the request.
    Later(BoxFuture<'static, Result<Response<Body>, ErrorResponse>>),
}

impl Reply {
    /// Makes a reply that is ready.
    pub fn now(response: impl IntoResponse) -> Self {
        Self::Now(response.into_response().map(Body::from))
    }

    /// Makes a reply that waits.
    pub fn later(
        work: impl Future<Output = Result<Response<Body>, ErrorResponse>> + Send + 'static,
    ) -> Self {
        Self::Later(Box::pin(work))
    }

    /// Adds what the access log says of the response beside its status.
    #[must_use]
    pub fn noted(self, note: Note) -> Self {
        match self {
            Self::Now(mut response) => {
                response.extensions_mut().insert(note);
                Self::Now(response)
            }
            Self::Later(work) => Self::later(async move {
                let mut response = work.await?;
                response.extensions_mut().insert(note);
                Ok(response)
            }),
        }
    }

    /// Waits for the response.
    ///
    /// # Errors
    /// The handler's.
    pub async fn wait(self) -> Result<Response<Body>, ErrorResponse> {
        match self {
            Self::Now(response) => Ok(response),
            Self::Later(work) => work.await,
        }
    }
}

/// A handler of requests. `S` is the state that the handlers of a server share.
pub type Handler<S> = fn(S, Authorized<'_>) -> Result<Reply, ErrorResponse>;
/// A handler of webhooks. It only gets those whose secret or signature is valid.
pub type WebhookHandler<S> = fn(S, Event) -> Result<Reply, ErrorResponse>;

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Route<S> {
    path: Pattern,
    method: Verb,
    target: Target<S>,
}

#[derive(Clone, Copy)]
enum Target<S> {
    Handler(Access, Handler<S>),
    Webhook(Hosts, WebhookHandler<S>),
}

/// The methods of a row: `GET` with `HEAD`, or one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// A path, or with a `*` all paths that begin and end like it.
#[derive(Debug, Clone, Copy)]
struct Pattern {
    before: &'static str,
    /// `None` if the path has no `*`.
    after: Option<&'static str>,
}

impl<S> Route<S> {
    /// Makes a row for `GET` and `HEAD`. A `*` in the path stands for any text, slashes too.
    pub const fn get(path: &'static str, access: Access, handler: Handler<S>) -> Self {
        Self {
            path: Pattern::new(path),
            method: Verb::Get,
            target: Target::Handler(access, handler),
        }
    }

    /// Makes a row for `GET` and `HEAD` of a page, with [`Access::Page`].
    pub const fn page(path: &'static str, handler: Handler<S>) -> Self {
        Self::get(path, Access::Page, handler)
    }

    /// Makes a row for `GET` and `HEAD` of a page of what is private, with [`Access::PrivatePage`].
    pub const fn private_page(path: &'static str, handler: Handler<S>) -> Self {
        Self::get(path, Access::PrivatePage, handler)
    }

    /// Makes a row for `PUT`.
    ///
    /// # Panics
    /// When the program is built, for an access that is not [for changes](Access::is_for_changes).
    pub const fn put(path: &'static str, access: Access, handler: Handler<S>) -> Self {
        Self::changing(path, Verb::Put, access, handler)
    }

    /// Makes a row for `DELETE`.
    ///
    /// # Panics
    /// As [`Route::put`].
    pub const fn delete(path: &'static str, access: Access, handler: Handler<S>) -> Self {
        Self::changing(path, Verb::Delete, access, handler)
    }

    const fn changing(
        path: &'static str,
        method: Verb,
        access: Access,
        handler: Handler<S>,
    ) -> Self {
        assert!(
            access.is_for_changes(),
            "only who may change something may use this method"
        );
        Self {
            path: Pattern::new(path),
            method,
            target: Target::Handler(access, handler),
        }
    }

    /// Makes a row for `POST`.
    ///
    /// # Panics
    /// When the program is built, for the access of a page: another site could make a browser send it.
    pub const fn post(path: &'static str, access: Access, handler: Handler<S>) -> Self {
        assert!(!access.is_of_a_page(), "a page only reads");
        Self {
            path: Pattern::new(path),
            method: Verb::Post,
            target: Target::Handler(access, handler),
        }
    }

    /// Makes a row for the webhooks of these hosts. Whoever knows the server's secret may send them.
    pub const fn webhook(path: &'static str, hosts: Hosts, handler: WebhookHandler<S>) -> Self {
        Self {
            path: Pattern::new(path),
            method: Verb::Post,
            target: Target::Webhook(hosts, handler),
        }
    }
}

impl Verb {
    fn is(self, method: &Method) -> bool {
        match self {
            Self::Get => *method == Method::GET || *method == Method::HEAD,
            Self::Post => *method == Method::POST,
            Self::Put => *method == Method::PUT,
            Self::Delete => *method == Method::DELETE,
        }
    }
}

impl Pattern {
    const fn new(path: &'static str) -> Self {
        let mut at = 0;
        while at < path.len() {
            if path.as_bytes()[at] == b'*' {
                let (before, rest) = path.split_at(at);
                let (_, after) = rest.split_at(1);
                return Self {
                    before,
                    after: Some(after),
                };
            }
            at += 1;
        }
        Self {
            before: path,
            after: None,
        }
    }

    /// Returns what the `*` stands for in this path, or nothing if it is another path.
    fn wildcard<'p>(&self, path: &'p str) -> Option<&'p str> {
        // The end is taken off the rest, so that the two parts never overlap, as in `/api/v1/crates/download`.
        let rest = path.strip_prefix(self.before)?;
        match self.after {
            Some(after) => rest.strip_suffix(after),
            None => rest.is_empty().then_some(rest),
        }
    }
}

/// What is said of a path of which there is nothing else to say.
pub const NOTHING_HERE: &str = "there is nothing at this path";

/// The routes of a server.
pub struct Table<S: 'static> {
    /// The rows. The first whose path and method match handles a request.
    pub routes: &'static [Route<S>],
    /// Makes the error responses of the table itself for a path; cargo shows those of [`ErrorResponse::for_cargo`].
    pub error: fn(path: &str, StatusCode, &'static str) -> ErrorResponse,
    /// What is said of a path that no row has, or none for this method, if there is anything to say.
    pub told: fn(path: &str) -> Option<&'static str>,
    /// The largest webhook body that is read, in bytes.
    pub webhook_body: usize,
}

/// A request that was handled, but perhaps not to its end.
pub struct Routed {
    /// Whose token the request carried.
    pub caller: Option<Caller>,
    reply: Reply,
    is_head: bool,
}

impl<S: Authenticate> Table<S> {
    /// Authenticates a request, and calls the handler of its path.
    pub fn route(&self, state: S, request: Request<Incoming>, peer: Peer) -> Routed {
        let (mut head, body) = request.into_parts();
        let is_head = head.method == Method::HEAD;
        let mut caller = None;
        let reply = self.dispatch(state, &mut head, body, peer, &mut caller);
        Routed {
            caller,
            reply: reply.unwrap_or_else(Reply::now),
            is_head,
        }
    }

    fn dispatch(
        &self,
        state: S,
        head: &mut Parts,
        body: Incoming,
        peer: Peer,
        caller: &mut Option<Caller>,
    ) -> Result<Reply, ErrorResponse> {
        let Some((target, wildcard)) = find(self.routes, &head.method, head.uri.path()) else {
            // Before authentication: a 404 tells nothing that the documentation does not.
            return self.no_handler(&state, head);
        };
        match *target {
            Target::Handler(access, handler) => {
                let authenticated = match access {
                    Access::Public => Ok(None),
                    demanded => state.grant(demanded, head),
                };
                *caller = count(&state, &head.method, authenticated)?;
                let unconfirmed = caller.as_ref().filter(|_| access.is_for_changes());
                let confirming = unconfirmed.and_then(|caller| state.confirm(caller));
                let request = Granted {
                    headers: std::mem::take(&mut head.headers),
                    caller: caller.clone(),
                    peer,
                    body,
                };
                let Some(confirming) = confirming else {
                    return request.handle(state, handler, wildcard, &head.method, &head.uri);
                };
                let wildcard = wildcard.to_owned();
                let (method, uri) = (head.method.clone(), head.uri.clone());
                Ok(Reply::later(async move {
                    confirming.await?;
                    let reply = request.handle(state, handler, &wildcard, &method, &uri)?;
                    reply.wait().await
                }))
            }
            Target::Webhook(hosts, handler) => {
                let headers = std::mem::take(&mut head.headers);
                let limit = self.webhook_body;
                let method = head.method.clone();
                Ok(Reply::later(async move {
                    let secret = state.hook_secret();
                    let received = webhook::receive(hosts, secret, &headers, body, limit).await;
                    let event = count(&state, &method, received)?;
                    handler(state, event)?.wait().await
                }))
            }
        }
    }

    /// Answers `OPTIONS`, and requests that no row matches.
    fn no_handler(&self, state: &S, head: &Parts) -> Result<Reply, ErrorResponse> {
        let path = head.uri.path();
        // As for the webhook itself: without a secret the path is not there, whatever the method is.
        if state.hook_secret().is_none() && is_webhook(self.routes, path) {
            return Err(webhook::no_secret());
        }
        let told = (self.told)(path);
        let Some(allow) = allowed(self.routes, path) else {
            let status = StatusCode::NOT_FOUND;
            return Err((self.error)(path, status, told.unwrap_or(NOTHING_HERE)));
        };
        // Made of the names above, so that this cannot fail.
        let allow = HeaderValue::try_from(allow).unwrap_or(HeaderValue::from_static("OPTIONS"));
        if head.method != Method::OPTIONS {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let error = (self.error)(
                path,
                status,
                told.unwrap_or("this path does not take this method"),
            );
            return Err(error.with(ALLOW, allow));
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, allow);
        Ok(Reply::Now(response))
    }
}

/// A request to which access was granted.
struct Granted {
    headers: HeaderMap,
    caller: Option<Caller>,
    peer: Peer,
    body: Incoming,
}

impl Granted {
    /// Calls the handler: the only place that does, and a row without an `Access` does not compile.
    fn handle<S>(
        self,
        state: S,
        handler: Handler<S>,
        wildcard: &str,
        method: &Method,
        uri: &Uri,
    ) -> Result<Reply, ErrorResponse> {
        let request = Authorized {
            wildcard,
            authority: uri.authority(),
            query: uri.query(),
            peer: self.peer,
            caller: self.caller,
            method,
            headers: self.headers,
            body: self.body,
        };
        handler(state, request)
    }
}

/// Counts a request in the rate limit of its kind of client, and passes on what its authentication returned.
///
/// Authentication comes first: nobody who has a valid token is refused because of what others send.
fn count<S: Authenticate, T>(
    state: &S,
    method: &Method,
    authenticated: Result<T, ErrorResponse>,
) -> Result<T, ErrorResponse> {
    let client = match &authenticated {
        Ok(_) => Client::Authenticated,
        Err(_) => Client::Stranger,
    };
    state.admit(method, client)?;
    authenticated
}

/// Finds the handler of a request, and what the `*` of its row stands for.
fn find<'r, 'p, S>(
    routes: &'r [Route<S>],
    method: &Method,
    path: &'p str,
) -> Option<(&'r Target<S>, &'p str)> {
    routes.iter().find_map(|route| {
        let wildcard = route.path.wildcard(path)?;
        route.method.is(method).then_some((&route.target, wildcard))
    })
}

/// Says whether webhooks come to a path.
fn is_webhook<S>(routes: &[Route<S>], path: &str) -> bool {
    let mut routes = routes.iter();
    routes.any(|route| {
        matches!(route.target, Target::Webhook(..)) && route.path.wildcard(path).is_some()
    })
}

/// Returns the methods of a path as `Allow` lists them, or nothing if no row has the path.
fn allowed<S>(routes: &[Route<S>], path: &str) -> Option<String> {
    const NAMES: [(Verb, &str); 4] = [
        (Verb::Get, "GET, HEAD"),
        (Verb::Post, "POST"),
        (Verb::Put, "PUT"),
        (Verb::Delete, "DELETE"),
    ];
    let takes = |method| {
        let mut routes = routes.iter();
        routes.any(|route| route.method == method && route.path.wildcard(path).is_some())
    };
    let taken = NAMES.into_iter().filter(|(method, _)| takes(*method));
    let mut names: Vec<_> = taken.map(|(_, name)| name).collect();
    if names.is_empty() {
        return None;
    }
    names.push("OPTIONS");
    Some(names.join(", "))
}

impl Routed {
    /// Responds. `finish` gets the response before it is sent; if that is ready, within this call.
    pub fn respond<F>(self, finish: F) -> impl Future<Output = Response<Body>> + Send
    where
        F: FnOnce(Response<Body>) -> Response<Body> + Send + 'static,
    {
        let is_head = self.is_head;
        let finish = move |mut response: Response<Body>| {
            if is_head {
                without_body(&mut response);
            }
            finish(response)
        };
        match self.reply {
            Reply::Now(response) => Either::Left(ready(finish(response))),
            Reply::Later(work) => Either::Right(Box::pin(async move {
                let response = work.await;
                finish(response.unwrap_or_else(|error| error.into_response().map(Body::from)))
            })),
        }
    }
}

/// Removes the body, but not its length. hyper does this over HTTP/1 only.
fn without_body(response: &mut Response<Body>) {
    // An empty one, as of a 304, has no length to say.
    if let Some(size @ 1..) = response.body().size() {
        response.headers_mut().insert(CONTENT_LENGTH, size.into());
    }
    *response.body_mut() = Body::empty();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unused(_: (), _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
        Ok(Reply::now(()))
    }

    const ROUTES: &[Route<()>] = &[
        Route::get("/index/config.json", Access::Public, unused),
        Route::get("/index/*", Access::Token, unused),
        Route::get("/crates/*/download", Access::Token, unused),
        Route::post("/crates/*/download", Access::Token, unused),
        Route::webhook("/hooks", Hosts::GitLab, |(), _| Ok(Reply::now(()))),
        Route::put("/crates/*/owners", Access::Publish, unused),
        Route::delete("/crates/*/owners", Access::Publish, unused),
    ];

    #[test]
    fn a_path_has_the_first_row_that_takes_its_method() {
        let found = |method: Method, path| {
            let (target, wildcard) = find(ROUTES, &method, path)?;
            let access = match target {
                Target::Handler(access, _) => Some(*access),
                Target::Webhook(..) => None,
            };
            Some((access, wildcard))
        };
        let token = Some(Access::Token);
        for (path, right) in [
            ("/index/config.json", Some((Some(Access::Public), ""))),
            ("/index/config.jso", Some((token, "config.jso"))),
            ("/index/", Some((token, ""))),
            ("/index", None),
            ("/crates/a/1/download", Some((token, "a/1"))),
            ("/crates/download", None),
            ("/hooks", None),
        ] {
            assert_eq!(found(Method::GET, path), right, "{path}");
            assert_eq!(found(Method::HEAD, path), right, "{path}");
        }
        assert_eq!(found(Method::POST, "/hooks"), Some((None, "")));
        let publish = Some((Some(Access::Publish), "a"));
        assert_eq!(found(Method::PUT, "/crates/a/owners"), publish);
        assert_eq!(found(Method::DELETE, "/crates/a/owners"), publish);
        assert_eq!(found(Method::GET, "/crates/a/owners"), None);
        assert_eq!(found(Method::POST, "/hooks/"), None);
        assert_eq!(found(Method::POST, "/index/"), None);
    }

    #[test]
    fn a_path_takes_the_methods_of_all_its_rows() {
        for (path, methods) in [
            ("/index/config.json", Some("GET, HEAD, OPTIONS")),
            ("/crates/a/1/download", Some("GET, HEAD, POST, OPTIONS")),
            ("/hooks", Some("POST, OPTIONS")),
            ("/crates/a/owners", Some("PUT, DELETE, OPTIONS")),
            ("/", None),
        ] {
            assert_eq!(allowed(ROUTES, path).as_deref(), methods, "{path}");
        }
    }
}
