//! Imports the registry's dump by the clock (`catalog.import`), and takes in what `catalog import` wrote beside the server.

use std::future::pending;
use std::time::{Duration, SystemTime};

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
/// What the status calls an import.
const NOTED: &str = "import";

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
            Err(error) => {
                let failure = state.mask.apply(&error.chain()).into_owned();
                if last_failure.as_ref() != Some(&failure) {
                    warn!("the catalog cannot be read: {failure}");
                }
                last_failure = Some(failure);
            }
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
    tell_last(state, catalog).await;
    loop {
        // What the index does not have yet would be left out.
        while catalog.is_empty() {
            sleep(LOOK).await;
        }
        sleep(until_due(state, catalog, source)).await;
        let imported = {
            let _turn = turn.lock().await;
            import(state, catalog, source).await
        };
        match imported {
            Ok(()) => {
                if state.imports.so_far().last_error.is_some() {
                    let text = "the dump can be imported again";
                    info!("{text}");
                    state.handle.note(NOTED, false, text);
                }
                state.imports.succeeded(SystemTime::now());
            }
            Err(error) => {
                let next = RETRY.min(config.import_every);
                let text = state.mask.apply(&describe(&error, next)).into_owned();
                if state.imports.so_far().last_error.as_ref() != Some(&text) {
                    warn!("the dump is not imported, and what was imported before stays: {text}");
                    state.handle.note(NOTED, true, &text);
                }
                state.imports.failed(text);
                sleep(next).await;
            }
        }
    }
}

/// Says when the last import was, which may have been before the server started.
async fn tell_last(state: &State, catalog: &'static CrateCatalog) {
    let last = spawn_blocking(move || catalog.last_import()).await;
    let last = last.ok().and_then(|last| last.ok().flatten());
    if let Some(last) = last.and_then(|last| Timestamp::from_second(last.imported).ok()) {
        state.imports.succeeded(last.into());
    }
}

/// Returns how long it is until the next import: at once where none was made from this source.
fn until_due(state: &State, catalog: &CrateCatalog, source: &DumpSource) -> Duration {
    let Some(last) = catalog.last_of(source).ok().flatten() else {
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
    match (&outcome.imported, outcome.newer) {
        (Some(imported), _) => info!(
            "imported what the dump says of {}",
            counted(imported.crates, "crate")
        ),
        (None, Some(newer)) => warn!(
            "{} has a dump that was made {}, before the one that is imported, made {}: the newer one stays",
            outcome.about.source,
            time(outcome.about.made.unwrap_or_default()),
            time(newer)
        ),
        (None, None) => debug!("the dump has not changed since it was imported"),
    }
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

/// Says why an import failed, and what comes of it: the server tries again by itself, and a person mends what is left.
fn describe(error: &Error, next: Duration) -> String {
    let next = humantime::format_duration(next);
    let advice = error.advice().map(|advice| format!(" ({advice})"));
    format!(
        "[{}] {}; the next try is in {next}{}",
        error.kind(),
        error.chain(),
        advice.unwrap_or_default()
    )
}
