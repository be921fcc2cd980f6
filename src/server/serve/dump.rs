//! Imports the registry's dump by the clock (`catalog.import`), and takes in what `catalog import` wrote beside the server.

use std::future::pending;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use super::state::State;
use crate::config::DumpSource;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::server::catalog::crates::CrateCatalog;
use crate::server::dump::{self, Outcome, When};

/// How often it is looked whether another process changed the catalog: SQLite counts that in memory.
const LOOK: Duration = Duration::from_secs(5);
/// How long to wait after a failure, unless dumps are imported more often.
const RETRY: Duration = Duration::from_secs(15 * 60);

/// Runs forever.
pub(super) async fn forever(state: &'static State) {
    let Some(catalog) = &state.catalog else {
        return pending().await;
    };
    // What this process imports is not taken for another one's.
    let turn = Mutex::new(());
    tokio::select! {
        () = take_in_changes(state, catalog, &turn) => {}
        () = import_by_the_clock(state, catalog, &turn) => {}
    }
}

async fn take_in_changes(state: &'static State, catalog: &'static CrateCatalog, turn: &Mutex<()>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_failure = None;
    loop {
        looks.tick().await;
        let _turn = turn.lock().await;
        match take_in(catalog).await {
            Ok(true) => info!("the catalog was changed by another process, and is read anew"),
            Ok(false) => {}
            Err(error) => warn_once(
                state,
                "the catalog cannot be read",
                &error,
                &mut last_failure,
            ),
        }
    }
}

/// Takes in what was imported, on a thread that may wait for the disk; says whether there was anything.
async fn take_in(catalog: &'static CrateCatalog) -> Result<bool> {
    let panicked =
        |error| Error::new(Kind::Server, "the thread that reads the catalog failed").because(error);
    let taken = spawn_blocking(move || catalog.take_in_changes()).await;
    taken.map_err(panicked)?
}

async fn import_by_the_clock(
    state: &'static State,
    catalog: &'static CrateCatalog,
    turn: &Mutex<()>,
) {
    let config = &state.config.catalog;
    let Some(source) = &config.import else {
        return pending().await;
    };
    let mut last_failure = None;
    loop {
        // What the index does not have yet would be left out.
        while catalog.is_empty() {
            sleep(LOOK).await;
        }
        sleep(until_due(state, catalog, source)).await;
        let every = config.import_every;
        let imported = {
            let _turn = turn.lock().await;
            import(state, catalog, source).await
        };
        match imported {
            Ok(()) => last_failure = None,
            Err(error) => {
                let what = "the dump is not imported, and what was imported before stays";
                warn_once(state, what, &error, &mut last_failure);
                sleep(RETRY.min(every)).await;
            }
        }
    }
}

/// Returns how long it is until the next import: at once where none was made from this source.
fn until_due(state: &State, catalog: &CrateCatalog, source: &DumpSource) -> Duration {
    let last = catalog.last_import().ok().flatten();
    let last = last.filter(|last| last.source == source.to_string());
    let Some(last) = last else {
        return Duration::ZERO;
    };
    // A clock that was set back must not put it off for longer than that.
    let since = Timestamp::now().as_second().saturating_sub(last.imported);
    let since = Duration::from_secs(u64::try_from(since).unwrap_or(0));
    state.config.catalog.import_every.saturating_sub(since)
}

async fn import(
    state: &'static State,
    catalog: &'static CrateCatalog,
    source: &DumpSource,
) -> Result<()> {
    debug!("asking {source} for a dump");
    let progress = std::sync::Arc::default();
    let outcome = dump::import(&state.config, catalog, source, When::Changed, &progress).await?;
    take_in(catalog).await?;
    for text in &outcome.left_out {
        warn!("the dump: {text}; that table is left out");
    }
    tell(&outcome);
    Ok(())
}

fn tell(outcome: &Outcome) {
    match &outcome.imported {
        Some(imported) => info!(
            "imported what the dump says of {}",
            counted(imported.crates, "crate")
        ),
        None => debug!("the dump has not changed since it was imported"),
    }
}

/// Logs a failure, unless it is the last one again.
fn warn_once(state: &State, what: &str, error: &Error, last: &mut Option<String>) {
    let failure = state.mask.apply(&error.chain()).into_owned();
    if last.as_ref() != Some(&failure) {
        warn!("{what}: {failure}");
    }
    *last = Some(failure);
}
