//! `GET /`: the status for people, without scripts.

use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use jiff::Timestamp;
use url::Url;

use super::Endpoint;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::trigger::types::Status;

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
pub(super) fn show(endpoint: Arc<Endpoint>, _: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    let html = render(&endpoint.status.borrow());
    let html = html.map_err(|_| {
        ErrorResponse::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the page cannot be written",
        )
    })?;
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'",
        ),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok(Reply::now((headers, html)))
}

fn render(status: &Status) -> askama::Result<String> {
    let (headline, class) = headline(status);
    let pipeline = status.pipeline_url.as_deref();
    Page {
        headline,
        class,
        rows: rows(status),
        // Nothing but a page's address becomes a link.
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
        _ if status.look_error.is_some() => ("Upstream or mirror cannot be seen", "bad"),
        Some(true) => ("The mirror is behind upstream", "late"),
        Some(false) => ("The mirror is up to date", "good"),
        None => ("Waiting", "late"),
    }
}

fn rows(status: &Status) -> Vec<(&'static str, String)> {
    let time = |time: Option<Timestamp>| time.map(|time| format!("{time:.0}"));
    let rows = [
        ("A person must mend", status.needs_person.clone()),
        ("The last look failed", status.look_error.clone()),
        (
            "Behind for",
            status.behind_seconds.map(|seconds| format!("{seconds} s")),
        ),
        ("Upstream", status.upstream.clone()),
        ("Mirror", status.mirror.clone()),
        ("Mirror moved", time(status.last_change)),
        ("Last look", time(status.last_look)),
        ("Last fired", time(status.last_fired)),
        ("Next firing", time(status.next_firing)),
        ("GitLab's last answer", status.last_answer.clone()),
        ("Pipeline's state", status.pipeline_status.clone()),
        (
            "Under way",
            Some(if status.running { "yes" } else { "no" }.to_owned()),
        ),
        (
            "Another one asked for",
            Some(if status.remembered { "yes" } else { "no" }.to_owned()),
        ),
        (
            "Fired, refused, failed",
            Some(format!(
                "{}, {}, {}",
                status.fired, status.refused, status.pipelines_failed
            )),
        ),
        ("Started", time(Some(status.started))),
    ];
    let shown = rows
        .into_iter()
        .filter_map(|(label, text)| Some((label, text?)));
    shown.collect()
}
