//! Makes changes: those that wait go together in one push, each with a commit of its own, and each is answered for itself.
//!
//! ```text
//! changes ──▶ queue ──▶ a chain of commits on the tip ──▶ push ──▶ answers
//!                            ▲                              │ another push came first
//!                            └── the new tip ◀──────────────┘
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::change::{Applied, Change, Names, name_in};
use super::draft::{Draft, Read};
use super::index::{PrivateIndex, Pushed};
use super::refusal::{Failure, Refusal};
use super::signature::{Signature, author};
use super::turns::Turns;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::index::config_json::CONFIG_JSON;
use crate::index::folded;
use crate::server::index_copy::Snapshot;

/// The most changes of one push.
const TOGETHER: usize = 64;
/// How many may wait; whoever comes after that waits for a place.
const WAITING: usize = 256;
/// How long a change is tried again: cargo waits 30 seconds for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The first pause after a failure that may pass, and the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A change, and who waits for what becomes of it.
struct Job {
    change: Change,
    answer: oneshot::Sender<Result<Applied, Refusal>>,
}

/// Hands changes to the task that makes them.
#[derive(Clone)]
pub struct Publisher {
    jobs: mpsc::Sender<Job>,
}

impl Publisher {
    /// Starts the task.
    pub fn start(index: Arc<PrivateIndex>, signature: Signature) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING);
        tokio::spawn(work(index, signature, waiting));
        Self { jobs }
    }

    /// Makes a change, and waits until it is in the index and in the server's copy.
    ///
    /// # Errors
    /// Why it was not made, or that it is not known whether it was.
    pub async fn make(&self, change: Change) -> Result<Applied, Refusal> {
        let (answer, answered) = oneshot::channel();
        let gone = || Refusal::unavailable("the server is stopping; try again");
        let sent = self.jobs.send(Job { change, answer }).await;
        sent.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn work(index: Arc<PrivateIndex>, signature: Signature, mut waiting: mpsc::Receiver<Job>) {
    let mut jobs = Vec::new();
    let mut turns = Turns::default();
    while waiting.recv_many(&mut jobs, TOGETHER).await > 0 {
        turns.wait(&index).await;
        // Whoever comes until the host is ready goes along.
        index.until_open().await;
        while jobs.len() < TOGETHER
            && let Ok(job) = waiting.try_recv()
        {
            jobs.push(job);
        }
        let (changes, answers): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.change, job.answer)).unzip();
        let ends = make_all(&index, &signature, changes.into(), &mut turns).await;
        if ends.len() > 1 || !waiting.is_empty() {
            // Others come, or came meanwhile: they go next.
            index.open_ahead();
        }
        for (answer, end) in answers.into_iter().zip(ends) {
            // Who left does not hear of it.
            let _ = answer.send(end);
        }
    }
}

