//! The README of a version, from its crate file.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse as _;
use tokio::task::spawn_blocking;

use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::index::release::Release;
use crate::index::{CrateFile, CrateName, CrateVersion};
use crate::server::crate_archive::{ArchiveError, CrateArchive};
use crate::server::crate_files::ReadableFile;
use crate::server::serve::crate_reader::OneCrate;
use crate::shown::{lines, one_line};

impl OneCrate {
    /// `GET /api/v1/crates/NAME/VERSION/readme`: the README as its author wrote it, as text. crates.io sends clients on to a
    /// page that it rendered.
    pub(super) async fn readme(self, version: String) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        let (_, (_, release)) = self.release(version).await?;
        let file = crate_file(&release).ok_or_else(|| {
            not_found(format!(
                "the index does not say what the crate file of {} is",
                release.name
            ))
        })?;
        // Before the file is opened. It is never closed.
        let _turn = state.unpacking.acquire().await;
        let stored = state.crate_files.stored(&file).await.map_err(|why| {
            let why = state.mask.apply(&one_line(&why.to_string())).into_owned();
            ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, why)
        })?;
        let stored = stored.ok_or_else(|| {
            not_found(format!("the README of {file} is in its crate file, which this server does not have before it is first downloaded"))
        })?;
        let readme = read(&file, stored).await.map_err(|why| {
            let why = state.mask.apply(&why.to_string()).into_owned();
            not_found(format!("the crate file of {file} cannot be read: {why}"))
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

/// Reads the README, on a thread that may wait for the disk.
async fn read(file: &CrateFile, stored: ReadableFile) -> Result<Option<String>, ArchiveError> {
    let mut archive = CrateArchive::new(stored, &file.name, &file.version);
    let reading = spawn_blocking(move || {
        let text = archive
            .readme()?
            .map(|content| content.text().replace("\r\n", "\n"));
        Ok(text.map(|text| lines(&text).into_owned()))
    });
    reading
        .await
        .unwrap_or_else(|error| Err(ArchiveError::of("the thread that reads it failed", error)))
}

fn crate_file(release: &Release) -> Option<CrateFile> {
    Some(CrateFile {
        name: CrateName::new(&release.name).ok()?,
        version: CrateVersion::new(&release.version.to_string()).ok()?,
        checksum: release.checksum.parse().ok()?,
    })
}

fn not_found(detail: String) -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail)
}
