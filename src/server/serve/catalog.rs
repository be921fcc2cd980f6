//! Keeps the catalog of crates in step with what the index that is served lists.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use super::state::State;
use super::view::View;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::server::catalog::crates::{CrateCatalog, Updated};

/// How long to wait after a failure: the index is served meanwhile.
const RETRY: Duration = Duration::from_secs(60);

/// Brings the catalog up to date after each new commit of the index.
pub(super) async fn forever(state: &'static State) {
    let Some(catalog) = &state.catalog else {
        return pending().await;
    };
    let mut last_failure = None;
    loop {
        let view = state
            .view()
            .ok()
            .and_then(|view| view.as_ref().map(Arc::clone));
        let updated = match view {
            Some(view) => update(catalog, view).await,
            None => Ok(()),
        };
        let failure = updated.as_ref().err().map(Error::chain);
        if let Some(failure) = failure.as_ref().filter(|_| last_failure != failure) {
            let failure = state.mask.apply(failure);
            warn!("the catalog stays as it was: {failure}");
        }
        last_failure = failure;
        state.has_filled_catalog.notify_one();
        tokio::select! {
            () = state.has_new_view.notified() => {}
            () = sleep(RETRY), if updated.is_err() => {}
        }
    }
}

async fn update(catalog: &'static CrateCatalog, view: Arc<View>) -> Result<()> {
    let is_first = catalog.is_empty();
    let began = Instant::now();
    let updating = spawn_blocking(move || update_with(catalog, &view));
    let panicked = |error| {
        Error::new(Kind::Server, "the thread that updates the catalog failed").because(error)
    };
    let Updated { changed, gone } = updating.await.map_err(panicked)??;
    let took = began.elapsed().as_secs_f32();
    match (changed + gone, is_first) {
        (0, _) => {}
        (_, true) => info!(
            "the catalog has {} ({took:.1} s)",
            counted(catalog.len(), "crate")
        ),
        (all, false) => tracing::debug!(
            "the catalog: {} changed ({took:.1} s)",
            counted(all, "crate")
        ),
    }
    Ok(())
}

/// Takes what the index lists: all of it, or what store and policy leave of it.
fn update_with(catalog: &CrateCatalog, view: &View) -> Result<Updated> {
    let Some(crates) = view.listed_crates()? else {
        return catalog.update(&view.snapshot);
    };
    let blobs: HashMap<_, _> = crates.iter().map(|one| (one.stamp, one.blob)).collect();
    let crates = crates.into_iter().map(|one| (one.name, one.stamp));
    catalog.update_from(crates.collect(), &|stamp| {
        // Only what was just listed is read.
        blobs
            .get(&stamp)
            .map_or_else(|| Ok(Vec::new()), |blob| view.content(*blob))
    })
}
