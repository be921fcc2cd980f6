//! Mails what a person has to know of the index: what upstream took back, which advisories appeared, and that an index is held back.
//!
//! What is noticed is written down as that, and sent by a task of its own, beside all else: neither requests nor the index wait for
//! it. It counts as told when the mail server has taken the mail, so that a server that is killed in between sends it when it is
//! started again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::audit;
use super::mail_memory::MailMemory;
use super::state::State;
use crate::config::ServeConfig;
use crate::error::{Error, Result};
use crate::index::{CrateFile, CrateSpec, entry};
use crate::notify;
use crate::notify::notice::{Event, Failure, Withdrawn};
use crate::policy::Withdrawal;
use crate::server::index_copy::Snapshot;

/// How long to wait after a mail that could not be sent: the mail server may be away for a while.
const PAUSE: Duration = Duration::from_secs(300);
/// The files in `serve.data_dir` that say which withdrawals are known, and which advisories.
const WITHDRAWALS: &str = "withdrawals-known.json";
const ADVISORIES: &str = "advisories-known.json";

/// What is to be mailed.
pub(super) struct Mails {
    /// Whether anybody gets mails.
    is_on: bool,
    wake: Notify,
    held_back: ArcSwapOption<Failure>,
    withdrawals: Mutex<Withdrawals>,
    pub(super) advisories: Mutex<MailMemory>,
}

/// What is to be mailed of withdrawals.
struct Withdrawals {
    memory: MailMemory,
    /// All of them, by their keys.
    all: BTreeMap<String, Withdrawal>,
}

impl Mails {
    /// Reads what is known.
    pub(super) fn open(config: &ServeConfig) -> Self {
        let memory = |name| MailMemory::read(config.serve.data_dir.join(name));
        Self {
            is_on: config.mail.route().is_some(),
            wake: Notify::new(),
            held_back: ArcSwapOption::empty(),
            withdrawals: Mutex::new(Withdrawals {
                memory: memory(WITHDRAWALS),
                all: BTreeMap::new(),
            }),
            advisories: Mutex::new(memory(ADVISORIES)),
        }
    }

    /// Says whether anybody gets mails.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Has what is to be told sent now, unless that failed a moment ago.
    pub(super) fn send(&self) {
        self.wake.notify_one();
    }

    /// Notes all that was ever withdrawn, and what of it was seen a moment ago.
    pub(super) async fn note_withdrawals(&self, all: Vec<Withdrawal>, new: &[Withdrawal]) {
        if !self.is_on {
            return;
        }
        let mut withdrawals = self.withdrawals.lock().await;
        let new: BTreeSet<_> = new.iter().map(key).collect();
        let mut by_key = BTreeMap::<_, Withdrawal>::new();
        for withdrawal in all {
            let first = by_key.entry(key(&withdrawal));
            let first = first.or_insert_with(|| withdrawal.clone());
            first.at = first.at.min(withdrawal.at);
        }
        let keys = by_key.keys().cloned().collect();
        withdrawals.memory.note(&keys, &new, |_| true);
        withdrawals.all = by_key;
    }

    /// Notes that an index is held back; `None` where that is over.
    pub(super) fn note_held_back(&self, why: Option<&Error>) {
        self.held_back
            .store(why.map(|why| Failure::from(why).into()));
    }

    /// Returns what is to be told, so that it can be compared.
    async fn pending(&self) -> Vec<String> {
        let held_back = self.held_back.load();
        let mut pending: Vec<_> = held_back.iter().map(|why| why.message.clone()).collect();
        pending.extend(self.withdrawals.lock().await.memory.pending());
        pending.extend(self.advisories.lock().await.pending());
        pending
    }
}

/// Returns what a withdrawal is known by: two servers may see the same one a moment apart.
fn key(withdrawal: &Withdrawal) -> String {
    let Withdrawal {
        name,
        version,
        checksum,
        ..
    } = withdrawal;
    format!("{name}@{version} {checksum}")
}

/// A mail that could not be sent.
struct Failed {
    /// What was to be told then.
    pending: Vec<String>,
    /// When to try again; `None` where that is of no use, until there is more to tell or the server is started again.
    again: Option<Instant>,
    line: String,
}

