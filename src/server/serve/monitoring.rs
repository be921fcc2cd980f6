//! What monitoring asks: `/healthz`, `/readyz` and, in Prometheus's text format, `/metrics`.

use std::time::{SystemTime, UNIX_EPOCH};

use ::metrics::{counter, describe_counter, describe_gauge, gauge};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::policy::Numbers;
use super::state::State;
use crate::config::Downloads;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};

/// `GET /healthz`: the process answers.
pub(super) fn healthz(_: &'static State, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    Ok(Reply::now("ok\n"))
}

/// `GET /readyz`: there is an index, and it was refreshed within `serve.stale_after`, which does not matter where nothing is
/// fetched.
pub(super) fn readyz(state: &'static State, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    // Ready only with something to serve: a refresh may succeed before the store could be listed.
    let view = state.view();
    let refreshes = state.refreshes.so_far();
    let why = refreshes
        .last_error
        .map(|error| match state.tokens.is_mirror_open() {
            // Anybody may ask this, and the error names hosts.
            false => "the log says why".to_owned(),
            true => error,
        });
    let unready = |text: String| Err(ErrorResponse::new(StatusCode::SERVICE_UNAVAILABLE, text));
    if let (Err(_), Some(why)) = (&view, &why) {
        return unready(format!("there is no index to serve yet: {why}"));
    }
    view?;
    if state.config.serve.downloads == Downloads::Offline {
        return Ok(ready(state));
    }
    let limit = state.config.serve.stale_after;
    match refreshes.last_success {
        Some((at, _)) if at.elapsed() <= limit => Ok(ready(state)),
        _ => {
            let limit = humantime::format_duration(limit);
            let why = why.unwrap_or_else(|| "the first one has not ended yet".to_owned());
            unready(format!(
                "no refresh of the index succeeded within {limit}: {why}"
            ))
        }
    }
}

fn ready(state: &State) -> Reply {
    match (state.unrecorded.holds(), state.tokens.is_mirror_open()) {
        (None, _) => Reply::now("ready\n"),
        (Some(_), false) => {
            Reply::now("ready, with an index before the newest one; the log says why\n")
        }
        (Some(why), true) => Reply::now(format!(
            "ready, with an index before the newest one: {why}\n"
        )),
    }
}

/// `GET /metrics`.
pub(super) fn metrics(state: &'static State, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    Ok(Reply::later(async move {
        let totals = state.crate_files.inventory().totals().await;
        // A recorder for each scrape: the numbers have their own places, where counting them costs less than a
        // registry's look-up.
        let recorder = PrometheusBuilder::new().build_recorder();
        ::metrics::with_local_recorder(&recorder, || {
            traffic(state);
            crate_files(state);
            store(totals);
            index(state);
            policy(state);
            advisories(state);
            imports(state);
        });
        let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        Reply::now((kind, recorder.handle().render())).wait().await
    }))
}

fn traffic(state: &State) {
    let name = "crates_ferry_requests_total";
    let help = "Requests, by the class of their status; `none` where the client went away before the response.";
    describe_counter!(name, help);
    let classes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    for (class, status) in classes.into_iter().enumerate() {
        counter!(name, "status" => status).absolute(state.traffic.responses(class));
    }
    count(
        "crates_ferry_sent_bytes_total",
        state.traffic.bytes(),
        "Bytes of response bodies.",
    );
    count(
        "crates_ferry_access_log_lost_lines_total",
        state.access_log.lost(),
        "Lines of the access log that were lost because they could not be written, or not fast enough.",
    );
}

fn crate_files(state: &State) {
    let numbers = state.crate_files.numbers();
    let rows = [
        (
            "crates_ferry_crate_hits_total",
            numbers.hits,
            "Requests for crate files that were in memory or in the store.",
        ),
        (
            "crates_ferry_crate_misses_total",
            numbers.misses,
            "Requests for crate files that had to be fetched; each that waited for the same fetch counts.",
        ),
        (
            "crates_ferry_upstream_bytes_total",
            numbers.fetched_bytes,
            "Bytes of crate files that were received from upstream.",
        ),
        (
            "crates_ferry_upstream_errors_total",
            numbers.upstream_errors,
            "Fetches of crate files that upstream failed.",
        ),
        (
            "crates_ferry_checksum_failures_total",
            numbers.checksum_failures,
            "Crate files from upstream whose checksum is not the one in the index.",
        ),
        (
            "crates_ferry_damaged_files_total",
            numbers.damaged,
            "Stored crate files that were found damaged and removed.",
        ),
        (
            "crates_ferry_store_write_failures_total",
            numbers.write_failures,
            "Crate files that were served and could not be stored.",
        ),
        (
            "crates_ferry_evicted_files_total",
            numbers.evicted,
            "Crate files that were evicted.",
        ),
    ];
    for (name, value, help) in rows {
        count(name, value, help);
    }
}

