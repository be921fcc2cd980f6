//! Records who fetched which crate file: counted in memory, written by the housekeeping, told to who may know.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::state::State;
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::http::Peer;
use crate::http::access::Caller;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::http::scopes::Holder;
use crate::index::{Checksum, CrateFile, CrateSpec};
use crate::server::audit::{Audit, Fetch};

/// How many threads have counters of their own, so that they do not wait for each other.
const SHARDS: usize = 16;
/// How many files and callers each of them counts until they are written; the following ones are not recorded.
const MOST: usize = 8_192;

/// How many threads have counters so far.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // In turn: two that share one would wait for each other with each request.
    static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
}

/// Counts who fetches what, where that is recorded.
pub(super) struct Auditor {
    audit: Option<Arc<Audit>>,
    /// How long it is kept.
    keep: Duration,
    shards: [Mutex<Counts>; SHARDS],
    lost: AtomicU64,
}

type Counts = HashMap<Key, Counted>;

// By all of a checksum and an address: with a part of it somebody could make up one that hides another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(Checksum, Who);

impl Hash for Key {
    // In one piece: the derived one hands over six, with the steps of the hash for each.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut bytes = [0; 48];
        bytes[..32].copy_from_slice(self.0.as_bytes());
        let who = match self.1 {
            Who::Token(address) => address as u128,
            Who::Address(IpAddr::V4(address)) => u128::from(address.to_bits()),
            Who::Address(IpAddr::V6(address)) => address.to_bits(),
        };
        bytes[32..].copy_from_slice(&who.to_ne_bytes());
        state.write(&bytes);
    }
}

/// Who fetches. A token counts by its address in memory, which its entry holds on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Token(usize),
    Address(IpAddr),
}

struct Counted {
    file: CrateFile,
    holder: Option<Arc<Holder>>,
    first: SystemTime,
    last: SystemTime,
    count: u64,
}

/// Who asks, as far as it is recorded.
#[derive(Clone)]
pub(super) enum Asker {
    /// The holder of a token.
    Token(Caller),
    /// Whoever has this address.
    Address(IpAddr),
}

impl Auditor {
    /// Opens the record, where one is kept. A server serves without one, too.
    pub(super) async fn open(config: &ServeConfig) -> Self {
        let audit = match config.serve.audit {
            None => None,
            Some(_) => {
                let path = Audit::path_in(&config.serve.data_dir);
                let opened = spawn_blocking(move || Audit::open(&path)).await;
                let opened = opened.map_err(panicked).and_then(|opened| opened);
                let opened = opened.inspect_err(|error| {
                    warn!(
                        "it is not recorded who fetches crate files: {}",
                        error.chain()
                    );
                });
                opened.ok().map(Arc::new)
            }
        };
        Self {
            audit,
            keep: config.serve.audit.unwrap_or_default(),
            shards: Default::default(),
            lost: AtomicU64::new(0),
        }
    }

    /// Says whether anything is recorded.
    pub(super) fn is_on(&self) -> bool {
        self.audit.is_some()
    }

    /// Counts a fetch.
    fn count(&self, file: &CrateFile, asker: Asker, now: SystemTime) {
        let (who, holder) = match asker {
            Asker::Token(Caller(holder)) => (Who::Token(Arc::as_ptr(&holder).addr()), Some(holder)),
            Asker::Address(address) => (Who::Address(address), None),
        };
        let shard = &self.shards[SHARD.with(|shard| *shard)];
        let mut counts = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key(file.checksum, who);
        if let Some(counted) = counts.get_mut(&key) {
            counted.last = now;
            counted.count += 1;
        } else if counts.len() < MOST {
            let counted = Counted {
                file: file.clone(),
                holder,
                first: now,
                last: now,
                count: 1,
            };
            counts.insert(key, counted);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&self) -> Vec<Fetch> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            let counts = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            let at = |time| Timestamp::try_from(time).unwrap_or_default();
            taken.extend(counts.into_iter().map(|(Key(_, who), counted)| Fetch {
                name: counted.file.name.to_string(),
                version: counted.file.version.to_string(),
                checksum: counted.file.checksum.to_string(),
                first: at(counted.first),
                last: at(counted.last),
                count: counted.count,
                is_token: counted.holder.is_some(),
                by: match (counted.holder, who) {
                    (Some(holder), _) => holder.name.to_string(),
                    (None, Who::Address(address)) => address.to_string(),
                    (None, Who::Token(_)) => String::new(),
                },
            }));
        }
        taken
    }
}

