//! `/status`: whether the server is fresh, serves and fills up, and what failed last; the same as JSON at `/api/v1/status`.

use std::time::SystemTime;

use askama::Template;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use jiff::Timestamp;
use serde::Serialize;

use super::frame::{self, Frame};
use super::text::{Moment, clean};
use super::week::Week;
use super::{later, respond};
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::server::history::{Recent, Sample};
use crate::server::serve::history;
use crate::server::serve::policy::Numbers;
use crate::server::serve::state::State;

/// How many seconds an hour has.
const HOUR: i64 = 3_600;

/// What the server knows of itself.
#[derive(Serialize)]
struct Status {
    version: &'static str,
    /// Since when requests and crate files are counted.
    started: Option<Timestamp>,
    index: IndexStatus,
    requests: Requests,
    crate_files: CrateFiles,
    store: Store,
    catalog: Catalog,
    /// How many versions are on hold and denied; `null` without a policy.
    policy: Option<Numbers>,
    /// Of the advisories; not there where none are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    advisories: Option<AdvisoryStatus>,
    /// Of the database dump; `null` where none is imported by the clock.
    import: Option<ImportStatus>,
    history: HistoryJson,
}

/// The last week.
#[derive(Serialize)]
struct HistoryJson {
    /// By the hour, the oldest first.
    hours: Vec<Hour>,
    /// What failed and what was synced, the newest first.
    events: Vec<EventJson>,
    /// The crates whose files were asked for most.
    most_fetched: Vec<FetchedJson>,
}

#[derive(Serialize)]
struct Hour {
    begins: Option<Timestamp>,
    answered: u64,
    refused: u64,
    failed: u64,
    sent_bytes: u64,
    hits: u64,
    misses: u64,
    fetched_bytes: u64,
    /// The longest time since the index was compared with its repository.
    behind_seconds: Option<u64>,
    store_bytes: Option<u64>,
}

#[derive(Serialize)]
struct EventJson {
    at: Option<Timestamp>,
    kind: String,
    failed: bool,
    text: String,
}

#[derive(Serialize)]
struct FetchedJson {
    name: String,
    requests: u64,
}

#[derive(Serialize)]
struct IndexStatus {
    commit: Option<String>,
    committed: Option<Timestamp>,
    /// When it was last compared with its repository.
    refreshed: Option<Timestamp>,
    is_stale: bool,
    /// Why an index before the newest one is served, if one is.
    held_back: Option<String>,
    refresh_failures: u64,
    last_error: Option<String>,
}

/// Responses by the class of their status.
#[derive(Serialize)]
struct Requests {
    answered: u64,
    redirected: u64,
    refused: u64,
    failed: u64,
    sent_bytes: u64,
}

#[derive(Serialize)]
struct CrateFiles {
    hits: u64,
    misses: u64,
    fetched_bytes: u64,
    upstream_errors: u64,
    checksum_failures: u64,
    damaged: u64,
    write_failures: u64,
    evicted: u64,
}

/// What is stored; nothing is counted of a bucket.
#[derive(Serialize)]
struct Store {
    files: Option<u64>,
    bytes: Option<u64>,
    limit: Option<u64>,
}

/// The advisories.
#[derive(Serialize)]
struct AdvisoryStatus {
    commit: Option<String>,
    /// How many there are about crates.
    number: usize,
    unreadable_files: usize,
    /// When they were last compared with their repository.
    refreshed: Option<Timestamp>,
    refresh_failures: u64,
    last_error: Option<String>,
}

