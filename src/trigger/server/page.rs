//! `GET /`: the status for people, without scripts.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use jiff::Timestamp;
use url::Url;

use super::endpoint::Endpoint;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::trigger::status::Status;

/// The label of the one row that links to a page.
const PIPELINE: &str = "Last pipeline";

#[derive(Template)]
#[template(path = "trigger/server/page.html")]
struct Page {
    headline: &'static str,
    class: &'static str,
    rows: Vec<Row>,
    version: &'static str,
}

/// A label and its text; the text of a link is its address.
struct Row {
    label: &'static str,
    text: String,
    is_link: bool,
}

/// Shows the page.
pub(super) fn show(endpoint: Arc<Endpoint>, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    let html = render(&endpoint.status.borrow());
    let html = html.map_err(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        ErrorResponse::new(status, "cannot render the page")
    })?;
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
        // The page reloads itself, and must not be answered from a cache.
        (CACHE_CONTROL, "no-store"),
    ];
    Ok(Reply::now((headers, html)))
}

fn render(status: &Status) -> askama::Result<String> {
    let (headline, class) = headline(status);
    Page {
        headline,
        class,
        rows: rows(status),
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

fn rows(status: &Status) -> Vec<Row> {
    let time = |time: Option<Timestamp>| time.map(shown);
    let counts = [status.fired, status.refused, status.pipelines_failed];
    let counts = counts.map(|count| count.to_string()).join(", ");
    let rows = [
        ("To fix", status.needs_person.clone()),
        ("Last poll failed", status.poll_error.clone()),
        ("Behind for", status.behind_seconds.map(duration)),
        ("Upstream", status.upstream.clone()),
        ("Mirror", status.mirror.clone()),
        ("Mirror last moved", time(status.last_change)),
        ("Last poll", time(status.last_poll)),
        (
            PIPELINE,
            status.pipeline_url.clone().filter(|url| is_page(url)),
        ),
        ("Its status", status.pipeline_status.clone()),
        ("Created", time(status.last_fired)),
        ("GitLab's last answer", status.last_answer.clone()),
        ("Pipeline running", Some(yes_or_no(status.running))),
        ("Pipeline pending", Some(yes_or_no(status.pending))),
        ("Next pipeline due", time(status.next_firing)),
        ("Created, refused, failed", Some(counts)),
        ("Helper started", time(Some(status.started))),
    ];
    let shown = rows.into_iter().filter_map(|(label, text)| {
        Some(Row {
            label,
            text: text?,
            is_link: label == PIPELINE,
        })
    });
    shown.collect()
}

/// Says whether a text is the address of a page.
///
/// Addresses with other schemes, such as `javascript:`, are not accepted from GitLab.
fn is_page(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
}

/// Writes a time as `2026-11-24 03:10:07 UTC`.
fn shown(time: Timestamp) -> String {
    format!("{time:.0}").replace('T', " ").replace('Z', " UTC")
}

/// Writes seconds as `1h 2m 5s`.
fn duration(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