/// Makes changes by one push after the other, until none is left to make; returns what became of each.
pub async fn make_all(
    index: &Arc<PrivateIndex>,
    signature: &Signature,
    changes: Arc<[Change]>,
    turns: &mut Turns,
) -> Vec<Result<Applied, Refusal>> {
    let began = Instant::now();
    let mut pause = PAUSE;
    // Whether an earlier push of these may have been applied although it seemed to fail.
    let mut is_open = false;
    loop {
        let error = match attempt(index, signature, &changes, is_open, turns).await {
            Attempt::Pushed(ends) => return ends,
            // Another server may have made what is missing, or taken what is there.
            Attempt::NothingToPush(ends) if index.seen() >= Some(began) => return ends,
            Attempt::NothingToPush(_) => match index.refresh().await {
                Ok(()) => continue,
                Err(error) => Some(error),
            },
            Attempt::Lost => {
                turns.note_other();
                None
            }
            Attempt::Failed { error, may_be_done } => {
                is_open |= may_be_done;
                if !error.is_transient() {
                    return all_refused(&changes, &refusal_of(&error, is_open));
                }
                debug!(
                    "a push to the private index is tried again: {}",
                    error.chain()
                );
                Some(error)
            }
        };
        if began.elapsed() > PATIENCE {
            let refusal = match error {
                Some(error) => refusal_of(&error, is_open),
                None => Refusal::unavailable(
                    "other pushes to the private index came first again and again; try again",
                ),
            };
            return all_refused(&changes, &refusal);
        }
        match &error {
            // At once: whoever came first waits for this one now. While the new tip is fetched, the next push is opened.
            None => index.open_ahead(),
            Some(_) => {
                sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        if let Err(error) = look(index, error.is_none()).await {
            debug!("the private index cannot be fetched: {}", error.chain());
            if !error.is_transient() {
                return all_refused(&changes, &refusal_of(&error, is_open));
            }
        }
    }
}

/// Looks where the branch is. After a race that was lost it is known to have moved: what shows that is enough.
async fn look(index: &PrivateIndex, has_moved: bool) -> Result<()> {
    let tip = index.tip();
    if has_moved && index.peek().await.is_ok() && index.tip() != tip {
        return Ok(());
    }
    index.refresh().await
}

/// Says what would become of changes by the index as it was last seen; pushes nothing.
///
/// # Errors
/// If the index was not reached yet, or its copy is damaged.
pub async fn try_all(
    index: &PrivateIndex,
    signature: &Signature,
    changes: Arc<[Change]>,
) -> Result<Vec<Result<Applied, Refusal>>> {
    let (snapshot, signature) = (index.snapshot()?, signature.clone());
    let building = spawn_blocking(move || build(snapshot.as_deref(), &signature, &changes, false));
    Ok(building
        .await
        .unwrap_or_else(|panicked| Err(ended(panicked)))?
        .ends)
}

/// Makes the error of a thread that panicked.
fn ended(panicked: JoinError) -> Error {
    Error::new(Kind::Server, "the task that makes commits ended").because(panicked)
}

/// How an attempt ended.
enum Attempt {
    /// The branch has moved, and this became of the changes.
    Pushed(Vec<Result<Applied, Refusal>>),
    /// All are refused, or change nothing, by the index as it was last seen.
    NothingToPush(Vec<Result<Applied, Refusal>>),
    /// Another push came first.
    Lost,
    /// The push, or what comes before it, failed.
    Failed { error: Error, may_be_done: bool },
}

/// What was made of changes on a tip.
struct Built {
    on: Option<ObjectId>,
    draft: Pushable,
    ends: Vec<Result<Applied, Refusal>>,
}

/// The chain of commits, and its pack.
struct Pushable {
    tip: Option<ObjectId>,
    pack: Option<Bytes>,
}

async fn attempt(
    index: &Arc<PrivateIndex>,
    signature: &Signature,
    changes: &Arc<[Change]>,
    is_open: bool,
    turns: &mut Turns,
) -> Attempt {
    let failed = |error| Attempt::Failed {
        error,
        may_be_done: false,
    };
    let snapshot = match index.snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => return failed(error),
    };
    let (signature, of) = (signature.clone(), Arc::clone(changes));
    let building = spawn_blocking(move || build(snapshot.as_deref(), &signature, &of, is_open));
    let built = building
        .await
        .unwrap_or_else(|panicked| Err(ended(panicked)));
    let Built { on, draft, ends } = match built {
        Ok(built) => built,
        Err(error) => return failed(error),
    };
    let (Some(tip), Some(pack)) = (draft.tip, draft.pack) else {
        return Attempt::NothingToPush(ends);
    };
    let began = Instant::now();
    match index.push(on, tip, pack).await {
        Pushed::Done => {
            turns.note_own(tip, began);
            for applied in ends.iter().flatten() {
                info!(
                    "private index: {}",
                    applied.subject.lines().next_back().unwrap_or_default()
                );
            }
            Attempt::Pushed(ends)
        }
        Pushed::Lost => Attempt::Lost,
        Pushed::Refused(error) => failed(error),
        Pushed::Unknown(error) => Attempt::Failed {
            error,
            may_be_done: true,
        },
    }
}

/// Makes the commits of changes, on a thread that may wait for the disk.
fn build(
    snapshot: Option<&Snapshot>,
    signature: &Signature,
    changes: &[Change],
    is_open: bool,
) -> Result<Built> {
    let read = |id| match snapshot {
        Some(snapshot) => snapshot.content(id),
        None => Err(Error::new(
            Kind::Server,
            "the private index has no commit yet",
        )),
    };
    let read: Read<'_> = &read;
    let tip = snapshot.map(|snapshot| (snapshot.commit(), snapshot.tree(), snapshot.seconds()));
    let mut draft = Draft::on(tip, read);
    let mut names = names_of(snapshot, changes)?;
    let now = Timestamp::now().as_second();
    let mut ends = Vec::with_capacity(changes.len());
    for change in changes {
        let mark = draft.mark();
        let applied = change.apply(&mut draft, &mut names, is_open);
        ends.push(match applied {
            Ok(applied) => {
                // For those who read the repository itself; without it cargo takes it for none.
                if draft.mark() != mark && draft.file(CONFIG_JSON)?.is_none() {
                    draft.write(CONFIG_JSON, signature.config_json.clone())?;
                }
                let author = author(&change.by().name);
                draft.commit(&author, &signature.committer, now, &applied.subject)?;
                Ok(applied)
            }
            Err(Failure::Refused(refusal)) => {
                draft.go_back(mark);
                Err(refusal)
            }
            Err(Failure::Failed(error)) => return Err(error),
        });
    }
    let pack = match draft.is_empty() {
        true => None,
        false => Some(draft.pack()?),
    };
    Ok(Built {
        on: tip.map(|(id, _, _)| id),
        draft: Pushable {
            tip: draft.tip(),
            pack,
        },
        ends,
    })
}

/// Returns the names of the crates that look like one that is new: there must be none.
fn names_of(snapshot: Option<&Snapshot>, changes: &[Change]) -> Result<Names> {
    let Some(snapshot) = snapshot else {
        return Ok(Names::default());
    };
    let mut new = HashSet::new();
    for change in changes {
        if let Change::Publish(publish) = change {
            let name = &publish.checked.name;
            if snapshot.file(&name.index_path())?.is_none() {
                new.insert(folded(name.as_str()));
            }
        }
    }
    if new.is_empty() {
        return Ok(Names::default());
    }
    let mut alike = snapshot.crate_files()?;
    alike.retain(|(name, _)| new.contains(&folded(name.as_str())));
    // As their authors wrote them: the path has each in lower case.
    let names = alike.into_iter().map(|(name, id)| {
        let content = snapshot.content(id)?;
        let called = name_in(&content).map(str::to_owned);
        Ok(called.unwrap_or_else(|| name.to_string()))
    });
    Ok(Names::of(names.collect::<Result<Vec<_>>>()?))
}

fn all_refused(changes: &[Change], refusal: &Refusal) -> Vec<Result<Applied, Refusal>> {
    warn!("the private index was not changed: {refusal}");
    changes.iter().map(|_| Err(refusal.clone())).collect()
}

/// Says why a push failed.
fn refusal_of(error: &Error, is_open: bool) -> Refusal {
    let advice = error.advice().map(|advice| format!(" ({advice})"));
    let advice = advice.unwrap_or_default();
    Refusal::unavailable(match is_open {
        true => format!(
            "it is not known whether the private index was changed: {}; see whether the version is there before you try again",
            error.chain()
        ),
        false => format!(
            "the private index was not changed: {}{advice}",
            error.chain()
        ),
    })
}