/// The imports of the database dump by the clock.
#[derive(Serialize)]
struct ImportStatus {
    source: String,
    /// When it was last imported, or found unchanged.
    imported: Option<Timestamp>,
    failures: u64,
    last_error: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Catalog {
    Off,
    Filling { read: usize, of: usize },
    Waiting,
    Ready { crates: usize },
}

#[derive(Template)]
#[template(path = "server/serve/pages/status.html")]
struct StatusPage {
    frame: Frame,
    headline: &'static str,
    class: &'static str,
    advice: Option<&'static str>,
    is_open: bool,
    started: Option<Moment>,
    committed: Option<Moment>,
    refreshed: Option<Moment>,
    imported: Option<Moment>,
    /// When the advisories were compared with their repository.
    advised: Option<Moment>,
    week: Option<Week>,
    status: Status,
}

/// Shows the page.
pub(in crate::server::serve) fn show(
    state: &'static State,
    request: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    let headers = request.headers;
    later(async move {
        let recent = history::recent(state).await;
        let status = Status::read(state, &recent).await;
        let (headline, class, advice) = status.headline(state.view().is_ok());
        let now = Timestamp::now().as_second();
        let page = StatusPage {
            frame: Frame::new(state, "Status"),
            headline,
            class,
            advice,
            is_open: state.tokens.is_mirror_open(),
            week: Week::of(&recent, now, state.config.serve.max_size),
            started: status.started.map(Moment::of),
            committed: status.index.committed.map(Moment::of),
            refreshed: status.index.refreshed.map(Moment::of),
            imported: status
                .import
                .as_ref()
                .and_then(|import| import.imported)
                .map(Moment::of),
            advised: status
                .advisories
                .as_ref()
                .and_then(|advisories| advisories.refreshed)
                .map(Moment::of),
            status,
        };
        respond(state, headers, StatusCode::OK, move || page).await
    })
}

/// `GET /api/v1/status`.
pub(in crate::server::serve) fn json(
    state: &'static State,
    _: Authorized<'_>,
) -> Result<Reply, ErrorResponse> {
    Ok(Reply::later(async move {
        let recent = history::recent(state).await;
        let status = Status::read(state, &recent).await;
        let uncached = [(CACHE_CONTROL, "no-store")];
        Reply::now((uncached, Json(status))).wait().await
    }))
}

impl Status {
    async fn read(state: &'static State, recent: &Recent) -> Self {
        let totals = state.crate_files.inventory().totals().await;
        let numbers = state.crate_files.numbers();
        let of_class = |class| state.traffic.responses(class);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started: timestamp(state.started),
            index: IndexStatus::read(state),
            requests: Requests {
                answered: of_class(2),
                redirected: of_class(3),
                refused: of_class(4),
                failed: of_class(5),
                sent_bytes: state.traffic.bytes(),
            },
            crate_files: CrateFiles {
                hits: numbers.hits,
                misses: numbers.misses,
                fetched_bytes: numbers.fetched_bytes,
                upstream_errors: numbers.upstream_errors,
                checksum_failures: numbers.checksum_failures,
                damaged: numbers.damaged,
                write_failures: numbers.write_failures,
                evicted: numbers.evicted,
            },
            store: Store {
                files: totals.map(|(files, _)| files),
                bytes: totals.map(|(_, bytes)| bytes),
                limit: state.config.serve.max_size,
            },
            catalog: Catalog::read(state),
            policy: Numbers::of(state),
            advisories: AdvisoryStatus::read(state),
            import: ImportStatus::read(state),
            history: HistoryJson::of(recent),
        }
    }

    /// Says in a few words how the server is, and what to do where that is not well.
    fn headline(&self, is_served: bool) -> (&'static str, &'static str, Option<&'static str>) {
        let index = &self.index;
        match () {
            () if !is_served => (
                "There is no index to serve yet",
                "bad",
                Some(
                    "The first fetch takes a few minutes. If it failed, the error below says why; the server tries again by itself.",
                ),
            ),
            () if index.is_stale => (
                "The index is stale",
                "bad",
                Some(
                    "cargo still gets what was fetched last. Mend what the error below names; the server tries again by itself.",
                ),
            ),
            () if index.last_error.is_some() => (
                "The last refresh failed",
                "warn",
                Some(
                    "The server tries again by itself. If it goes on, mend what the error below names.",
                ),
            ),
            () if index.held_back.is_some() => (
                "Serving an index before the newest one",
                "warn",
                Some(
                    "The policy does not accept the newest one. The reason, and what to do, are below.",
                ),
            ),
            () => ("Serving, and up to date", "good", None),
        }
    }

    /// Returns how many of a hundred requests for crate files were hits.
    fn hit_rate(&self) -> Option<u64> {
        let files = &self.crate_files;
        let all = files.hits + files.misses;
        (all > 0).then(|| files.hits * 100 / all)
    }

    /// Returns how many hundredths of its limit the store takes.
    fn fill(&self) -> Option<u64> {
        let (bytes, limit) = self.store.bytes.zip(self.store.limit)?;
        let hundredths = bytes.saturating_mul(100).checked_div(limit)?;
        Some(hundredths.min(100))
    }