/// Returns who asks, where that is recorded.
pub(super) fn asker(
    state: &State,
    caller: Option<Caller>,
    headers: &HeaderMap,
    peer: Peer,
) -> Option<Asker> {
    if !state.auditor.is_on() {
        return None;
    }
    Some(match caller {
        Some(caller) => Asker::Token(caller),
        None => Asker::Address(state.access_log.client(peer, headers)),
    })
}

/// Records that a crate file is sent to somebody.
pub(super) fn sent(state: &State, file: &CrateFile, asker: Option<Asker>) {
    if let Some(asker) = asker {
        state.auditor.count(file, asker, state.handle.now());
    }
}

/// Writes what was counted since the last time.
pub(super) async fn flush(state: &'static State) {
    let Some(audit) = state.auditor.audit.clone() else {
        return;
    };
    let lost = state.auditor.lost.swap(0, Ordering::Relaxed);
    if lost > 0 {
        warn!(
            "{lost} fetches of crate files are not recorded in the audit: too many callers at once"
        );
    }
    let fetches = state.auditor.take();
    let since = before(state.handle.timestamp(), state.auditor.keep);
    let written = spawn_blocking(move || audit.add(&fetches, since)).await;
    if let Err(error) = written.map_err(panicked).and_then(|written| written) {
        warn!("the audit cannot be written: {}", error.chain());
    }
}

/// Returns who fetched a version, as far as that is recorded.
pub(super) async fn fetched(state: &'static State, spec: CrateSpec) -> Result<Vec<Fetch>> {
    let Some(audit) = state.auditor.audit.clone() else {
        return Ok(Vec::new());
    };
    flush(state).await;
    spawn_blocking(move || audit.of(&spec))
        .await
        .map_err(panicked)?
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    now.checked_sub(by).unwrap_or(Timestamp::MIN)
}

fn panicked(error: tokio::task::JoinError) -> Error {
    Error::new(Kind::Server, "the thread of the audit failed").because(error)
}

/// `GET /api/v1/audit/{crate}`, or of one version `/api/v1/audit/{crate}@{version}`: who fetched it.
pub(super) fn show(state: &'static State, request: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    let failed = |status, detail: String| ErrorResponse::for_cargo(status, detail);
    if !state.auditor.is_on() {
        let detail = "this server does not record who fetches crate files (serve.audit)";
        return Err(failed(StatusCode::NOT_FOUND, detail.to_owned()));
    }
    let spec = percent_encoding::percent_decode_str(request.wildcard)
        .decode_utf8()
        .ok();
    let spec: Option<CrateSpec> = spec.and_then(|spec| spec.parse().ok());
    let Some(spec) = spec else {
        let detail = "this is no crate, and no version of one, as foo or foo@1.0.0";
        return Err(failed(StatusCode::NOT_FOUND, detail.to_owned()));
    };
    Ok(Reply::later(async move {
        let of = spec.to_string();
        let fetches = fetched(state, spec).await.map_err(|error| {
            warn!("the audit cannot be read: {}", error.chain());
            let detail = "the audit cannot be read; the server's log says why";
            failed(StatusCode::SERVICE_UNAVAILABLE, detail.to_owned())
        })?;
        let told = Json(json!({ "of": of, "fetches": fetches }));
        Reply::now(told).wait().await
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::index::{CrateName, CrateVersion};

    #[test]
    fn the_fetches_of_a_caller_are_counted_together_and_those_of_others_apart() {
        let auditor = Auditor {
            audit: None,
            keep: Duration::ZERO,
            shards: Default::default(),
            lost: AtomicU64::new(0),
        };
        let file = CrateFile {
            name: CrateName::new("foo").unwrap(),
            version: CrateVersion::new("1.0.0").unwrap(),
            checksum: "ab".repeat(32).parse().unwrap(),
        };
        for (second, address) in [
            (1, "10.1.2.3"),
            (2, "10.1.2.4"),
            (3, "10.1.2.3"),
            (4, "10.1.2.3"),
        ] {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            auditor.count(&file, Asker::Address(address.parse().unwrap()), now);
        }
        let taken = auditor.take();
        let mut told: Vec<_> = taken
            .iter()
            .map(|it| {
                (
                    it.by.as_str(),
                    it.count,
                    it.first.as_second(),
                    it.last.as_second(),
                )
            })
            .collect();
        told.sort_unstable();
        assert_eq!(told, [("10.1.2.3", 3, 1, 4), ("10.1.2.4", 1, 2, 2)]);
        assert!(auditor.take().is_empty());
    }
}
