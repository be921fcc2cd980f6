//! Decides what requests see: finds what is new in the index, writes that down, and applies the policy.

mod known;
mod news;
mod trust;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tracing::{error, warn};

use super::state::State;
use super::view::View;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::index::CrateFile;
use crate::policy::{Policy, Seen, Withdrawal};
use crate::server::command_rules::Said;
use crate::server::decisions::Decisions;
use crate::server::index_copy::Snapshot;
use crate::server::index_history::Point;
use crate::server::rule_dates::RuleDates;
use crate::server::sightings::News;
use known::known;
pub(crate) use news::compared;
use trust::Believed;

/// The file in `serve.data_dir` that a command leaves which has made a rule: a server then reads them at once.
pub(crate) const COMMANDED: &str = "policy-commanded";
/// How many versions are taken for withdrawn at once: more look like an accident of upstream's, or of the mirror's.
pub(crate) const MOST_WITHDRAWN: usize = 50;

/// What was seen and could not be written down yet; and the last failure, which is logged once.
#[derive(Default)]
pub(super) struct Unrecorded {
    pending: Mutex<News>,
    last_failure: ArcSwapOption<String>,
    /// Why an index before the newest one is served, if one is.
    holds: ArcSwapOption<String>,
    /// What commands said, once that could be read.
    said: Mutex<Option<Said>>,
    /// When the rules of the configuration refused first.
    rule_dates: Mutex<RuleDates>,
    /// The files that were released when it was decided last.
    released: Mutex<Vec<CrateFile>>,
    /// The policy of the configuration that was applied last, and what the file of commands said then.
    applied: ArcSwapOption<(Arc<Policy>, String)>,
    /// Whether the last two commits that were looked at are of one history.
    last_way: Mutex<Option<(Point, ObjectId, bool)>>,
}

impl Unrecorded {
    /// Returns why it could not be decided the last time; `None` if it could.
    pub(super) fn last_failure(&self) -> Option<Arc<String>> {
        self.last_failure.load_full()
    }

    /// Returns why an index before the newest one is served, if one is.
    pub(super) fn holds(&self) -> Option<Arc<String>> {
        self.holds.load_full()
    }
}

/// What requests are to see, and which crate files it concerns.
pub(super) struct Decided {
    pub(super) decisions: Arc<Decisions>,
    /// The index that was decided on: the one before, where what is new is not to be believed.
    pub(super) index: Arc<Snapshot>,
    /// What was taken back since.
    withdrawn: Vec<Withdrawal>,
    /// What is released since, though it was taken back, and what is not any more.
    released: Vec<CrateFile>,
    refused_again: Vec<CrateFile>,
}

/// Forgets what was known while there was a policy: nothing is decided any more.
pub(super) fn forget(state: &State) {
    if state.unrecorded.applied.swap(None).is_some() {
        state.unrecorded.holds.store(None);
        state.mails.note_held_back(None);
        note(state, None);
    }
}

/// Has the store read again, and the policy applied.
pub(super) fn look_again(state: &State) {
    state.unrecorded.applied.store(None);
}

/// Says whether another policy was applied last, or a command made a rule since.
pub(super) fn is_outdated(state: &State, policy: &Arc<Policy>) -> bool {
    let applied = state.unrecorded.applied.load();
    applied.as_ref().is_none_or(|applied| {
        !Arc::ptr_eq(&applied.0, policy) || applied.1 != commanded(&state.config.serve.data_dir)
    })
}

/// Reads what the last command on this directory left there, whatever that is.
fn commanded(data_dir: &Path) -> String {
    fs::read_to_string(data_dir.join(COMMANDED)).unwrap_or_default()
}

