//! Lists the store for a server that fetches nothing and whose index lists only what it has (`serve.offline_index:
//! held`).

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, interval};
use tracing::warn;

use super::state::State;
use crate::error::Error;

/// How often the catalog is polled for files that came or went.
const POLL: Duration = Duration::from_secs(1);
/// How often the store itself is listed: a bucket has no catalog, and other programs may fill a folder.
const LIST: Duration = Duration::from_secs(60);

/// Keeps what requests see in step with the store.
pub(super) async fn forever(state: &'static State) {
    if !state.lists_stored_only() {
        return pending().await;
    }
    let mut ticks = interval(POLL);
    let (mut known, mut listed) = (None, Instant::now());
    let mut last_failure = None;
    loop {
        ticks.tick().await;
        let is_due = listed.elapsed() >= LIST || !state.has_listed_store();
        if is_due {
            state.crate_files.inventory().reconcile().await;
            listed = Instant::now();
        }
        let version = state.crate_files.inventory().version().await;
        // A bucket has no version: `None` equals `None`, and only `LIST` leads on.
        if !is_due && version == known {
            continue;
        }
        known = version;
        let read = state.crate_files.inventory().paths().await;
        let failure = read.as_ref().err().map(Error::chain);
        // Each failure is logged once, not every second.
        if let Some(failure) = failure.as_ref().filter(|_| last_failure != failure) {
            warn!("cannot list the crate files in the store: {failure}");
        }
        last_failure = failure;
        if let Ok(stored) = read {
            state.set_stored(stored);
            state.update_view().await;
        }
    }
}
