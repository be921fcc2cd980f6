//! `GET /`: the status for people, without scripts.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use url::Url;

use super::Endpoint;
use crate::http::refusal::Refusal;
use crate::trigger::status::Status;

#[derive(Template)]
#[template(path = "trigger/server/page.html")]
struct Page<'a> {
    headline: &'static str,
    class: &'static str,
    rows: Vec<(&'static str, String)>,
    pipeline: Option<&'a str>,
    version: &'static str,
}

/// Shows the page.
pub(super) async fn show(State(endpoint): State<Arc<Endpoint>>) -> Result<Response, Refusal> {
    let html = render(&endpoint.status.borrow());
    let html = html
        .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "cannot render the page"))?;
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, html).into_response())
}

fn render(status: &Status) -> askama::Result<String> {
    let (headline, class) = headline(status);
    let pipeline = status.pipeline_url.as_deref();
    Page {
        headline,
        class,
        rows: rows(status),
        // GitLab's answer is not trusted with other schemes, such as `javascript:`.
        pipeline: pipeline.filter(|url| {
            Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
        }),
        version: env!("CARGO_PKG_VERSION"),
    }
    .render()
}

fn headline(status: &Status) -> (&'static str, &'static str) {
    match status.behind {
        _ if status.needs_person.is_some() => ("A person is needed", "bad"),
        _ if status.poll_error.is_some() => ("Upstream or mirror cannot be polled", "bad"),
        Some(true) => ("The mirror is behind upstream", "late"),
        Some(false) => ("The mirror is up to date", "good"),
        None => ("Not polled yet", "late"),
    }
}

fn rows(status: &Status) -> Vec<(&'static str, String)> {
    let time = |time: Option<Timestamp>| time.map(|time| format!("{time:.0}"));
    let rows = [
        ("To fix", status.needs_person.clone()),
        ("Last poll failed", status.poll_error.clone()),
        ("Behind for", status.behind_seconds.map(duration)),
        ("Upstream", status.upstream.clone()),
        ("Mirror", status.mirror.clone()),
        ("Mirror last moved", time(status.last_change)),
        ("Last poll", time(status.last_poll)),
        ("Last pipeline created", time(status.last_fired)),
        ("Next pipeline due", time(status.next_firing)),
        ("GitLab's last answer", status.last_answer.clone()),
        ("Pipeline status", status.pipeline_status.clone()),
        ("Pipeline running", Some(yes_or_no(status.running))),
        ("Pipeline pending", Some(yes_or_no(status.pending))),
        (
            "Pipelines created, refused, failed",
            Some(format!(
                "{}, {}, {}",
                status.fired, status.refused, status.pipelines_failed
            )),
        ),
        ("Helper started", time(Some(status.started))),
    ];
    let shown = rows
        .into_iter()
        .filter_map(|(label, text)| Some((label, text?)));
    shown.collect()
}

/// Writes seconds as `1h 2m 5s`.
fn duration(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