/// The stored files and their bytes; nothing of a bucket.
fn store(totals: Option<(u64, u64)>) {
    if let Some((files, bytes)) = totals {
        show(
            "crates_ferry_store_files",
            files as f64,
            "Crate files in the store.",
        );
        show(
            "crates_ferry_store_bytes",
            bytes as f64,
            "Bytes of the crate files in the store.",
        );
    }
}

fn index(state: &State) {
    let refreshes = state.refreshes.so_far();
    count(
        "crates_ferry_index_refresh_failures_total",
        refreshes.failures,
        "Refreshes of the index that failed.",
    );
    if let Some((_, at)) = refreshes.last_success {
        show(
            "crates_ferry_index_last_refresh_timestamp_seconds",
            unix_time(at),
            "When the index was last refreshed with success, as Unix time.",
        );
    }
    if let Ok(view) = state.view()
        && let Some(view) = view.as_ref()
    {
        show(
            "crates_ferry_index_commit_timestamp_seconds",
            view.snapshot.seconds() as f64,
            "The date of the commit that is served, as Unix time.",
        );
    }
}

/// What the policy decides; nothing without one.
fn policy(state: &State) {
    let Some(numbers) = Numbers::of(state) else {
        return;
    };
    show(
        "crates_ferry_policy_versions_on_hold",
        numbers.on_hold as f64,
        "Versions that are on hold.",
    );
    show(
        "crates_ferry_policy_denied_versions",
        numbers.denied as f64,
        "Versions that are denied.",
    );
    show(
        "crates_ferry_policy_yanks_on_hold",
        numbers.yanks_on_hold as f64,
        "Yanked versions that are still shown as not yanked.",
    );
    show(
        "crates_ferry_policy_index_held_back",
        f64::from(u8::from(state.unrecorded.holds().is_some())),
        "Whether an index before the newest one is served.",
    );
    if let Some(advised) = numbers.advised {
        show(
            "crates_ferry_policy_advised_versions",
            advised as f64,
            "Versions that an advisory is about which counts.",
        );
    }
}

/// The advisories; nothing where none are read.
fn advisories(state: &State) {
    let Some(advisories) = state.advisories.load_full() else {
        return;
    };
    let rounds = advisories.rounds.so_far();
    count(
        "crates_ferry_advisories_refresh_failures_total",
        rounds.failures,
        "Refreshes of the advisories that failed.",
    );
    if let Some((_, at)) = rounds.last_success {
        show(
            "crates_ferry_advisories_last_refresh_timestamp_seconds",
            unix_time(at),
            "When the advisories were last refreshed with success, as Unix time.",
        );
    }
    if let Some(read) = advisories.read() {
        show(
            "crates_ferry_advisories",
            read.advisories.all().count() as f64,
            "Advisories about crates.",
        );
        show(
            "crates_ferry_advisories_unreadable_files",
            read.unreadable.len() as f64,
            "Files of advisories that cannot be read.",
        );
    }
}

/// The imports of the dump by the clock; nothing where there are none.
fn imports(state: &State) {
    if state.catalog.is_none() || state.config.catalog.import.is_none() {
        return;
    }
    let imports = state.imports.so_far();
    count(
        "crates_ferry_catalog_import_failures_total",
        imports.failures,
        "Failed imports of the database dump.",
    );
    if let Some((_, at)) = imports.last_success {
        show(
            "crates_ferry_catalog_last_import_timestamp_seconds",
            unix_time(at),
            "When the database dump was last imported with success, or found unchanged, as Unix time.",
        );
    }
}

fn unix_time(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

fn count(name: &'static str, value: u64, help: &'static str) {
    describe_counter!(name, help);
    counter!(name).absolute(value);
}

fn show(name: &'static str, value: f64, help: &'static str) {
    describe_gauge!(name, help);
    gauge!(name).set(value);
}