    /// Returns what went wrong with crate files, as far as it did.
    fn faults(&self) -> Vec<(&'static str, u64)> {
        let files = &self.crate_files;
        let all = [
            ("Fetches that upstream failed", files.upstream_errors),
            (
                "Files whose checksum was wrong, and that were refused",
                files.checksum_failures,
            ),
            ("Stored files found damaged, and removed", files.damaged),
            (
                "Files served that could not be stored",
                files.write_failures,
            ),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

impl HistoryJson {
    fn of(recent: &Recent) -> Self {
        let hours = recent
            .samples
            .chunk_by(|one, other| one.at / HOUR == other.at / HOUR);
        let events = recent.events.iter().map(|event| EventJson {
            at: Timestamp::from_second(event.at).ok(),
            kind: event.kind.clone(),
            failed: event.is_failure,
            text: clean(&event.text),
        });
        let fetched = recent.fetched.iter().map(|(name, requests)| FetchedJson {
            name: name.clone(),
            requests: *requests,
        });
        Self {
            hours: hours.filter_map(Hour::of).collect(),
            events: events.collect(),
            most_fetched: fetched.collect(),
        }
    }
}

impl Hour {
    /// Adds up the samples of an hour; there is one at least.
    fn of(samples: &[Sample]) -> Option<Self> {
        let (first, last) = (samples.first()?, samples.last()?);
        let sum = |count: fn(&Sample) -> u64| samples.iter().map(count).sum();
        Some(Self {
            begins: Timestamp::from_second(first.at - first.at % HOUR).ok(),
            answered: sum(|sample| sample.answered),
            refused: sum(|sample| sample.refused),
            failed: sum(|sample| sample.failed),
            sent_bytes: sum(|sample| sample.sent_bytes),
            hits: sum(|sample| sample.hits),
            misses: sum(|sample| sample.misses),
            fetched_bytes: sum(|sample| sample.fetched_bytes),
            behind_seconds: samples.iter().filter_map(|sample| sample.behind).max(),
            store_bytes: last.store_bytes,
        })
    }
}

impl IndexStatus {
    fn read(state: &State) -> Self {
        let refreshes = state.refreshes.so_far();
        let view = state.view().ok();
        let snapshot = view
            .as_ref()
            .and_then(|view| Some(&view.as_ref()?.snapshot));
        let age = frame::age(state);
        Self {
            commit: snapshot.map(|snapshot| snapshot.commit().to_string()),
            committed: snapshot
                .and_then(|snapshot| Timestamp::from_second(snapshot.seconds()).ok()),
            refreshed: refreshes.last_success.and_then(|(_, at)| timestamp(at)),
            is_stale: age.is_none_or(|age| age > state.config.serve.stale_after),
            held_back: state.unrecorded.holds().as_deref().map(|why| clean(why)),
            refresh_failures: refreshes.failures,
            last_error: refreshes.last_error.as_deref().map(clean),
        }
    }

    /// Returns the beginning of the commit's id.
    fn short(&self) -> &str {
        let commit = self.commit.as_deref().unwrap_or_default();
        commit.get(..10).unwrap_or(commit)
    }
}

impl AdvisoryStatus {
    fn read(state: &State) -> Option<Self> {
        let advisories = state.advisories.load_full()?;
        let (read, rounds) = (advisories.read(), advisories.rounds.so_far());
        let read = read.as_ref();
        Some(Self {
            commit: read.map(|read| read.commit.to_string()),
            number: read.map_or(0, |read| read.advisories.all().count()),
            unreadable_files: read.map_or(0, |read| read.unreadable.len()),
            refreshed: rounds.last_success.and_then(|(_, at)| timestamp(at)),
            refresh_failures: rounds.failures,
            last_error: rounds.last_error.as_deref().map(clean),
        })
    }
}

impl ImportStatus {
    fn read(state: &State) -> Option<Self> {
        state.catalog.as_ref()?;
        let source = state.config.catalog.import.as_ref()?;
        let imports = state.imports.so_far();
        Some(Self {
            source: state.mask.apply(&source.to_string()).into_owned(),
            imported: imports.last_success.and_then(|(_, at)| timestamp(at)),
            failures: imports.failures,
            last_error: imports.last_error.as_deref().map(clean),
        })
    }
}

impl Catalog {
    fn read(state: &State) -> Self {
        let Some(catalog) = &state.catalog else {
            return Self::Off;
        };
        match catalog.filling() {
            Some((read, of)) => Self::Filling { read, of },
            None if catalog.is_empty() => Self::Waiting,
            None => Self::Ready {
                crates: catalog.len(),
            },
        }
    }
}

fn timestamp(at: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(at).ok()
}
