//! Which handler answers which path, and who may use it.

use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use secrecy::SecretString;

use super::access_log::Record;
use super::state::State;
use super::web_api::{lists, read as web_api, told};
use super::{advisories, download, index, monitoring, pages, policy, refresh};
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
        Route::get("/api/v1/status", Access::Token, pages::status::json),
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
    "/api", "/index", "/hooks", "/me", "/healthz", "/readyz", "/metrics",
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
        self.tokens.grant(access, &request.headers, now)
    }

    fn hook_secret(&self) -> Option<&SecretString> {
        self.config.secrets.hook_token.as_ref()
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