/// Sends what is to be told, and waits for more.
pub(super) async fn forever(state: &'static State) {
    if !state.mails.is_on {
        return pending().await;
    }
    let mut failed = None::<Failed>;
    loop {
        let pending = state.mails.pending().await;
        let is_due = failed.as_ref().is_none_or(|failed| {
            failed.pending != pending || failed.again.is_some_and(|again| again <= Instant::now())
        });
        if is_due {
            failed = match send_all(state).await {
                Ok(()) => None,
                Err(error) => Some(note_failure(state, &error, pending, failed)),
            };
        }
        let again = failed.as_ref().and_then(|failed| failed.again);
        let pause = again.map(|again| again.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = state.mails.wake.notified() => {}
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

/// Logs why a mail could not be sent, unless that was so before.
fn note_failure(
    state: &State,
    error: &Error,
    pending: Vec<String>,
    before: Option<Failed>,
) -> Failed {
    let line = state.mask.apply(&notify::line(error)).into_owned();
    if before.is_none_or(|before| before.line != line) {
        match error.is_transient() {
            true => warn!("cannot send the mail, will retry: {line}"),
            false => error!("cannot send the mail: {line}"),
        }
    }
    let again = error.is_transient().then(|| Instant::now() + PAUSE);
    Failed {
        pending,
        again,
        line,
    }
}

async fn send_all(state: &'static State) -> Result<()> {
    let held_back = state.mails.held_back.load_full();
    if let Some(failure) = held_back {
        send(state, Event::HeldBack(Failure::clone(&failure))).await?;
        state.mails.held_back.store(None);
    }
    send_withdrawals(state).await?;
    super::advisory_mails::send(state).await
}

/// Sends a mail.
pub(super) async fn send(state: &'static State, event: Event) -> Result<()> {
    notify::of_server(&state.config, event, state.handle.now()).await
}

/// Mails which versions upstream took back that were fetched here.
async fn send_withdrawals(state: &'static State) -> Result<()> {
    let view = state.view().ok();
    let view = view.as_ref().and_then(|view| view.as_ref().cloned());
    let Some(view) = view else {
        return Ok(());
    };
    let withdrawals = state.mails.withdrawals.lock().await;
    let keys = withdrawals.memory.pending();
    let pending = keys.iter().filter_map(|key| withdrawals.all.get(key));
    let pending: Vec<_> = pending.cloned().collect();
    drop(withdrawals);
    if pending.is_empty() {
        return Ok(());
    }
    let mut told = Vec::new();
    for withdrawal in &pending {
        told.extend(about(state, withdrawal, &view.snapshot).await);
    }
    if !told.is_empty() {
        send(state, Event::Withdrawn(told)).await?;
    }
    let keys: Vec<_> = pending.iter().map(key).collect();
    let mut withdrawals = state.mails.withdrawals.lock().await;
    withdrawals.memory.told(&keys, None);
    Ok(())
}

/// Returns what is to be mailed of a version that upstream took back; `None` if nobody fetched it here.
async fn about(
    state: &'static State,
    withdrawal: &Withdrawal,
    index: &Snapshot,
) -> Option<Withdrawn> {
    let Withdrawal {
        at, name, version, ..
    } = withdrawal;
    let file = CrateFile {
        name: name.clone(),
        version: version.clone(),
        checksum: withdrawal.checksum,
    };
    let fetched = fetched(state, &file).await;
    let is_told = match &fetched {
        Some(fetched) => !fetched.is_empty(),
        None => state.crate_files.is_here_or_aside(&file).await,
    };
    if !is_told {
        return None;
    }
    let content = index.file(&name.index_path()).ok().flatten();
    let content = content.and_then(|blob| index.content(blob).ok());
    let listed = entry::find(&content.unwrap_or_default(), version.as_str());
    Some(Withdrawn {
        name: name.to_string(),
        version: version.to_string(),
        at: at.as_second(),
        // Requests may still see the index before.
        is_replaced: listed.is_some_and(|listed| listed.checksum != withdrawal.checksum),
        fetched,
    })
}

/// Returns when these bytes were fetched, and by whom, the first time first; `None` where that is not recorded, or cannot be read.
async fn fetched(state: &'static State, file: &CrateFile) -> Option<Vec<(i64, String)>> {
    if !state.auditor.is_on() {
        return None;
    }
    let spec = CrateSpec {
        name: file.name.clone(),
        version: Some(file.version.clone()),
    };
    let fetches = audit::fetched(state, spec).await;
    let fetches = fetches.inspect_err(|error| warn!("the audit cannot be read: {}", error.chain()));
    let fetches = fetches.ok()?;
    let checksum = file.checksum.to_string();
    let of_file = fetches.iter().filter(|fetch| fetch.checksum == checksum);
    let mut fetched: Vec<_> = of_file
        .map(|fetch| (fetch.first.as_second(), fetch.who()))
        .collect();
    fetched.sort();
    Some(fetched)
}
