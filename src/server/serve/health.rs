//! `/healthz` and `/readyz`.

use axum::http::StatusCode;

use super::site::Site;
use crate::http::refusal::Refusal;

/// The process answers.
pub(super) fn healthz() -> &'static str {
    "ok\n"
}

/// The index is there, and a look at it succeeded not too long ago.
pub(super) fn readyz(site: &Site) -> Result<&'static str, Refusal> {
    site.view()?;
    let looks = site.looks();
    let age = looks.last_success.map(|at| at.elapsed());
    let limit = site.config.serve.stale_after;
    match age {
        Some(age) if age <= limit => Ok("ready\n"),
        _ => {
            let limit = humantime::format_duration(limit);
            let why = looks
                .failure
                .unwrap_or_else(|| "none was tried yet".to_owned());
            let text = format!("no look at the index succeeded within {limit}: {why}");
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text))
        }
    }
}