/// Decides on an index, again only what is not as before; on the one before, where too much vanished at once. `None` if the index or
/// the store cannot be read, which is logged: then nothing moves.
pub(super) async fn decide(
    state: &'static State,
    policy: Arc<Policy>,
    before: &Option<Arc<View>>,
    index: &Arc<Snapshot>,
) -> Option<Decided> {
    let advisories = state.advisories.load_full();
    if let Some(advisories) = &advisories {
        advisories.begun().await;
    }
    let now = state.handle.timestamp();
    // Before the rules are read: one that is made meanwhile is read with the next look.
    let commanded = commanded(&state.config.serve.data_dir);
    let (earlier, news) = news::found(state, &policy, before, index, now).await;
    let Believed { index, news, held } = trust::believed(state, earlier, index, news).await;
    let withdrawn = news.withdrawn.iter();
    let withdrawn = withdrawn
        .map(|vanished| vanished.withdrawal.clone())
        .collect();
    let (known, failure) = known(state, &policy, before, news, index.commit(), now).await;
    tell(state, held, failure);
    let mut known = known?;
    if let Some(advisories) = &advisories {
        known.seen.set_advisories(advisories.current());
    }
    let (by, seen) = (known.policy, Arc::new(known.seen));
    let (view, on) = (before.clone(), Arc::clone(&index));
    let applied = blocking(move || apply(&by, seen, view.as_deref(), &on, now)).await;
    let applied = applied.inspect_err(|error| drop(state.replace_copy(error)));
    let decisions = applied.ok()?;
    if known.has_rules {
        let applied = Arc::new((policy, commanded));
        state.unrecorded.applied.store(Some(applied));
    }
    let (released, refused_again) = released_since(state, decisions.policy(), now).await;
    Some(Decided {
        withdrawn,
        released,
        refused_again,
        decisions,
        index,
    })
}

/// Tells why an index is held back, or why the store cannot be used; mails the first, where it is the guard.
fn tell(state: &State, held: Option<Error>, failure: Option<String>) {
    let text = held.as_ref().map(|held| {
        let (kind, text) = (held.kind(), held.chain());
        format!("[{kind}] {text}. {}", held.advice().unwrap_or_default())
    });
    let holds = text
        .as_ref()
        .map(|text| state.mask.apply(text.trim_end()).into_owned());
    state.unrecorded.holds.store(holds.map(Arc::new));
    let is_new = note(state, text.or(failure));
    match held.filter(|held| held.kind() == Kind::Guard) {
        Some(held) if is_new => state.mails.note_held_back(Some(&held)),
        Some(_) => {}
        None => state.mails.note_held_back(None),
    }
}

/// Returns which files are released since the last time, though upstream took them back, and which are not any more: by the time as
/// well, since a release may end without a word. Of a process that was killed nothing is known.
async fn released_since(
    state: &State,
    policy: &Policy,
    now: Timestamp,
) -> (Vec<CrateFile>, Vec<CrateFile>) {
    let later = policy.released(now);
    let later: Vec<_> = later.map(|released| released.file.clone()).collect();
    let mut last = state.unrecorded.released.lock().await;
    let earlier = std::mem::replace(&mut *last, later.clone());
    drop(last);
    let without = |all: &[CrateFile], others: &[CrateFile]| -> Vec<_> {
        let all = all.iter().filter(|file| !others.contains(file));
        all.cloned().collect()
    };
    (without(&later, &earlier), without(&earlier, &later))
}

/// Takes the files of what was withdrawn out of memory and store, when requests do not see it any more, and those of what is
/// released back into the store.
pub(super) async fn move_files(state: &'static State, decided: Decided) {
    state.mails.send();
    for file in decided.released {
        if let Err(error) = state.crate_files.bring_back(&file).await {
            warn!("cannot take the crate file of {file} back into the store: {error}");
        }
    }
    for file in decided.refused_again {
        set_aside(state, &file).await;
    }
    for withdrawal in decided.withdrawn {
        let file = CrateFile {
            name: withdrawal.name,
            version: withdrawal.version,
            checksum: withdrawal.checksum,
        };
        let text = format!("{file} was withdrawn upstream: it is refused from now on");
        warn!("{text}");
        state.handle.note("policy", true, &text);
        set_aside(state, &file).await;
    }
}

async fn set_aside(state: &State, file: &CrateFile) {
    if let Err(error) = state.crate_files.set_aside(file).await {
        warn!("cannot move the crate file of {file} aside; it stays in the store: {error}");
    }
}

fn apply(
    policy: &Arc<Policy>,
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

/// Keeps why what is newest cannot be decided on, for `/readyz`, and logs it once; says whether this is the time.
fn note(state: &State, text: Option<String>) -> bool {
    let failure = text.map(|text| Arc::new(state.mask.apply(text.trim_end()).into_owned()));
    let last = state.unrecorded.last_failure.swap(failure.clone());
    match failure.filter(|failure| last.as_ref() != Some(failure)) {
        Some(failure) => {
            error!("{failure}");
            state.handle.note("policy", true, &failure);
            true
        }
        None => false,
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked = |error| {
        Error::new(Kind::Server, "the thread that applies the policy failed").because(error)
    };
    spawn_blocking(work).await.map_err(panicked)?
}
