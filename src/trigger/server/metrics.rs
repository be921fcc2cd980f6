//! `GET /metrics`: the status as Prometheus text.

use std::sync::Arc;

use ::metrics::{counter, describe_counter, describe_gauge, gauge};
use axum::http::header::CONTENT_TYPE;
use jiff::Timestamp;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::endpoint::Endpoint;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::trigger::status::Status;

/// Shows the metrics.
pub(super) fn show(endpoint: Arc<Endpoint>, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    let text = render(&endpoint.status.borrow());
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok(Reply::now((kind, text)))
}

/// Renders a status as metrics.
///
/// The recorder lives for one scrape: the status holds every count, and a global recorder would keep a second copy.
fn render(status: &Status) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        counters(status);
        gauges(status);
    });
    recorder.handle().render()
}

fn counters(status: &Status) {
    let rows = [
        (
            "crates_ferry_trigger_pipelines_fired_total",
            status.fired,
            "Pipelines that GitLab created.",
        ),
        (
            "crates_ferry_trigger_refusals_total",
            status.refused,
            "Requests for a pipeline that GitLab refused or did not answer.",
        ),
        (
            "crates_ferry_trigger_pipelines_failed_total",
            status.pipelines_failed,
            "Pipelines that failed.",
        ),
        (
            "crates_ferry_trigger_poll_failures_total",
            status.polls_failed,
            "Polls of upstream and mirror that failed.",
        ),
        (
            "crates_ferry_trigger_mails_total",
            status.mails,
            "Mails that were sent.",
        ),
    ];
    for (name, count, help) in rows {
        describe_counter!(name, help);
        counter!(name).absolute(count);
    }
}

fn gauges(status: &Status) {
    let seconds = |time: Option<Timestamp>| time.map(|time| time.as_second() as f64);
    let flag = |is_so: bool| Some(f64::from(u8::from(is_so)));
    let rows = [
        (
            "crates_ferry_trigger_start_time_seconds",
            seconds(Some(status.started)),
            "When the helper was started, in seconds since 1970.",
        ),
        (
            "crates_ferry_trigger_last_fired_timestamp_seconds",
            seconds(status.last_fired),
            "When a pipeline was last created, in seconds since 1970.",
        ),
        (
            "crates_ferry_trigger_last_poll_timestamp_seconds",
            seconds(status.last_poll),
            "When both repositories were last polled with success, in seconds since 1970.",
        ),
        (
            "crates_ferry_trigger_last_change_timestamp_seconds",
            seconds(status.last_change),
            "When the mirror was last seen to move, in seconds since 1970.",
        ),
        (
            "crates_ferry_trigger_behind",
            status.behind.and_then(flag),
            "1 while the mirror lacks what upstream has.",
        ),
        (
            "crates_ferry_trigger_behind_seconds",
            status
                .behind
                .map(|_| status.behind_seconds.unwrap_or(0) as f64),
            "For how long the mirror has been behind without moving.",
        ),
        (
            "crates_ferry_trigger_pipeline_running",
            flag(status.running),
            "1 while a pipeline is running.",
        ),
        (
            "crates_ferry_trigger_pipeline_pending",
            flag(status.pending),
            "1 while a request for a pipeline is pending.",
        ),
        (
            "crates_ferry_trigger_needs_person",
            flag(status.needs_person.is_some()),
            "1 while GitLab refuses, and a person must fix something.",
        ),
    ];
    for (name, value, help) in rows {
        // A gauge without a value is left out: as 0 a time would be the year 1970, and an alert on its age would fire.
        if let Some(value) = value {
            describe_gauge!(name, help);
            gauge!(name).set(value);
        }
    }
}
