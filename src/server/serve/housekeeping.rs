//! Periodic work: writes down who fetched files, and when they were last used, evicts, and reloads tokens, certificate and, when asked, the policy.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::state::State;
use super::{audit, policy, trusted};
use crate::http::Certificates;

/// How often tokens and certificate are checked for changes.
const EVERY: Duration = Duration::from_secs(10);
/// In every so many rounds the catalog is reconciled with the store, and the limits are enforced.
const EVICT_EVERY: u64 = 60;
/// In every so many rounds the times of last use are written to the catalog.
const FLUSH_EVERY: u64 = 3;

/// Runs forever; SIGHUP starts a round at once.
pub(super) async fn forever(
    state: &'static State,
    certificates: Option<&Certificates>,
    mut hangup: Signal,
) {
    let mut ticks = interval(EVERY);
    // The default would make up for the ticks that a long eviction missed, with as many rounds in a row.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0u64.. {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            _ = hangup.recv() => true,
        };
        if is_asked {
            info!("SIGHUP: tokens, certificate, policy and private.trusted are reloaded");
            reload(state).await;
        }
        state.tokens.reload(is_asked);
        if let Some(certificates) = certificates {
            certificates.reload(is_asked);
        }
        audit::flush(state).await;
        if round % FLUSH_EVERY == 0 {
            flush(state).await;
        }
        if round % EVICT_EVERY == 0 {
            state.crate_files.inventory().reconcile().await;
            state.crate_files.evictor().evict_by_limits().await;
        }
    }
}

/// Reads the configuration again, and applies what counts without another start. One that cannot be read changes nothing.
async fn reload(state: &'static State) {
    let reading = spawn_blocking(|| state.handle.reread()).await;
    match reading.unwrap_or_default() {
        Some(Ok(config)) => {
            trusted::apply(state, &config);
            policy::apply(state, config.policy).await;
        }
        Some(Err(error)) => {
            let advice = error.advice().map(|advice| format!(" ({advice})"));
            let text = format!(
                "the policy stays as it was, and so does private.trusted: {}{}",
                error.chain(),
                advice.unwrap_or_default()
            );
            let text = state.mask.apply(&text).into_owned();
            error!("{text}");
            state.handle.note("policy", true, &text);
        }
        None => {}
    }
}

/// Writes the times of last use to the catalog: until then they are only in memory.
pub(super) async fn flush(state: &'static State) {
    let files = Arc::clone(&state.crate_files);
    let flushed = spawn_blocking(move || match files.inventory().catalog() {
        Some(catalog) => catalog.flush(),
        None => Ok(()),
    });
    if let Ok(Err(error)) = flushed.await {
        warn!("{}", error.chain());
    }
}
