//! Keeps the copy of the index fresh: every `serve.refresh`, and when a webhook says that the index was pushed to.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::http::StatusCode;
use serde_json::json;
use tokio::time::sleep;
use tracing::{info, warn};

use super::state::State;
use crate::error::{Error, Result};
use crate::git::branch_ref;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::Reply;
use crate::http::webhook::{Event, ignored};

/// Fetches the index, waits, and fetches again. A failure is logged once, and the next fetch is its retry.
pub(super) async fn forever(state: &'static State) {
    if state.copy.snapshot().is_none() {
        state.handle.may_fetch().await;
    }
    loop {
        let fetched = fetch(state).await;
        // A fetch may show a new commit and fail afterwards.
        state.update_view().await;
        match fetched {
            Ok(()) => {
                if state.refreshes.so_far().last_error.is_some() {
                    info!("the index can be fetched again");
                    let text = "the index can be fetched again";
                    state.handle.note("refresh", false, text);
                }
                state.refreshes.succeeded(SystemTime::now());
            }
            Err(error) => {
                let next = state.config.serve.refresh;
                let text = state.mask.apply(&not_fetched(&error, next)).into_owned();
                if state.refreshes.so_far().last_error.as_ref() != Some(&text) {
                    warn!("{}: {text}", failed(state.copy.snapshot().is_some()));
                    state.handle.note("refresh", true, &text);
                }
                state.refreshes.failed(text);
                state.handle.progress.pack_objects(0);
                state.handle.progress.phase("waiting for the next try");
            }
        }
        // After the view was updated: requests see a new commit at once, and not after a compaction, which would leave nothing of
        // an index before the newest one.
        if state.unrecorded.holds().is_none()
            && let Err(error) = state.copy.tidy().await
        {
            warn!("cannot repack the index copy: {}", describe(&error));
        }
        tokio::select! {
            () = state.handle.refresh_now.notified() => {}
            () = sleep(state.config.serve.refresh) => {}
        }
    }
}

/// `POST /hooks/gitlab`: refreshes the index if its branch was pushed to.
pub(super) fn pushed(state: &'static State, event: Event) -> Result<Reply, ErrorResponse> {
    let branch = branch_ref(&state.config.index.branch);
    match event {
        Event::Push {
            reference: Some(reference),
        } if reference == branch => {
            // Pushes that arrive during a fetch are coalesced into one more.
            state.handle.refresh();
            Ok(accepted("refreshing"))
        }
        _ => Ok(Reply::Now(ignored("not a push to the branch of the index"))),
    }
}

/// `POST /hooks/push`: lets `up` sync its mirror if upstream's branch was pushed to. Where there is nothing to sync, what is
/// pushed to is the index itself.
pub(super) fn upstream_pushed(state: &'static State, event: Event) -> Result<Reply, ErrorResponse> {
    if !state.handle.takes_pushes {
        return pushed(state, event);
    }
    let branch = branch_ref(&state.config.upstream.branch);
    match event {
        Event::Push {
            reference: Some(reference),
        } if reference == branch => {
            state.handle.notify_pushed();
            Ok(accepted("syncing"))
        }
        _ => Ok(Reply::Now(ignored("not a push to the branch of upstream"))),
    }
}

fn accepted(result: &str) -> Reply {
    let answer = Json(json!({ "result": result }));
    Reply::now((StatusCode::ACCEPTED, answer))
}

async fn fetch(state: &State) -> Result<()> {
    let remote = state.config.index_remote()?;
    let branch = &state.config.index.branch;
    let tip = || state.copy.snapshot().map(|snapshot| snapshot.commit());
    let before = tip();
    let limit = state.config.network.timeout;
    let refreshed = state.copy.refresh(&remote, Some(branch), limit).await;
    refreshed.map_err(|error| of_key(error, state.config.index.key))?;
    if let Some(after) = tip()
        && before != Some(after)
    {
        info!("the index is at {}", after.short());
    }
    Ok(())
}

/// Names in the advice the key that says where the index is.
fn of_key(error: Error, key: &str) -> Error {
    match error.advice() {
        Some(advice) => {
            let advice = advice.replace("`serve.index`", &format!("`{key}`"));
            error.advise(advice)
        }
        None => error,
    }
}

/// Says what it means that the index could not be fetched.
fn failed(is_served: bool) -> &'static str {
    match is_served {
        true => "cannot refresh the index; serving the last one",
        false => "cannot fetch the index, and there is none to serve yet",
    }
}

/// Says why a fetch failed, and what comes of it: the server tries again by itself, and a person mends what is left.
fn not_fetched(error: &Error, next: Duration) -> String {
    let next = humantime::format_duration(next);
    let text = format!(
        "[{}] {}; the next try is in {next}",
        error.kind(),
        error.chain()
    );
    match error.advice().filter(|_| !error.is_transient()) {
        Some(advice) => format!("{text} ({advice})"),
        None => text,
    }
}

fn describe(error: &Error) -> String {
    let mut text = format!("[{}] {}", error.kind(), error.chain());
    if let Some(advice) = error.advice() {
        text.push_str(&format!(" ({advice})"));
    }
    text
}
