//! Mails that an advisory has appeared about what was fetched here: of what is malicious at once, of all else once a day.
//!
//! Which advisories are known is kept in `serve.data_dir`. Those that are there when that is first written down are no news.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use semver::Version;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::audit;
use super::index::read_copy;
use super::mails;
use super::state::State;
use crate::config::OnAdvisory;
use crate::index::{CrateName, CrateSpec, Published};
use crate::notify::notice::Advised;
use crate::policy::{Advisory, Class, Policy};
use crate::server::advisories::Read;
use crate::server::cargo_config::replace;

/// The file that names the advisories that are known.
const FILE: &str = "advisories-known.json";
/// How often a digest is mailed.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How many ids are kept of advisories that are not there any more.
const MOST: usize = 100_000;

/// What is known of advisories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
struct Known {
    /// Their ids, each with its class: one that turns out to be malicious is news again.
    known: BTreeSet<String>,
    /// Those that the next digest tells.
    pending: BTreeSet<String>,
    /// When a digest was mailed last.
    mailed: Option<Timestamp>,
}

/// What is mailed of advisories.
#[derive(Default)]
pub(super) struct AdvisoryMails {
    known: Option<Known>,
}

impl AdvisoryMails {
    /// Mails what is new, where mails are configured, and a digest if it is due.
    pub(super) async fn tell(&mut self, state: &'static State, read: &Read) {
        let Some(policy) = state.policy.load_full() else {
            return;
        };
        if state.config.mail.route().is_none() {
            return;
        }
        let now = state.handle.timestamp();
        let all = read.advisories.all();
        let all: BTreeMap<_, _> = all.map(|advisory| (key(advisory), advisory)).collect();
        let before = self.known.take().or_else(|| stored(state));
        let mut known = before.clone().unwrap_or_else(|| Known {
            known: all.keys().cloned().collect(),
            ..Known::default()
        });
        let mut at_once = Vec::new();
        let news = all.iter().filter(|(key, _)| !known.known.contains(*key));
        let news = news.filter(|(_, advisory)| counts(&policy, advisory, now));
        let news: Vec<_> = news.collect();
        for (key, advisory) in news {
            match advisory.class {
                Class::Malicious => at_once.extend(about(state, advisory).await),
                Class::Vulnerable | Class::Informational => {
                    known.pending.insert(key.clone());
                }
            }
        }
        mails::advised(state, at_once);
        known.known.extend(all.keys().cloned());
        if known.known.len() > MOST {
            known.known = all.keys().cloned().collect();
        }
        let is_due = known.mailed.is_none_or(|at| now.duration_since(at) >= DAY);
        if is_due && !known.pending.is_empty() {
            let mut digest = Vec::new();
            for key in std::mem::take(&mut known.pending) {
                if let Some(advisory) = all.get(&key)
                    && counts(&policy, advisory, now)
                {
                    digest.extend(about(state, advisory).await);
                }
            }
            if !digest.is_empty() {
                known.mailed = Some(now);
            }
            mails::advised(state, digest);
        }
        // Last: who is killed before mails again, rather than not at all.
        if before.as_ref() != Some(&known) {
            store(state, &known);
        }
        self.known = Some(known);
    }
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

fn path(state: &State) -> PathBuf {
    state.config.serve.data_dir.join(FILE)
}

fn stored(state: &State) -> Option<Known> {
    let text = std::fs::read_to_string(path(state)).ok()?;
    serde_json::from_str(&text).ok()
}

fn store(state: &State, known: &Known) {
    let path = path(state);
    let text = serde_json::to_string(known).unwrap_or_default();
    if let Err(error) = replace(&path, &format!("{text}\n")) {
        warn!("cannot write {}: {error}", path.display());
    }
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
