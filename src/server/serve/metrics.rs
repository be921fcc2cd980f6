//! `GET /metrics`: what happened so far, as Prometheus text.

use ::metrics::{counter, describe_counter, describe_gauge, gauge};
use axum::http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::state::State;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};

/// `GET /metrics`.
pub(super) fn show(state: &'static State, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    let recorder = PrometheusBuilder::new().build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        traffic(state);
        crate_files(state);
        index(state);
    });
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok(Reply::now((kind, recorder.handle().render())))
}

fn traffic(state: &State) {
    let name = "crates_ferry_requests_total";
    let help =
        "Requests, by the class of their status; none where the client went before the answer.";
    describe_counter!(name, help);
    let classes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    for (class, status) in classes.into_iter().enumerate() {
        counter!(name, "status" => status).absolute(state.traffic.answers(class));
    }
    count(
        "crates_ferry_sent_bytes_total",
        state.traffic.bytes(),
        "Bytes of answers, without their heads.",
    );
    count(
        "crates_ferry_access_log_lost_total",
        state.access_log.lost(),
        "Lines of the access log that were lost because nobody took them.",
    );
}

fn crate_files(state: &State) {
    let numbers = state.crate_files.numbers();
    let rows = [
        (
            "crates_ferry_crate_hits_total",
            numbers.hits,
            "Requests for crate files that were held.",
        ),
        (
            "crates_ferry_crate_misses_total",
            numbers.misses,
            "Requests for crate files that were not: each that waited for the same fetch counts.",
        ),
        (
            "crates_ferry_upstream_bytes_total",
            numbers.fetched_bytes,
            "Bytes of crate files that came from upstream.",
        ),
        (
            "crates_ferry_upstream_errors_total",
            numbers.upstream_errors,
            "Crate files that upstream did not give.",
        ),
        (
            "crates_ferry_checksum_failures_total",
            numbers.checksum_failures,
            "Crate files from upstream that the index does not vouch for.",
        ),
        (
            "crates_ferry_damaged_files_total",
            numbers.damaged,
            "Kept crate files that were damaged and dropped.",
        ),
        (
            "crates_ferry_unkept_files_total",
            numbers.unkept,
            "Crate files that were served and could not be kept.",
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
    if let Some(Ok((files, bytes))) = state.crate_files.catalog().map(|catalog| catalog.total()) {
        show_gauge(
            "crates_ferry_store_files",
            files as f64,
            "Crate files that are kept.",
        );
        show_gauge("crates_ferry_store_bytes", bytes as f64, "Their bytes.");
    }
}

fn index(state: &State) {
    let looks = state.looks();
    count(
        "crates_ferry_index_looks_failed_total",
        looks.failed,
        "Looks at the index that failed.",
    );
    if let Some(at) = looks.last_success {
        let help = "How long ago a look at the index succeeded.";
        let age = at.elapsed().as_secs_f64();
        show_gauge("crates_ferry_index_age_seconds", age, help);
    }
    if let Ok(view) = state.view()
        && let Some(view) = view.as_ref()
    {
        let at = view.snapshot.seconds() as f64;
        let help = "When the commit that is served was made.";
        show_gauge("crates_ferry_index_commit_time_seconds", at, help);
    }
}

fn count(name: &'static str, value: u64, help: &'static str) {
    describe_counter!(name, help);
    counter!(name).absolute(value);
}

fn show_gauge(name: &'static str, value: f64, help: &'static str) {
    describe_gauge!(name, help);
    gauge!(name).set(value);
}
