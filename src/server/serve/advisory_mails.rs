//! Mails that an advisory has appeared about what was fetched here: of what is malicious at once, of all else once a day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use semver::Version;
use tracing::warn;

use super::audit;
use super::index::read_copy;
use super::mails;
use super::state::State;
use crate::config::OnAdvisory;
use crate::error::Result;
use crate::index::{CrateName, CrateSpec, Published};
use crate::notify::notice::{Advised, Event};
use crate::policy::{Advisory, Class, Policy};
use crate::server::advisories::Read;

/// How often a digest is mailed.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Notes which advisories there are: of what is new, those that count are to be told.
pub(super) async fn note(state: &'static State, read: &Read) {
    let Some(policy) = state.policy.load_full().filter(|_| state.mails.is_on()) else {
        return;
    };
    let now = state.handle.timestamp();
    let all = by_key(read);
    let keys = all.keys().cloned().collect();
    let is_told = |key: &str| {
        let advisory = all.get(key);
        advisory.is_some_and(|advisory| counts(&policy, advisory, now))
    };
    let mut memory = state.mails.advisories.lock().await;
    memory.note(&keys, &BTreeSet::new(), is_told);
}

/// Mails what is to be told of advisories: what is malicious, and a digest if it is due.
pub(super) async fn send(state: &'static State) -> Result<()> {
    let policy = state.policy.load_full();
    let advisories = state.advisories.load_full();
    let read = advisories.and_then(|advisories| advisories.read());
    let (Some(policy), Some(read)) = (policy, read) else {
        return Ok(());
    };
    let now = state.handle.timestamp();
    let all = by_key(&read);
    let memory = state.mails.advisories.lock().await;
    let (pending, mailed) = (memory.pending(), memory.mailed());
    drop(memory);
    let counting = |key: &String| {
        let advisory = all.get(key).copied();
        advisory.filter(|advisory| counts(&policy, advisory, now))
    };
    let is_grave = |key: &String| counting(key).is_some_and(|it| it.class == Class::Malicious);
    let (at_once, others): (Vec<_>, Vec<_>) = pending.into_iter().partition(is_grave);
    tell(state, &at_once, counting, None).await?;
    match mailed.is_none_or(|at| now.duration_since(at) >= DAY) {
        true => tell(state, &others, counting, Some(now)).await,
        false => Ok(()),
    }
}

/// Mails these, as far as they count and are about what was fetched here, and notes that they are told; at this time, where it is a
/// digest.
async fn tell<'a>(
    state: &'static State,
    keys: &[String],
    counting: impl Fn(&String) -> Option<&'a Arc<Advisory>>,
    digest: Option<Timestamp>,
) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut told = Vec::new();
    for advisory in keys.iter().filter_map(counting) {
        told.extend(about(state, advisory).await);
    }
    let digest = digest.filter(|_| !told.is_empty());
    if !told.is_empty() {
        mails::send(state, Event::Advised(told)).await?;
    }
    state.mails.advisories.lock().await.told(keys, digest);
    Ok(())
}

fn by_key(read: &Read) -> BTreeMap<String, &Arc<Advisory>> {
    let all = read.advisories.all();
    all.map(|advisory| (key(advisory), advisory)).collect()
}

fn key(advisory: &Advisory) -> String {
    format!("{} {}", advisory.id, advisory.class.word())
}

fn counts(policy: &Policy, advisory: &Advisory, now: Timestamp) -> bool {
    let standing = policy.standing(advisory, now);
    standing.action != OnAdvisory::Off
        && standing.allowed_by.is_none()
        && !policy.is_own(&advisory.package)
}

/// Returns what is to be mailed of an advisory: the versions that it is about and that were fetched here. `None` if none was.
async fn about(state: &'static State, advisory: &Arc<Advisory>) -> Option<Advised> {
    let name = CrateName::new(&advisory.package).ok()?;
    let is_affected =
        |version: &str| Version::parse(version).is_ok_and(|version| advisory.affects(&version));
    let (mut versions, fetched) = match state.auditor.is_on() {
        true => {
            let spec = CrateSpec {
                name: name.clone(),
                version: None,
            };
            let fetches = audit::fetched(state, spec).await.unwrap_or_else(|error| {
                warn!("the audit cannot be read: {}", error.chain());
                Vec::new()
            });
            let fetches = fetches
                .into_iter()
                .filter(|fetch| is_affected(&fetch.version));
            let fetches: Vec<_> = fetches.collect();
            let versions: BTreeSet<_> = fetches.iter().map(|fetch| fetch.version.clone()).collect();
            let fetched = fetches
                .iter()
                .map(|fetch| (fetch.first.as_second(), fetch.who()));
            let mut fetched: Vec<_> = fetched.collect();
            fetched.sort();
            (versions.into_iter().collect(), Some(fetched))
        }
        false => (stored_versions(state, &name).await, None),
    };
    versions.retain(|version| is_affected(version));
    versions.sort_by_cached_key(|version| Version::parse(version).ok());
    if versions.is_empty() {
        return None;
    }
    let decided = state.decided(name.as_str());
    let what = |version: &str| {
        let decided = decided.as_ref().and_then(|file| file.outcome.of(version));
        let decided = decided.map(|decided| decided.decision.word());
        decided.unwrap_or("served").to_owned()
    };
    Some(Advised {
        id: advisory.id.clone(),
        title: advisory.title.clone(),
        class: advisory.class.word(),
        url: advisory.url.clone(),
        name: name.to_string(),
        versions: versions
            .into_iter()
            .map(|version| (version.clone(), what(&version)))
            .collect(),
        fetched,
    })
}

/// Returns the versions of a crate whose crate files are stored, where it is not recorded who fetched them.
async fn stored_versions(state: &'static State, name: &CrateName) -> Vec<String> {
    let Some(view) = state
        .view()
        .ok()
        .and_then(|view| view.as_ref().map(Arc::clone))
    else {
        return Vec::new();
    };
    let path = name.index_path().to_ascii_lowercase();
    let content = read_copy(state, move || match view.snapshot.file(&path)? {
        Some(id) => view.content(id),
        None => Ok(Vec::new()),
    });
    let content = content.await.unwrap_or_default();
    let lines = content.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(Published::read);
    let listed: Vec<_> = lines
        .filter_map(|line| Version::parse(&line.version).ok())
        .collect();
    let inventory = state.crate_files.inventory();
    let stored = inventory.versions_of(name, &listed).await;
    let listed = listed.iter().map(ToString::to_string);
    listed
        .filter(|version| stored.size(version).is_some())
        .collect()
}
