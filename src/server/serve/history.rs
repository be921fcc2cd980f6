//! Writes down once a minute what was counted since, for the page and the JSON of the status.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::state::State;
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::index::CrateName;
use crate::server::history::{History, Recent, Sample};

const EVERY: Duration = Duration::from_secs(60);
/// How many crates are counted between two times; the following ones are not.
const CRATES: usize = 20_000;
/// How many threads have counters of their own, so that they do not wait for each other.
const SHARDS: usize = 16;
/// How many crates the status names.
const SHOWN: usize = 10;

/// What is collected until it is written.
#[derive(Default)]
pub(super) struct Collected {
    fetched: [Mutex<HashMap<CrateName, u64>>; SHARDS],
    /// What had been counted when it was written last.
    last: Mutex<Sample>,
}

thread_local! {
    static SHARD: usize = fastrand::usize(..SHARDS);
}

impl Collected {
    /// Counts a request for a file of this crate.
    pub(super) fn count(&self, name: &CrateName) {
        let shard = &self.fetched[SHARD.with(|shard| *shard)];
        let mut counts = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(name) {
            *count += 1;
        } else if counts.len() < CRATES / SHARDS {
            counts.insert(name.clone(), 1);
        }
    }

    fn take_fetched(&self) -> Vec<(String, u64)> {
        let mut all: HashMap<CrateName, u64> = HashMap::new();
        for shard in &self.fetched {
            let counts = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            for (name, count) in counts {
                *all.entry(name).or_default() += count;
            }
        }
        let named = all.into_iter();
        named
            .map(|(name, count)| (name.to_string(), count))
            .collect()
    }

    /// Returns what was counted since the last time.
    fn take_sample(&self, now: Sample) -> Sample {
        let last = self.last.lock();
        let mut last = last.unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *last, now);
        let since = |count: fn(&Sample) -> u64| count(&now).saturating_sub(count(&before));
        Sample {
            answered: since(|sample| sample.answered),
            refused: since(|sample| sample.refused),
            failed: since(|sample| sample.failed),
            sent_bytes: since(|sample| sample.sent_bytes),
            hits: since(|sample| sample.hits),
            misses: since(|sample| sample.misses),
            fetched_bytes: since(|sample| sample.fetched_bytes),
            ..now
        }
    }
}

/// Opens the history. A server serves without one, too.
pub(super) async fn open(config: &ServeConfig) -> Option<History> {
    let path = History::path_in(&config.serve.data_dir);
    let opened = spawn_blocking(move || History::open(&path)).await;
    let opened = opened.map_err(panicked).and_then(|opened| opened);
    opened
        .inspect_err(|error| warn!("the status will have no history: {}", error.chain()))
        .ok()
}

/// Writes once a minute.
pub(super) async fn forever(state: &'static State) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_failure = None;
    loop {
        ticks.tick().await;
        let failure = write(state).await.err().map(|error| error.chain());
        if let Some(failure) = failure.as_ref().filter(|_| last_failure != failure) {
            warn!("the history of the status cannot be written: {failure}");
        }
        last_failure = failure;
    }
}

/// Writes what was counted since the last time.
pub(super) async fn write(state: &'static State) -> Result<()> {
    let Some(history) = &state.history else {
        return Ok(());
    };
    let collected = &state.collected;
    let sample = collected.take_sample(counted(state).await);
    let (events, fetched) = (state.handle.take_noted(), collected.take_fetched());
    let writing = spawn_blocking(move || history.add(sample, &events, &fetched));
    writing.await.map_err(panicked)?
}

/// Returns all that was counted since the start.
async fn counted(state: &State) -> Sample {
    let totals = state.crate_files.inventory().totals().await;
    let numbers = state.crate_files.numbers();
    let of_class = |class| state.traffic.responses(class);
    let last_success = state.refreshes.so_far().last_success;
    Sample {
        at: Timestamp::now().as_second(),
        answered: of_class(2) + of_class(3),
        refused: of_class(4),
        failed: of_class(5),
        sent_bytes: state.traffic.bytes(),
        hits: numbers.hits,
        misses: numbers.misses,
        fetched_bytes: numbers.fetched_bytes,
        behind: last_success.map(|(at, _)| at.elapsed().as_secs()),
        store_bytes: totals.map(|(_, bytes)| bytes),
    }
}

/// Reads the last week; nothing where there is no history.
pub(super) async fn recent(state: &'static State) -> Recent {
    let Some(history) = &state.history else {
        return Recent::default();
    };
    let now = Timestamp::now().as_second();
    let reading = spawn_blocking(move || history.read(now, SHOWN)).await;
    let read = reading.map_err(panicked).and_then(|read| read);
    // `forever` tells what is wrong with it.
    read.unwrap_or_default()
}

fn panicked(error: tokio::task::JoinError) -> Error {
    Error::new(Kind::Server, "the thread of the history failed").because(error)
}
