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
use tracing::{error, info, warn};

use super::state::State;
use super::view::View;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::index::CrateFile;
use crate::policy::{ByCommand, CommandRule, Policy, Seen, Withdrawal};
use crate::server::cargo_config::replace;
use crate::server::command_rules::Said;
use crate::server::decisions::Decisions;
use crate::server::index_copy::Snapshot;
use crate::server::index_history::{self, Point};
use crate::server::policy::RuleRow;
use crate::server::rule_dates::RuleDates;
use crate::server::sightings::{self, News};
use crate::shown::one_line;

/// How many rules of commands a server that starts tells of, one by one.
const MOST_TOLD: usize = 20;
/// The file in `serve.data_dir` that names the commit up to which what was new is written down.
const COMPARED: &str = "policy-compared";
/// The file in `serve.data_dir` that a command leaves which has made a rule: a server then reads them at once.
pub(crate) const COMMANDED: &str = "policy-commanded";
/// How long the store may take for each of both.
const LONGEST: Duration = Duration::from_secs(20);
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
}

impl Unrecorded {
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
    if let Some(advisories) = state.advisories.load_full() {
        advisories.begun().await;
    }
    let now = state.handle.timestamp();
    // Before the rules are read: one that is made meanwhile is read with the next look.
    let commanded = commanded(&state.config.serve.data_dir);
    let news = news(state, &policy, before, index, now).await;
    let (earlier, news) = news.unwrap_or_else(|error| {
        // The copy that was shown before may be damaged, and this one its replacement.
        let error = error.chain();
        warn!(
            "what is new in the index cannot be found; what it does not date counts as old: {error}"
        );
        (None, News::default())
    });
    let (mut index, mut held) = (Arc::clone(index), None);
    let news = match &earlier {
        Some(earlier) if !news.withdrawn.is_empty() => {
            let trusted = trusted(state, earlier, &index, news).await;
            trusted.unwrap_or_else(|why| {
                held = Some(why);
                index = Arc::clone(earlier);
                News::default()
            })
        }
        _ => news,
    };
    let withdrawn = news.withdrawn.iter();
    let withdrawn = withdrawn
        .map(|vanished| vanished.withdrawal.clone())
        .collect();
    let (known, failure) = known(state, &policy, before, news, index.commit(), now).await;
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
    let mut known = known?;
    if let Some(advisories) = state.advisories.load_full() {
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
    // By the time as well: a release may end without a word. Of a process that was killed nothing is known.
    let later = decisions.policy().released(now);
    let later: Vec<_> = later.map(|released| released.file.clone()).collect();
    let mut last = state.unrecorded.released.lock().await;
    let earlier = std::mem::replace(&mut *last, later.clone());
    drop(last);
    let without = |all: &[CrateFile], others: &[CrateFile]| -> Vec<_> {
        let all = all.iter().filter(|file| !others.contains(file));
        all.cloned().collect()
    };
    Some(Decided {
        withdrawn,
        released: without(&later, &earlier),
        refused_again: without(&earlier, &later),
        decisions,
        index,
    })
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

/// Keeps what was withdrawn only if both commits are of one history.
///
/// # Errors
/// If that cannot be found out now, or it is too much: then the earlier one is to be served.
async fn trusted(
    state: &State,
    earlier: &Snapshot,
    index: &Snapshot,
    mut news: News,
) -> Result<News> {
    let number = news.withdrawn.len();
    let (old, new) = (earlier.commit().short(), index.commit().short());
    match is_one_history(state, earlier, index).await {
        Ok(false) => {
            warn!(
                "{} are gone from the index or have another checksum; since {new} does not come after {old} in one history, they \
                 do not count as withdrawn",
                counted(number, "version")
            );
            news.withdrawn.clear();
            Ok(news)
        }
        Ok(true) if number > MOST_WITHDRAWN => {
            let text = format!(
                "{number} versions vanished between {old} and {new}, or have another checksum, more than {MOST_WITHDRAWN}: the index of \
                 {old} is served as before"
            );
            Err(Error::new(Kind::Guard, text).advise(
                "Check upstream. If it is intended, set policy.withdrawn: serve, and send SIGHUP or start the server; then set it back.",
            ))
        }
        Ok(true) => Ok(news),
        Err(error) => {
            let text = format!(
                "cannot determine whether {new} descends from {old} in the history of the index, and serve that of {old}; will retry"
            );
            Err(Error::new(error.kind(), text).because(error))
        }
    }
}

/// Says whether a commit of the index comes after an earlier one.
async fn is_one_history(state: &State, earlier: &Snapshot, index: &Snapshot) -> Result<bool> {
    let before = Point {
        commit: earlier.commit(),
        tree: earlier.tree(),
    };
    let mut last = state.unrecorded.last_way.lock().await;
    if let Some((from, to, leads)) = *last
        && (from, to) == (before, index.commit())
    {
        return Ok(leads);
    }
    let remote = state.config.index_remote()?;
    let asking = index_history::leads(&remote, &state.config.index.branch, before, index.commit());
    let limit = state.config.network.timeout;
    let leads = timeout(limit, asking).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        let text = format!("{remote} did not answer within {limit} (network.timeout)");
        Err(Error::new(Kind::Network, text))
    })?;
    *last = Some((before, index.commit(), leads));
    Ok(leads)
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

/// Finds what is new since the commit that was looked at last, also by a process that was killed since; returns that one, too.
async fn news(
    state: &'static State,
    policy: &Arc<Policy>,
    before: &Option<Arc<View>>,
    index: &Arc<Snapshot>,
    now: Timestamp,
) -> Result<(Option<Arc<Snapshot>>, News)> {
    if !policy.remembers() {
        return Ok((None, News::default()));
    }
    let (policy, before, index) = (Arc::clone(policy), before.clone(), Arc::clone(index));
    blocking(move || {
        let policy = &*policy;
        if let Some(view) = before {
            let earlier = Arc::clone(&view.snapshot);
            let news = sightings::compare(policy, &earlier, &index, now)?;
            return Ok((Some(earlier), news));
        }
        let compared = read_compared(&compared_in(state));
        let compared = compared.filter(|commit| *commit != index.commit());
        // Without that commit, or without all of it, all that is there counts as old.
        let Some(commit) = compared else {
            return Ok((None, News::default()));
        };
        let Some(compared) = state.copy.at(commit) else {
            warn!(
                "the copy of the index does not reach back to {}, which was looked at last: what came since counts as old where its \
                 line has no date, yanks since then show at once, and what vanished since does not count as withdrawn",
                commit.short()
            );
            return Ok((None, News::default()));
        };
        let news = sightings::compare(policy, &compared, &index, now).unwrap_or_default();
        Ok((Some(compared), news))
    })
    .await
}

/// What the store says.
struct Known {
    /// The policy, with the rules that commands made.
    policy: Arc<Policy>,
    /// Whether those could be read now.
    has_rules: bool,
    seen: Seen,
}

/// Writes down what is new, and returns all that was seen and which rules commands made, by other servers of the store as well.
async fn known(
    state: &State,
    policy: &Arc<Policy>,
    before: &Option<Arc<View>>,
    news: News,
    commit: ObjectId,
    now: Timestamp,
) -> (Option<Known>, Option<String>) {
    let store = state.crate_files.inventory().store();
    let mut said = state.unrecorded.said.lock().await;
    let mut read = said.clone().unwrap_or_default();
    let rules = in_time(read.read(store)).await.map(drop);
    let has_rules = rules.is_ok();
    if has_rules {
        *said = Some(read);
    }
    let (seen, failure) = seen(state, policy, before, news, commit, now).await;
    let mut dates = state.unrecorded.rule_dates.lock().await;
    let dated = in_time(dates.note(store, policy, now)).await;
    let failure = rules.err().or(failure).or(dated.err());
    let since = dates.of(policy);
    // What was never read is not known: a version may be refused by it.
    let rules = said.as_ref().map(Said::rules);
    let known = rules.zip(seen).map(|(rules, seen)| Known {
        policy: with_rules(state, policy, before, rules, since),
        has_rules,
        seen,
    });
    (known, failure.map(|error| unusable(state, error)))
}

/// Adds the rules that commands made, and when those of the configuration refused first; returns the policy that was applied last
/// where nothing changed.
fn with_rules(
    state: &State,
    policy: &Arc<Policy>,
    before: &Option<Arc<View>>,
    rules: ByCommand,
    since: Vec<Option<Timestamp>>,
) -> Arc<Policy> {
    let applied = state.unrecorded.applied.load();
    let is_same = applied
        .as_ref()
        .is_some_and(|applied| Arc::ptr_eq(&applied.0, policy));
    let decisions = before.as_ref().and_then(|view| view.decisions.as_ref());
    let last = decisions.map(|decisions| decisions.policy());
    let known = last.map(|last| &**last.by_command());
    if known != Some(&rules) {
        tell_changes(known, &rules);
    }
    match last {
        Some(last) if is_same && known == Some(&rules) && last.denied_since() == since => {
            Arc::clone(last)
        }
        _ => {
            let policy = policy.with_commands(Arc::new(rules));
            Arc::new(policy.denying_since(since))
        }
    }
}

/// Logs which rules commands made and removed; at the start all of them, unless they are many.
fn tell_changes(known: Option<&ByCommand>, rules: &ByCommand) {
    let (nothing, is_start) = (ByCommand::default(), known.is_none());
    let known = known.unwrap_or(&nothing);
    let number = rules.rules().count();
    if is_start && number > MOST_TOLD {
        info!("policy: {} were made by command", counted(number, "rule"));
        return;
    }
    let is_in = |said: &CommandRule, rules: &ByCommand| rules.find(&said.rule.crates) == Some(said);
    for said in rules.rules().filter(|said| !is_in(said, known)) {
        info!("policy {}", one_line(&RuleRow::of(said).to_string()));
    }
    let is_gone = |said: &&CommandRule| rules.find(&said.rule.crates).is_none();
    for said in known.rules().filter(is_gone) {
        info!(
            "policy reset: no longer {}",
            one_line(&RuleRow::of(said).to_string())
        );
    }
}

/// Writes down what is new, and returns all that was seen; and why store could not be used, if it could not.
async fn seen(
    state: &State,
    policy: &Policy,
    before: &Option<Arc<View>>,
    news: News,
    commit: ObjectId,
    now: Timestamp,
) -> (Option<Seen>, Option<io::Error>) {
    let path = compared_in(state);
    if !policy.remembers() {
        // So a start with `policy.withdrawn: serve` accepts what the guard stopped at, whatever else the policy has.
        if read_compared(&path).is_some() {
            write_compared(&path, commit);
        }
        return (Some(Seen::default()), None);
    }
    let store = state.crate_files.inventory().store();
    let mut pending = state.unrecorded.pending.lock().await;
    pending.add(news);
    let recorded = in_time(sightings::record(store, &pending)).await;
    let read = in_time(sightings::read(store, policy, now)).await;
    let begun = match &read {
        Ok(kept) if !kept.has_begun => {
            if read_compared(&path).is_some() {
                warn!(
                    "the store has no state of the policy any more: when lines without a date and yanks were first seen is lost, and \
                     what was on hold by that is not; versions that were withdrawn upstream are served again. Restore {}/state \
                     from a backup.",
                    state.config.store()
                );
            }
            in_time(sightings::begin(store)).await
        }
        _ => Ok(()),
    };
    let is_recorded = recorded.is_ok();
    let new = pending.withdrawn.iter();
    let new: Vec<_> = new.map(|vanished| vanished.withdrawal.clone()).collect();
    let (kept, unread) = match read {
        Ok(kept) => {
            let all = kept.withdrawals.into_iter().chain(new.iter().cloned());
            // Before it counts as compared: what was noticed until a kill is to be told after it.
            state.mails.note_withdrawals(all.collect(), &new).await;
            (Some(kept.seen), None)
        }
        Err(error) => (None, Some(error)),
    };
    let failure = recorded.err().or(unread).or(begun.err());
    let decisions = before.as_ref().and_then(|view| view.decisions.as_ref());
    // Where nothing was decided before, what was seen before is not known: a version may be on hold by it.
    let seen = kept.or_else(|| decisions.map(|decisions| decisions.seen().clone()));
    let Some(mut seen) = seen else {
        return (None, failure);
    };
    for sighting in &pending.seen {
        seen.add(sighting.clone());
    }
    for vanished in &pending.withdrawn {
        seen.add_withdrawal(vanished.withdrawal.clone());
    }
    if is_recorded {
        *pending = News::default();
        write_compared(&path, commit);
    }
    (Some(seen), failure)
}

/// Says why the store cannot be used.
fn unusable(state: &State, error: io::Error) -> String {
    let error = sightings::unusable(&state.config.store(), error);
    let advice = error.advice().unwrap_or_default();
    format!("{}; trying again. {advice}", error.chain())
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

/// Returns the commit of the index up to which a server of this directory has looked for what is new.
pub(crate) fn compared(data_dir: &Path) -> Option<ObjectId> {
    read_compared(&data_dir.join(COMPARED))
}

fn read_compared(path: &Path) -> Option<ObjectId> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn write_compared(path: &Path, commit: ObjectId) {
    if read_compared(path) != Some(commit)
        && let Err(error) = replace(path, &format!("{commit}\n"))
    {
        warn!("cannot write {}: {error}", path.display());
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
