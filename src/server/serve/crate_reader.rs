//! Reads what catalog and index say of crates, for the web API and for pages. All that waits for the disk does so on threads
//! that may.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::index;
use super::state::State;
use crate::error::Result;
use crate::http::error_response::ErrorResponse;
use crate::index::CrateName;
use crate::index::release::{Release, Releases};
use crate::server::catalog::crates::{CrateCatalog, CrateRow};

/// After how many seconds a client may ask again while the catalog is being made.
const FILLING: u64 = 5;

/// Returns the catalog, if it is not switched off, and knows the index.
pub(super) fn catalog(state: &'static State) -> Result<&'static CrateCatalog, ErrorResponse> {
    let Some(catalog) = &state.catalog else {
        let (status, detail) = match state.config.serve.catalog {
            true => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the catalog of crates cannot be opened; the log says why",
            ),
            false => (
                StatusCode::NOT_FOUND,
                "this server neither searches crates nor describes them: serve.catalog is off",
            ),
        };
        return Err(ErrorResponse::for_cargo(status, detail));
    };
    // Before the first index there is nothing that it could know.
    state.view()?;
    if catalog.is_made() {
        return Ok(catalog);
    }
    let detail = match catalog.filling() {
        Some((read, of)) => {
            format!("the catalog is being made: {read} of {of} crates have been read")
        }
        None => "the catalog is being made".to_owned(),
    };
    let error = ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, detail);
    Err(error.with(RETRY_AFTER, FILLING))
}

/// Asks the catalog, on a thread that may wait for the disk.
pub(super) async fn ask<T: Send + 'static>(
    state: &'static State,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T, ErrorResponse> {
    let failed = |error: String| {
        tracing::error!("{error}");
        let detail = "the catalog cannot be read; the log says why";
        ErrorResponse::for_cargo(StatusCode::INTERNAL_SERVER_ERROR, detail)
    };
    // Whoever waits here waits without a thread and a connection of its own.
    let _turn = state.asking.acquire().await;
    let done = spawn_blocking(work).await;
    let done = done.map_err(|error| failed(error.to_string()))?;
    done.map_err(|error| failed(state.mask.apply(&error.chain()).into_owned()))
}

/// Makes the body of an answer, on a thread that may take its time. It counts as memory for index files until its client has
/// read it.
///
/// # Errors
/// 503 where clients that do not read their answers hold all of that memory.
pub(super) async fn body(
    state: &'static State,
    make: impl FnOnce() -> Result<Vec<u8>> + Send + 'static,
) -> Result<Bytes, ErrorResponse> {
    let budget = state.index_cache.budget().clone();
    let made = ask(state, move || {
        let bytes = make()?;
        let share = budget.take(bytes.len() as u64);
        Ok(share.map(|share| share.hold(bytes)))
    });
    made.await?.ok_or_else(index::busy)
}

/// Reads the version at this place of a crate's list, on a thread that may take its time: a line may have megabytes of features.
pub(super) async fn read(
    state: &'static State,
    releases: &Arc<Releases>,
    place: usize,
) -> Result<Option<Release>, ErrorResponse> {
    let releases = Arc::clone(releases);
    ask(state, move || Ok(releases.read(place))).await
}

/// A crate that was asked for.
pub(super) struct OneCrate {
    pub(super) state: &'static State,
    pub(super) catalog: &'static CrateCatalog,
    pub(super) name: CrateName,
}

impl OneCrate {
    /// Reads its name.
    ///
    /// # Errors
    /// 404 where it is none, or there is no catalog; 503 while that is being made.
    pub(super) fn new(state: &'static State, name: &str) -> Result<Self, ErrorResponse> {
        let catalog = catalog(state)?;
        let name = CrateName::new(name)
            .map_err(|error| ErrorResponse::for_cargo(StatusCode::NOT_FOUND, error.to_string()))?;
        Ok(Self {
            state,
            catalog,
            name,
        })
    }

    /// Reads what catalog and index say of the crate; it has one version at least.
    /// `None` if there is no such crate.
    pub(super) async fn find(&self) -> Result<Option<(CrateRow, Arc<Releases>)>, ErrorResponse> {
        let (state, catalog) = (self.state, self.catalog);
        let asked = self.name.to_string();
        let Some(row) = ask(state, move || catalog.find(&asked)).await? else {
            return Ok(None);
        };
        let Ok(name) = CrateName::new(&row.name) else {
            return Ok(None);
        };
        let Some(view) = state.view()?.as_ref().map(Arc::clone) else {
            return Ok(None);
        };
        let Some(file) = index::find(state, &view, name.index_path()).await? else {
            return Ok(None);
        };
        // A crate may have thousands of versions: other requests do not wait for them.
        let releases = ask(state, move || {
            Ok(Arc::new(Releases::of(file.plain.clone())))
        })
        .await?;
        Ok((!releases.listed().is_empty()).then_some((row, releases)))
    }
}
