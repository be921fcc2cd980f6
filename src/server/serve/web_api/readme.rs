//! The README of a version, from its crate file.

use axum::http::Response;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse as _;

use super::contents::{not_found, unavailable};
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::server::serve::crate_contents::{Closed, text, unpack};
use crate::server::serve::crate_reader::OneCrate;

impl OneCrate {
    /// `GET /api/v1/crates/NAME/VERSION/readme`: the README as its author wrote it, as text. crates.io sends clients on to a
    /// page that it rendered.
    pub(super) async fn readme(self, version: String) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        let of = self.file(version).await?;
        let file = &of.file;
        let readme = unpack(state, &of, |archive| {
            Ok(archive.readme()?.as_ref().map(text))
        });
        let readme = readme.await.map_err(|why| match why {
            Closed::NotStored => not_found(format!("the README of {file} is in its crate file, which this server does not have before it is first downloaded")),
            other => unavailable(&of, other),
        })?;
        let readme = readme.ok_or_else(|| not_found(format!("{file} has no README")))?;
        let headers = [
            (CONTENT_TYPE, "text/plain; charset=utf-8"),
            // Whatever it looks like: browsers do not take it for a page.
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (CACHE_CONTROL, "no-cache"),
        ];
        Ok((headers, readme).into_response().map(Body::from))
    }
}
