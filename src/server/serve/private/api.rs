//! What `cargo publish`, `cargo yank` and `cargo owner` ask for.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde_json::json;

use super::{crate_name, crate_version, refused, registry, unavailable, unread};
use crate::count::counted;
use crate::http::Body;
use crate::http::access::{Access, Authenticate as _, Caller};
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::http::upload::{Incoming, read_upload};
use crate::index::CrateName;
use crate::server::private::change::{Actor, Change};
use crate::server::private::files::checksum_of;
use crate::server::private::names;
use crate::server::private::owners;
use crate::server::private::publishable;
use crate::server::private::refusal::{Failure, Refusal};
use crate::server::private::request;
use crate::server::serve::auth::lacks;
use crate::server::serve::crate_reader::ask;
use crate::server::serve::index::read_copy;
use crate::server::serve::state::State;
use crate::shown::one_line;

/// How many crates depend on one, at least, whose look-alike is worth a warning.
const MANY: u64 = 20;
/// The most bytes of a list of owners.
const OWNERS: usize = 64 << 10;

/// `PUT /private/api/v1/crates/new`: `cargo publish`.
pub(in crate::server::serve) fn publish(
    state: &'static State,
    asked: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let registry = registry(state)?;
    let name = caller(asked.caller)?.name.to_string();
    let (headers, body) = (asked.headers, asked.body);
    Ok(Reply::later(async move {
        registry.index.open_ahead();
        let place = registry.uploads.place(&name).await;
        let place = place.map_err(|refusal| refused(state, refusal))?;
        let body = read_upload(body, request::most(registry.max_size)).await?;
        let arrived = registry.uploads.arrived(place, body.len()).await;
        let _arrived = arrived.map_err(|refusal| refused(state, refusal))?;
        let caller = granted_still(state, &headers).await?;
        let max_size = registry.max_size;
        let reading = tokio::task::spawn_blocking(move || {
            publishable::read_upload(request::parse(body, max_size)?, max_size)
        });
        let read = reading
            .await
            .unwrap_or_else(|_| Err(Refusal::invalid("the crate file cannot be read")));
        let publishable = read.map_err(|refusal| refused(state, refusal))?;
        let name = publishable.checked.name.clone();
        if !caller.scopes.may_publish(&name) {
            return Err(lacks(&caller, &format!("publish:{name}")));
        }
        let mut warning = check_name(state, &name).await?;
        let is_new = matches!(registry.lines(&name).await, Ok(None));
        if warning.is_none() && is_new {
            warning = near(state, &name).await;
        }
        let by = actor(&caller, &name)?;
        let published = registry.publish(publishable, by).await;
        published.map_err(|failure| refused(state, failure))?;
        let other: Vec<_> = warning.into_iter().collect();
        Ok(answer(json!({
            "warnings": { "invalid_categories": [], "invalid_badges": [], "other": other }
        })))
    }))
}

/// Checks the token once more: it may have expired, or been revoked, while the body came.
async fn granted_still(
    state: &'static State,
    headers: &HeaderMap,
) -> Result<Caller, ErrorResponse> {
    let now = || state.handle.timestamp();
    let granted = state
        .tokens
        .grant(Access::Publish, headers, &state.trusted, now)?;
    let caller = caller(granted)?;
    if let Some(confirming) = state.confirm(&caller) {
        confirming.await?;
    }
    Ok(caller)
}

/// Checks a name against those that may be published, and those of the public index.
async fn check_name(
    state: &'static State,
    name: &CrateName,
) -> Result<Option<String>, ErrorResponse> {
    let registry = registry(state)?;
    let Some(public) = state.copy.snapshot() else {
        let text = "the public index is being fetched for the first time, and the name cannot be looked up there yet";
        return Err(unavailable(state, text));
    };
    let name = name.clone();
    let looking = read_copy(state, move || {
        match names::check_name(&registry.names, &name, |path| public.has_even_hidden(path)) {
            Err(Failure::Failed(error)) => Err(error),
            Err(Failure::Refused(refusal)) => Ok(Err(refusal)),
            Ok(warning) => Ok(Ok(warning)),
        }
    });
    looking.await?.map_err(|refusal| refused(state, refusal))
}

/// Warns of a name that is a typing error away from that of a crate that many depend on, as far as the catalog knows.
async fn near(state: &'static State, name: &CrateName) -> Option<String> {
    let catalog = state.catalog.as_ref()?;
    let text = name.to_string();
    let near = ask(state, move || catalog.near(&text)).await.ok()?;
    let near = near.into_iter().find(|near| near.dependents >= MANY)?;
    let dependents = counted(near.dependents, "crate");
    Some(format!(
        "`{name}` is a typing error away from `{}`, which {dependents} of the public index depend on",
        near.name
    ))
}

/// `DELETE /private/api/v1/crates/{crate}/{version}/yank`: `cargo yank`.
pub(in crate::server::serve) fn yank(
    state: &'static State,
    asked: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    set_yanked(state, asked, true)
}

/// `PUT /private/api/v1/crates/{crate}/{version}/unyank`: `cargo yank --undo`.
pub(in crate::server::serve) fn unyank(
    state: &'static State,
    asked: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    set_yanked(state, asked, false)
}

