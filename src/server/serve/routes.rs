//! Which handler answers which path, and who may use it.

use axum::http::header::WWW_AUTHENTICATE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::SecretString;

use super::access_log::Record;
use super::state::State;
use super::web_api::{lists, read as web_api, told};
use super::{
    advisories, audit, download, index, monitoring, pages, policy, private, refresh, trusted,
};
use crate::http::access::{Access, Authenticate, Caller};
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Route, Table};
use crate::http::webhook::Hosts;
use crate::http::{Body, Peer, Request};

/// The paths of the server. Those that cargo asks for most come first.
const TABLE: Table<&'static State> = Table {
    routes: &[
        // Before `/index/*`, which would match it, too.
        Route::get("/index/config.json", Access::Token, index::config_json),
        Route::get("/index/*", Access::Token, index::file),
        Route::get(
            "/api/v1/crates/*/download",
            Access::Token,
            download::download,
        ),
        Route::get("/api/v1/crates", Access::Token, web_api::search),
        Route::get("/api/v1/crates/*", Access::Token, web_api::below),
        Route::get("/api/v1/summary", Access::Token, lists::summary),
        Route::get("/api/v1/keywords", Access::Token, lists::keywords),
        Route::get("/api/v1/keywords/*", Access::Token, lists::keyword),
        Route::get("/api/v1/categories", Access::Token, lists::categories),
        Route::get("/api/v1/categories/*", Access::Token, lists::category),
        Route::get(
            "/api/v1/category_slugs",
            Access::Token,
            lists::category_slugs,
        ),
        Route::get("/api/v1/advisories/*", Access::Token, advisories::show),
        Route::get("/api/v1/policy", Access::Token, policy::show),
        Route::get("/api/v1/audit/*", Access::Admin, audit::show),
        Route::get("/api/v1/status", Access::Token, pages::status::json),
        Route::get(
            "/private/index/config.json",
            Access::PrivateIndex,
            private::index::config_json,
        ),
        Route::get(
            "/private/index/*",
            Access::PrivateIndex,
            private::index::file,
        ),
        Route::get(
            "/private/api/v1/crates/*/download",
            Access::Private,
            private::download::download,
        ),
        Route::get(
            "/private/api/v1/crates",
            Access::Private,
            private::search::search,
        ),
        Route::put(
            "/private/api/v1/crates/new",
            Access::Publish,
            private::api::publish,
        ),
        Route::delete(
            "/private/api/v1/crates/*/yank",
            Access::Yank,
            private::api::yank,
        ),
        Route::put(
            "/private/api/v1/crates/*/unyank",
            Access::Yank,
            private::api::unyank,
        ),
        Route::get(
            "/private/api/v1/crates/*/owners",
            Access::PrivateIndex,
            private::api::owners,
        ),
        Route::put(
            "/private/api/v1/crates/*/owners",
            Access::Publish,
            private::api::add_owners,
        ),
        Route::delete(
            "/private/api/v1/crates/*/owners",
            Access::Publish,
            private::api::remove_owners,
        ),
        Route::get("/healthz", Access::Public, monitoring::healthz),
        Route::get("/readyz", Access::Public, monitoring::readyz),
        Route::get("/metrics", Access::Public, monitoring::metrics),
        Route::page("/", pages::search::show),
        Route::page("/search", pages::search::show),
        Route::page("/crates", pages::crates),
        Route::page("/crates/*", pages::below_crates),
        Route::page("/setup", pages::setup::show),
        Route::page("/status", pages::status::show),
        Route::get("/assets/*", Access::Public, pages::assets::show),
        Route::private_page("/private/crates", pages::private::show),
        Route::private_page("/private/crates/*", pages::below_private_crates),
        Route::private_page("/private/search", pages::search::show_with_private),
        Route::get("/private/me", Access::Public, pages::me::show),
        Route::post(
            "/private/api/v1/trusted_publishing/tokens",
            Access::Public,
            trusted::exchange,
        ),
        Route::delete(
            "/private/api/v1/trusted_publishing/tokens",
            Access::Itself,
            trusted::revoke,
        ),
        Route::webhook("/hooks/gitlab", Hosts::GitLab, refresh::pushed),
        Route::webhook("/hooks/push", Hosts::Any, refresh::upstream_pushed),
    ],
    error,
    told,
    // An event lists commits and their files.
    webhook_body: 1 << 20,
};

/// How the paths begin that programs ask for; people ask for the others.
const FOR_PROGRAMS: &[&str] = &[
    "/api",
    "/index",
    "/private/api",
    "/private/index",
    "/hooks",
    "/me",
    "/healthz",
    "/readyz",
    "/metrics",
];

fn error(path: &str, status: StatusCode, detail: &'static str) -> ErrorResponse {
    let error = ErrorResponse::for_cargo(status, detail);
    let is_below = |first: &&str| {
        let rest = path.strip_prefix(*first);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match FOR_PROGRAMS.iter().any(is_below) {
        true => error,
        false => error.as_page(pages::error::show),
    }
}

impl Authenticate for &'static State {
    fn grant(&self, access: Access, request: &Parts) -> Result<Option<Caller>, ErrorResponse> {
        let now = || self.handle.timestamp();
        let headers = &request.headers;
        let granted = self.tokens.grant(access, headers, &self.trusted, now);
        granted.map_err(|error| match access.is_of_a_page() {
            true => error,
            false => self.with_login(access, request, error),
        })
    }

    fn confirm(&self, caller: &Caller) -> Option<BoxFuture<'static, Result<(), ErrorResponse>>> {
        caller.job.as_ref()?;
        let (state, caller) = (*self, caller.clone());
        Some(async move { trusted::confirm(state, &caller).await }.boxed())
    }

    fn hook_secret(&self) -> Option<&SecretString> {
        self.config.secrets.hook_token.as_ref()
    }
}

impl State {
    /// Says where one gets a token, where a request for what is private had none that is valid: cargo shows the address.
    fn with_login(&self, access: Access, request: &Parts, error: ErrorResponse) -> ErrorResponse {
        let is_private = !matches!(access, Access::Token | Access::Public);
        if error.status() != StatusCode::UNAUTHORIZED || !is_private {
            return error;
        }
        let authority = request.uri.authority();
        let address = self.address.for_request(authority, &request.headers).ok();
        let scheme = address.map(|address| format!("Cargo login_url=\"{address}/private/me\""));
        match scheme.and_then(|scheme| HeaderValue::try_from(scheme).ok()) {
            Some(scheme) => error.with(WWW_AUTHENTICATE, scheme),
            None => error,
        }
    }
}

/// Answers a request, and records it in metrics and access log.
pub(super) fn answer(
    state: &'static State,
    request: Request,
    peer: Peer,
    mut record: Record,
) -> impl Future<Output = Response<Body>> + Send {
    let mut routed = TABLE.route(state, request, peer);
    record.called_by(routed.caller.take());
    routed.respond(|response| record.end(response))
}
