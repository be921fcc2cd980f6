//! What is done now and then: uses are written down, files evicted, tokens and certificates read anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::site::Site;
use crate::http::Certificates;

/// How often it is done.
const EVERY: Duration = Duration::from_secs(10);
/// Every so many times what came by other ways is taken in, and idle files are looked for.
const EVICT_EVERY: u64 = 60;
/// Every so many times uses are written down.
const FLUSH_EVERY: u64 = 3;

/// Does it forever; a SIGHUP does it at once.
pub(super) async fn forever(
    site: &'static Site,
    certificates: Option<&Certificates>,
    mut hangup: Signal,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = hangup.recv() => info!("SIGHUP: tokens and certificate are read anew"),
        }
        if let Some(tokens) = &site.tokens {
            tokens.reload();
        }
        if let Some(certificates) = certificates {
            certificates.reload();
        }
        if number % FLUSH_EVERY == 0 {
            finish(site).await;
        }
        if number % EVICT_EVERY == 0 {
            site.crate_files.inventory().reconcile().await;
            site.crate_files.evictor().evict_by_limits().await;
        }
    }
}

/// Writes down what would be lost with the process.
pub(super) async fn finish(site: &'static Site) {
    let files = Arc::clone(&site.crate_files);
    let flushed = tokio::task::spawn_blocking(move || match files.inventory().catalog() {
        Some(catalog) => catalog.flush(),
        None => Ok(()),
    });
    if let Ok(Err(error)) = flushed.await {
        warn!("{error}: {}", error.causes().join(": "));
    }
}
