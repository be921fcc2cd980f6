//! What the store says: what was seen of the index, which rules commands made, and since when those of the configuration refuse.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{info, warn};

use super::news::{compared_in, read_compared, write_compared};
use crate::count::counted;
use crate::git::ObjectId;
use crate::policy::{ByCommand, CommandRule, Policy, Seen};
use crate::server::command_rules::Said;
use crate::server::policy::RuleRow;
use crate::server::serve::state::State;
use crate::server::serve::view::View;
use crate::server::sightings::{self, News};
use crate::shown::one_line;

/// How many rules of commands a server that starts tells of, one by one.
const MOST_TOLD: usize = 20;
/// How long the store may take for each of both.
const LONGEST: Duration = Duration::from_secs(20);

/// What the store says.
pub(super) struct Known {
    /// The policy, with the rules that commands made.
    pub(super) policy: Arc<Policy>,
    /// Whether those could be read now.
    pub(super) has_rules: bool,
    pub(super) seen: Seen,
}

/// Writes down what is new, and returns all that was seen and which rules commands made, by other servers of the store as well.
pub(super) async fn known(
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
