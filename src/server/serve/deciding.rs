//! Decides what requests see: finds what is new in the index, writes that down, and applies the policy.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, warn};

use super::state::State;
use super::view::View;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::policy::{Policy, Seen, Sighting};
use crate::server::cargo_config::replace;
use crate::server::decisions::Decisions;
use crate::server::index_copy::Snapshot;
use crate::server::sightings;

/// The file in `serve.data_dir` that names the commit up to which what was new is written down.
const COMPARED: &str = "policy-compared";
/// How long the store may take for each of both.
const LONGEST: Duration = Duration::from_secs(20);

/// What was seen and could not be written down yet; and the last failure, which is logged once.
#[derive(Default)]
pub(super) struct Unrecorded {
    pending: Mutex<Vec<Sighting>>,
    last_failure: ArcSwapOption<String>,
}

impl Unrecorded {
    /// Returns why the store could not be used the last time; `None` if it could.
    pub(super) fn last_failure(&self) -> Option<Arc<String>> {
        self.last_failure.load_full()
    }
}

/// Decides on an index, again only what is not as before. `None` if the index or the store cannot be read, which is logged.
pub(super) async fn decide(
    state: &'static State,
    policy: &'static Policy,
    before: &Option<Arc<View>>,
    index: &Arc<Snapshot>,
) -> Option<Arc<Decisions>> {
    let now = state.handle.timestamp();
    let news = news(state, policy, before, index, now).await;
    let news = news.unwrap_or_else(|error| {
        // The copy that was shown before may be damaged, and this one its replacement.
        let error = error.chain();
        warn!(
            "what is new in the index cannot be found; what it does not date counts as old: {error}"
        );
        Vec::new()
    });
    let seen = Arc::new(seen(state, policy, before, news, index.commit(), now).await?);
    let (before, index) = (before.clone(), Arc::clone(index));
    let applied = blocking(move || apply(policy, seen, before.as_deref(), &index, now)).await;
    applied
        .inspect_err(|error| drop(state.replace_copy(error)))
        .ok()
}

fn apply(
    policy: &Policy,
    seen: Arc<Seen>,
    before: Option<&View>,
    index: &Snapshot,
    now: Timestamp,
) -> Result<Arc<Decisions>> {
    let before = before.and_then(|view| Some((view, view.decisions.as_ref()?)));
    let Some((view, decisions)) = before else {
        return Decisions::of(policy, seen, index, now).map(Arc::new);
    };
    match decisions.after(policy, Arc::clone(&seen), &view.snapshot, index, now) {
        Ok(after) => Ok(after.map_or_else(|| Arc::clone(decisions), Arc::new)),
        // The copy that was shown before may be damaged, and this one its replacement.
        Err(_) => Decisions::of(policy, seen, index, now).map(Arc::new),
    }
}

/// Finds what is new since the commit that was looked at last, also by a process that was killed since.
async fn news(
    state: &'static State,
    policy: &'static Policy,
    before: &Option<Arc<View>>,
    index: &Arc<Snapshot>,
    now: Timestamp,
) -> Result<Vec<Sighting>> {
    if policy.memory().is_none() {
        return Ok(Vec::new());
    }
    let (before, index) = (before.clone(), Arc::clone(index));
    blocking(move || {
        if let Some(view) = before {
            return sightings::compare(policy, &view.snapshot, &index, now);
        }
        let compared = read_compared(&compared_in(state));
        let compared = compared.filter(|commit| *commit != index.commit());
        // Without that commit, or without all of it, all that is there counts as old.
        let Some(commit) = compared else {
            return Ok(Vec::new());
        };
        let Some(compared) = state.copy.at(commit) else {
            warn!(
                "the copy of the index does not reach back to {}, which was looked at last: what came since counts as old where its \
                 line has no date, and yanks since then show at once",
                commit.short()
            );
            return Ok(Vec::new());
        };
        Ok(sightings::compare(policy, &compared, &index, now).unwrap_or_default())
    })
    .await
}

/// Writes down what is new, and returns all that was seen, by other servers of the store as well.
async fn seen(
    state: &State,
    policy: &Policy,
    before: &Option<Arc<View>>,
    news: Vec<Sighting>,
    commit: ObjectId,
    now: Timestamp,
) -> Option<Seen> {
    if policy.memory().is_none() {
        return Some(Seen::default());
    }
    let store = state.crate_files.inventory().store();
    let path = compared_in(state);
    let mut pending = state.unrecorded.pending.lock().await;
    pending.extend(news);
    let recorded = in_time(sightings::record(store, &pending)).await;
    let read = in_time(sightings::read(store, policy, now)).await;
    let begun = match &read {
        Ok(kept) if !kept.has_begun => {
            if read_compared(&path).is_some() {
                warn!(
                    "the store has no state of the policy any more: when lines without a date and yanks were first seen is lost, and \
                     what was on hold by that is not. Bring back {}/state if you have it.",
                    state.config.store()
                );
            }
            in_time(sightings::begin(store)).await
        }
        _ => Ok(()),
    };
    let is_recorded = recorded.is_ok();
    let (kept, unread) = match read {
        Ok(kept) => (Some(kept.seen), None),
        Err(error) => (None, Some(error)),
    };
    note_failure(state, recorded.err().or(unread).or(begun.err()));
    let decisions = before.as_ref().and_then(|view| view.decisions.as_ref());
    // Where nothing was decided before, what was seen before is not known: a version may be on hold by it.
    let mut seen = kept.or_else(|| decisions.map(|decisions| decisions.seen().clone()))?;
    for sighting in pending.iter() {
        seen.add(sighting.clone());
    }
    if is_recorded {
        pending.clear();
        if read_compared(&path) != Some(commit)
            && let Err(error) = replace(&path, &format!("{commit}\n"))
        {
            warn!("cannot write {}: {error}", path.display());
        }
    }
    Some(seen)
}

/// Keeps why the store cannot be used, for `/readyz`, and logs it once.
fn note_failure(state: &State, error: Option<io::Error>) {
    let failure = error.map(|error| {
        let error = sightings::unusable(&state.config.store(), error);
        let advice = error.advice().unwrap_or_default();
        let text = format!("{}; trying again. {advice}", error.chain());
        Arc::new(state.mask.apply(text.trim_end()).into_owned())
    });
    let last = state.unrecorded.last_failure.swap(failure.clone());
    if let Some(failure) = failure.filter(|failure| last.as_ref() != Some(failure)) {
        error!("{failure}");
    }
}

/// Bounds what the store is asked: a bucket that does not answer must not keep the index from being shown.
async fn in_time<T>(asking: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let asked = timeout(LONGEST, asking).await;
    asked.unwrap_or_else(|_| {
        let limit = humantime::format_duration(LONGEST);
        Err(io::Error::other(format!(
            "it did not respond within {limit}"
        )))
    })
}

fn compared_in(state: &State) -> PathBuf {
    state.config.serve.data_dir.join(COMPARED)
}

fn read_compared(path: &Path) -> Option<ObjectId> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = |error| {
        Error::new(Kind::Server, "the thread that applies the policy failed").because(error)
    };
    spawn_blocking(work).await.map_err(panicked)?
}
