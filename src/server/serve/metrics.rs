//! `GET /metrics`: what happened so far, as Prometheus text.

use ::metrics::{counter, describe_counter, describe_gauge, gauge};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::site::Site;

/// Shows the metrics.
pub(super) fn show(site: &Site) -> impl IntoResponse + use<> {
    let recorder = PrometheusBuilder::new().build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        traffic(site);
        crate_files(site);
        index(site);
    });
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        recorder.handle().render(),
    )
}

fn traffic(site: &Site) {
    let name = "crates_ferry_requests_total";
    let help =
        "Requests, by the class of their status; none where the client went before the answer.";
    describe_counter!(name, help);
    let classes = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
    for (class, status) in classes.into_iter().enumerate() {
        counter!(name, "status" => status).absolute(site.traffic.answers(class));
    }
    count(
        "crates_ferry_sent_bytes_total",
        site.traffic.bytes(),
        "Bytes of answers, without their heads.",
    );
    count(
        "crates_ferry_access_log_lost_total",
        site.access_log.lost(),
        "Lines of the access log that were lost because nobody took them.",
    );
}

fn crate_files(site: &Site) {
    let numbers = site.crate_files.numbers();
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
            "crates_ferry_store_write_failures_total",
            numbers.write_failures,
            "Crate files that were served, but could not be stored.",
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
    if let Some(Ok((files, bytes))) = site
        .crate_files
        .inventory()
        .catalog()
        .map(|catalog| catalog.total())
    {
        show_gauge(
            "crates_ferry_store_files",
            files as f64,
            "Crate files that are kept.",
        );
        show_gauge("crates_ferry_store_bytes", bytes as f64, "Their bytes.");
    }
}

fn index(site: &Site) {
    let looks = site.looks();
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
    if let Ok(view) = site.view()
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