fn set_yanked(
    state: &'static State,
    asked: Authorized<'_>,
    is_yanked: bool,
) -> Result<Reply, ErrorResponse> {
    let registry = registry(state)?;
    let caller = caller(asked.caller)?;
    let (name, version) = crate_version(asked.wildcard)?;
    if !caller.scopes.may_yank(&name) {
        return Err(lacks(&caller, &format!("yank:{name}")));
    }
    let by = actor(&caller, &name)?;
    Ok(Reply::later(async move {
        let made = registry.make(Change::Yank {
            name,
            version,
            is_yanked,
            by,
        });
        made.await.map_err(|failure| refused(state, failure))?;
        Ok(answer(json!({ "ok": true })))
    }))
}

/// `GET /private/api/v1/crates/{crate}/owners`: `cargo owner --list`.
pub(in crate::server::serve) fn owners(
    state: &'static State,
    asked: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let registry = registry(state)?;
    let name = crate_name(asked.wildcard)?;
    Ok(Reply::later(async move {
        registry.freshness.fresh().await;
        let owners = registry
            .owners(&name)
            .await
            .map_err(|error| unread(state, error))?;
        let owners = owners.ok_or_else(|| {
            let text = format!("crate `{name}` does not exist in this registry");
            ErrorResponse::for_cargo(StatusCode::NOT_FOUND, text)
        })?;
        let users = owners.names().map(|name| {
            // cargo wants a number. It means nothing here, and stays the same.
            let sum = checksum_of(name.as_bytes());
            let id = sum
                .as_bytes()
                .first_chunk()
                .copied()
                .map_or(0, u32::from_be_bytes);
            json!({ "id": id, "login": name, "name": null })
        });
        Ok(answer(json!({ "users": users.collect::<Vec<_>>() })))
    }))
}

/// `PUT /private/api/v1/crates/{crate}/owners`: `cargo owner --add`.
pub(in crate::server::serve) fn add_owners(
    state: &'static State,
    asked: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    change_owners(state, asked, true)
}

/// `DELETE /private/api/v1/crates/{crate}/owners`: `cargo owner --remove`.
pub(in crate::server::serve) fn remove_owners(
    state: &'static State,
    asked: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    change_owners(state, asked, false)
}

fn change_owners(
    state: &'static State,
    asked: Authorized<'_>,
    are_added: bool,
) -> Result<Reply, ErrorResponse> {
    let registry = registry(state)?;
    let caller = caller(asked.caller)?;
    let name = crate_name(asked.wildcard)?;
    if !caller.scopes.may_publish(&name) {
        return Err(lacks(&caller, &format!("publish:{name}")));
    }
    if caller.job.is_some() {
        // It ends in half an hour, and what it changed would last.
        let text = "a short-lived token of a job does not change owners; use the token of a person";
        return Err(ErrorResponse::for_cargo(StatusCode::FORBIDDEN, text));
    }
    let by = actor(&caller, &name)?;
    let body = asked.body;
    Ok(Reply::later(async move {
        let users = users(body).await?;
        let warning = are_added.then(|| unknown(state, &users)).flatten();
        let (added, removed) = match are_added {
            true => (users, Vec::new()),
            false => (Vec::new(), users),
        };
        let made = registry.make(Change::Owners {
            name,
            added,
            removed,
            by,
        });
        let made = made.await.map_err(|failure| refused(state, failure))?;
        let told = [Some(made.told), warning];
        let told: Vec<_> = told.into_iter().flatten().collect();
        Ok(answer(json!({ "ok": true, "msg": told.join("; ") })))
    }))
}

/// Warns of owners who have no token here: the name may be mistyped. They are taken all the same, as other servers of the repository may
/// have tokens of their own, and one may be made later. That a group is there is checked with the change: it is in the repository.
fn unknown(state: &State, added: &[String]) -> Option<String> {
    let mut unknown = added.iter().filter(|name| {
        let is_person = owners::group(name).is_none();
        is_person && !state.tokens.has_named(name)
    });
    let first = unknown.next()?;
    let names = unknown.fold(format!("`{}`", one_line(first)), |all, name| {
        format!("{all}, `{}`", one_line(name))
    });
    Some(format!(
        "warning: this server has no token of the name {names}: whoever gets one will be an owner"
    ))
}

async fn users(body: Incoming) -> Result<Vec<String>, ErrorResponse> {
    #[derive(Deserialize)]
    struct Users {
        users: Vec<String>,
    }
    let body = read_upload(body, OWNERS).await?;
    let wrong = || {
        let text = "the body is no list of owners: {\"users\": [\"name\"]}";
        ErrorResponse::for_cargo(StatusCode::BAD_REQUEST, text)
    };
    let Users { users } = serde_json::from_slice(&body).map_err(|_| wrong())?;
    match users.is_empty() {
        true => Err(wrong()),
        false => Ok(users),
    }
}

/// Returns who asks: the table lets nobody in without a token.
fn caller(caller: Option<Caller>) -> Result<Caller, ErrorResponse> {
    caller.ok_or_else(|| {
        let text = "authentication required: log in with `cargo login`";
        ErrorResponse::for_cargo(StatusCode::UNAUTHORIZED, text)
    })
}

fn actor(caller: &Caller, name: &CrateName) -> Result<Actor, ErrorResponse> {
    if caller.name.is_empty() {
        let text = "the token has no name, by which it could be an owner: make one with `crates-ferry token add NAME`";
        return Err(ErrorResponse::for_cargo(StatusCode::FORBIDDEN, text));
    }
    Ok(Actor {
        name: caller.name.to_string(),
        counts_as_owner: caller.counts_as_owner_of(name),
    })
}

fn answer(json: serde_json::Value) -> axum::http::Response<Body> {
    let mut response = Json(json).into_response().map(Body::from);
    let none = axum::http::HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(axum::http::header::CACHE_CONTROL, none);
    response
}
