//! `/api/v1/crates/NAME/VERSION/files` and `/api/v1/crates/NAME/OLD...NEW`: what stored crate files have in them. crates.io has
//! neither.

use axum::http::{Response, StatusCode};
use serde::Serialize;

use super::read::json;
use crate::http::Body;
use crate::http::error_response::ErrorResponse;
use crate::server::crate_diff::Change;
use crate::server::serve::comparison::changed;
use crate::server::serve::crate_contents::{Closed, crate_file, files};
use crate::server::serve::crate_reader::OneCrate;
use crate::server::serve::registry::{FileOf, Registry};

#[derive(Serialize)]
struct FilesAnswer {
    files: Vec<FileJson>,
}

#[derive(Serialize)]
struct FileJson {
    path: String,
    size: u64,
    sha256: Option<String>,
}

#[derive(Serialize)]
struct ChangesAnswer {
    files: Vec<ChangeJson>,
}

/// A file that changed; the sizes of one that is not there are 0.
#[derive(Serialize)]
struct ChangeJson {
    path: String,
    change: &'static str,
    old_path: Option<String>,
    old_size: u64,
    new_size: u64,
}

impl OneCrate {
    /// Lists the files of a version, with their checksums.
    pub(super) async fn files(self, version: String) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        let file = self.file(version).await?;
        // Until the answer is written: before that it takes several times the memory.
        let _turn = state.comparing.acquire().await;
        let files = files(state, &file).await;
        let files = files.map_err(|why| unavailable(&file, why))?;
        let files = files.iter().map(|file| FileJson {
            path: file.path.clone(),
            size: file.size,
            sha256: file.checksum.map(|checksum| checksum.to_string()),
        });
        let files = files.collect();
        json(state, FilesAnswer { files }).await
    }

    /// Lists the files that changed between two versions.
    pub(super) async fn changes(
        self,
        old: String,
        new: String,
    ) -> Result<Response<Body>, ErrorResponse> {
        let state = self.state;
        let before = Self::new(state, self.name.as_str())?.file(old).await?;
        let after = self.file(new).await?;
        // Until the answer is written: before that it takes several times the memory.
        let _turn = state.comparing.acquire().await;
        let changed = changed(state, &before, &after).await;
        let changed = changed.map_err(|(is_new, why)| {
            let file = if is_new { &after } else { &before };
            unavailable(file, why)
        })?;
        let files = changed.into_iter().map(|file| {
            let (change, old_path) = match file.change {
                Change::Added => ("added", None),
                Change::Removed => ("removed", None),
                Change::Changed => ("changed", None),
                Change::Renamed(from) => ("renamed", Some(from)),
            };
            ChangeJson {
                path: file.path,
                change,
                old_path,
                old_size: file.old_size,
                new_size: file.new_size,
            }
        });
        let files = files.collect();
        json(state, ChangesAnswer { files }).await
    }

    /// Finds the crate file of a version.
    pub(super) async fn file(self, version: String) -> Result<FileOf, ErrorResponse> {
        let (_, (_, release)) = self.release(version).await?;
        let file = crate_file(&release).map(|file| Registry::Mirror.file(file));
        file.ok_or_else(|| {
            let name = &release.name;
            not_found(format!(
                "the index does not say what the crate file of {name} is"
            ))
        })
    }
}

/// Says why a crate file is not read.
pub(super) fn unavailable(of: &FileOf, why: Closed) -> ErrorResponse {
    let file = &of.file;
    match why {
        Closed::NotStored => not_found(format!(
            "this server does not have the crate file of {file} before it is first downloaded"
        )),
        Closed::Store(why) => ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, why),
        Closed::Unreadable(why) => {
            not_found(format!("the crate file of {file} cannot be read: {why}"))
        }
    }
}

pub(super) fn not_found(detail: String) -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail)
}
