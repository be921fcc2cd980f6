//! The style and the script of the pages, under names that change with what they hold, so that browsers may keep them.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use super::error;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, NOTHING_HERE, Reply};
use crate::server::serve::state::State;

/// A file of the pages.
struct Asset {
    /// Its name, with a part of its hash.
    name: String,
    kind: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(end: &str, kind: &'static str, content: &'static str) -> Self {
        let hash = digest(&SHA256, content.as_bytes());
        let name = format!("{}.{end}", hex::encode(&hash.as_ref()[..8]));
        Self {
            name,
            kind,
            content,
        }
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let kind = "text/css; charset=utf-8";
    Asset::new("css", kind, include_str!("style.css"))
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let kind = "text/javascript; charset=utf-8";
    Asset::new("js", kind, include_str!("script.js"))
});

/// Returns the name of the style.
pub(super) fn style() -> &'static str {
    &STYLE.name
}

/// Returns the name of the script.
pub(super) fn script() -> &'static str {
    &SCRIPT.name
}

/// `GET /assets/HASH.css`; without a token, since a page that asks for one has a style, too.
pub(in crate::server::serve) fn show(
    _: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let mut all = [&*STYLE, &*SCRIPT].into_iter();
    let asset = all.find(|asset| asset.name == request.wildcard);
    let Some(asset) = asset else {
        let nothing = ErrorResponse::new(StatusCode::NOT_FOUND, NOTHING_HERE);
        return Err(nothing.as_page(error::show));
    };
    let headers = [
        (CONTENT_TYPE, asset.kind),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok(Reply::now((headers, asset.content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_small() {
        assert!(SCRIPT.content.len() <= 2048, "{}", SCRIPT.content.len());
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for asset in [&*STYLE, &*SCRIPT] {
            for word in ["//", "url(", "@import", "fetch"] {
                assert!(!asset.content.contains(word), "{}: {word}", asset.name);
            }
        }
    }
}
