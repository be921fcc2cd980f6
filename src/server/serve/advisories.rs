//! The advisories: keeps the copy of their repository fresh, beside the index and as often, and `/api/v1/advisories/CRATE`.
//!
//! Nothing that fails here stops the index: the copy before goes on counting.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use jiff::Timestamp;
use jiff::civil::Date;
use semver::Version;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::advisory_mails;
use super::index::read_copy;
use super::state::{Rounds, State};
use crate::config::OnAdvisory;
use crate::error::{Error, Kind, Result};
use crate::git::RemoteUrl;
use crate::http::error_response::ErrorResponse;
use crate::http::routes::{Authorized, Reply};
use crate::index::{CrateName, Published};
use crate::policy::{Advisories, Advisory, Policy};
use crate::server::advisories::Read;
use crate::server::index_copy::{Content, IndexCopy};

/// How long the first view of the index waits for the first copy of the advisories.
const FIRST: Duration = Duration::from_secs(30);

/// What is said where there are none.
const NONE: &str = "this server reads no advisories";

/// The copy of the advisories, and what was read of it.
pub(super) struct AdvisoryCopy {
    /// Where they come from.
    url: RemoteUrl,
    copy: IndexCopy,
    read: ArcSwapOption<Read>,
    /// How its refreshes went.
    pub(super) rounds: Rounds,
    /// Whether the first one has ended, or the copy was there.
    has_begun: watch::Sender<bool>,
}

impl AdvisoryCopy {
    /// Opens the copy of the repository at this address, if there is one: the copy of the index holds the lock of the folder. What
    /// was read of another one `before` counts until this one is fetched.
    ///
    /// # Errors
    /// `config` if the folder cannot be written.
    pub(super) async fn open(
        data_dir: &Path,
        url: Option<&RemoteUrl>,
        before: Option<Arc<Read>>,
    ) -> Result<Option<Arc<Self>>> {
        let Some(url) = url else {
            return Ok(None);
        };
        let origin = url.to_string();
        let copy = IndexCopy::open_beside(data_dir, Content::Advisories, &origin).await?;
        let opened = Self {
            url: url.clone(),
            copy,
            read: ArcSwapOption::new(before),
            rounds: Rounds::default(),
            has_begun: watch::Sender::new(false),
        };
        match opened.read_again().await {
            Ok(is_new) => drop(opened.has_begun.send_replace(is_new)),
            Err(error) => warn!("cannot read the copy of the advisories: {}", error.chain()),
        }
        Ok(Some(Arc::new(opened)))
    }

    /// Returns the advisories that count.
    pub(super) fn current(&self) -> Arc<Advisories> {
        let read = self.read.load();
        read.as_ref()
            .map(|read| Arc::clone(&read.advisories))
            .unwrap_or_default()
    }

    /// Returns what was read last.
    pub(super) fn read(&self) -> Option<Arc<Read>> {
        self.read.load_full()
    }

    /// Waits until the first attempt to fetch them has ended, but not for long.
    pub(super) async fn begun(&self) {
        let mut begun = self.has_begun.subscribe();
        let waiting = timeout(FIRST, begun.wait_for(|has_begun| *has_begun)).await;
        if waiting.is_err() {
            warn!("the advisories are not there yet: the index is served without them until then");
            self.has_begun.send_replace(true);
        }
    }

    /// Reads the copy where it has another commit than before; says whether it has.
    async fn read_again(&self) -> Result<bool> {
        let (Some(snapshot), before) = (self.copy.snapshot(), self.read.load_full()) else {
            return Ok(false);
        };
        if before
            .as_ref()
            .is_some_and(|before| before.commit == snapshot.commit())
        {
            return Ok(false);
        }
        let known = before.clone();
        let reading = spawn_blocking(move || Read::of(&snapshot, known.as_deref()));
        let panicked = |error| {
            Error::new(Kind::Server, "the thread that reads the advisories failed").because(error)
        };
        let read = reading.await.map_err(panicked)?;
        let read = read.inspect_err(|error| {
            if error.kind() == Kind::Server {
                self.copy.report_damage();
            }
        })?;
        read.warn_of_unreadable(before.as_deref());
        let number = read.advisories.all().count();
        info!(
            "the advisories are at {}: {number} about crates",
            read.commit.short()
        );
        self.read.store(Some(Arc::new(read)));
        Ok(true)
    }

    async fn refresh(&self, state: &State) -> Result<bool> {
        let remote = state.config.advisories_remote_at(&self.url)?;
        let limit = state.config.network.timeout;
        self.copy.refresh(&remote, None, limit).await?;
        self.read_again().await
    }
}

/// Fetches the advisories, waits, and fetches again. A failure is logged once, and the next fetch is its retry.
pub(super) async fn forever(state: &'static State) {
    let mut unknown = Vec::new();
    loop {
        follow_address(state).await;
        let Some(advisories) = state.advisories.load_full() else {
            state.handle.refresh_advisories.notified().await;
            continue;
        };
        let advisories = &*advisories;
        let refreshed = advisories.refresh(state).await;
        let is_new = refreshed.as_ref().is_ok_and(|is_new| *is_new);
        note(state, advisories, refreshed);
        advisories.has_begun.send_replace(true);
        warn_of_unknown(state, advisories, &mut unknown);
        if is_new {
            state.update_view().await;
        }
        // After what is decided of them.
        if let Some(read) = advisories.read() {
            advisory_mails::note(state, &read).await;
            state.mails.send();
        }
        if let Err(error) = advisories.copy.tidy().await {
            warn!(
                "cannot repack the copy of the advisories: {}",
                error.chain()
            );
        }
        tokio::select! {
            () = state.handle.refresh_advisories.notified() => {}
            () = sleep(state.config.serve.refresh) => {}
        }
    }
}

/// Opens another copy where the address of the advisories has changed since the last time.
async fn follow_address(state: &'static State) {
    let wanted = state.advisories_url.load_full();
    let before = state.advisories.load_full();
    let address = |url: Option<&RemoteUrl>| url.map(ToString::to_string);
    let last = before.as_ref().map(|before| &before.url);
    if address(wanted.as_deref()) == address(last) {
        return;
    }
    let data_dir = &state.config.serve.data_dir;
    let read = before.as_ref().and_then(|before| before.read());
    match AdvisoryCopy::open(data_dir, wanted.as_deref(), read).await {
        Ok(opened) => {
            // The index is being served: it does not wait.
            if let Some(opened) = &opened {
                opened.has_begun.send_replace(true);
            }
            state.advisories.store(opened);
        }
        Err(error) => warn!("cannot open a copy of the advisories: {}", error.chain()),
    }
}

/// Logs the ids in rules that are of no advisory, unless that was so before.
fn warn_of_unknown(state: &State, advisories: &AdvisoryCopy, before: &mut Vec<String>) {
    let (policy, read) = (state.policy.load_full(), advisories.read());
    let (Some(policy), Some(read)) = (policy, read) else {
        return;
    };
    let unknown: Vec<_> = policy.unknown_ids(&read.advisories).collect();
    if unknown != *before && !unknown.is_empty() {
        let ids = unknown.join(", ");
        warn!(
            "{ids}: no advisory of {} has this id, or it does not count; advisories are named in policy.allow alone",
            advisories.url
        );
    }
    *before = unknown;
}

/// Notes how a refresh went, for the log, metrics and the status page.
fn note(state: &State, advisories: &AdvisoryCopy, refreshed: Result<bool>) {
    let last = advisories.rounds.so_far().last_error;
    let error = match refreshed {
        Ok(_) => {
            if last.is_some() {
                let text = "the advisories can be fetched again";
                info!("{text}");
                state.handle.note("advisories", false, text);
            }
            return advisories.rounds.succeeded(SystemTime::now());
        }
        Err(error) => error,
    };
    let advice = error.advice().filter(|_| !error.is_transient());
    let advice = advice
        .map(|advice| format!(" ({advice})"))
        .unwrap_or_default();
    let text = format!("[{}] {}{advice}", error.kind(), error.chain());
    let text = state.mask.apply(&text).into_owned();
    if last.as_ref() != Some(&text) {
        let meanwhile = match advisories.read.load().is_some() {
            true => "those of the last time count",
            false => "none counts until then",
        };
        warn!("cannot refresh the advisories; {meanwhile}: {text}");
        state.handle.note("advisories", true, &text);
    }
    advisories.rounds.failed(text);
}

/// `/api/v1/advisories/CRATE`.
#[derive(Serialize)]
struct AdvisoriesJson {
    #[serde(rename = "crate")]
    name: String,
    advisories: Vec<AdvisoryJson>,
}

#[derive(Serialize)]
struct AdvisoryJson {
    id: String,
    title: String,
    /// `malicious`, `vulnerable` or `informational`.
    class: &'static str,
    /// Which kind of information it is, such as `unmaintained`.
    informational: Option<String>,
    date: Date,
    url: Option<String>,
    aliases: Vec<String>,
    severity: Option<String>,
    /// As OSV has it: the first version that is affected, and the first after it that is not.
    affected: Vec<RangeJson>,
    /// Those of the index that it is about.
    versions: Vec<String>,
    /// What the policy makes of its class: `off`, `warn`, `hold` or `deny`.
    action: &'static str,
    /// Whether a rule of `policy.allow` names it: then it decides nothing.
    allowed: bool,
    /// When that rule ends, if it does.
    allowed_until: Option<Timestamp>,
}

#[derive(Serialize)]
struct RangeJson {
    introduced: Option<String>,
    fixed: Option<String>,
}

impl AdvisoryJson {
    fn new(
        policy: &Policy,
        advisory: &Advisory,
        listed: &[String],
        is_own: bool,
        now: Timestamp,
    ) -> Self {
        let standing = policy.standing(advisory, now);
        let number = |version: &Option<Version>| version.as_ref().map(ToString::to_string);
        let ranges = advisory.affected.iter().map(|range| RangeJson {
            introduced: number(&range.introduced),
            fixed: number(&range.fixed),
        });
        let versions = listed.iter().filter(|version| {
            let version = Version::parse(version);
            version.is_ok_and(|version| advisory.affects(&version))
        });
        Self {
            id: advisory.id.clone(),
            title: advisory.title.clone(),
            class: advisory.class.word(),
            informational: advisory.kind.clone(),
            date: advisory.date,
            url: advisory.url.clone(),
            aliases: advisory.aliases.clone(),
            severity: advisory.severity.clone(),
            affected: ranges.collect(),
            versions: versions.cloned().collect(),
            // Those about crates of other people do not count for one's own.
            action: match is_own {
                true => OnAdvisory::Off.word(),
                false => standing.action.word(),
            },
            allowed: standing.allowed_by.is_some(),
            allowed_until: standing.allowed_by.and_then(|rule| rule.until),
        }
    }
}

/// `GET /api/v1/advisories/CRATE`: what is known of a crate, whether it counts or not; 404 where there are no advisories.
pub(super) fn show(state: &'static State, request: Authorized<'_>) -> Result<Reply, ErrorResponse> {
    let not_found = |detail| ErrorResponse::for_cargo(StatusCode::NOT_FOUND, detail);
    let Some(advisories) = state.advisories.load_full() else {
        return Err(not_found(NONE));
    };
    let name = CrateName::new(request.wildcard);
    let name = name.map_err(|_| not_found("this cannot be the name of a crate"))?;
    let Some(read) = advisories.read() else {
        let detail = "the advisories could not be fetched so far; the server's log says why";
        let unready = ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, detail);
        return Err(unready.with(RETRY_AFTER, 30));
    };
    let view = state.view()?.as_ref().map(Arc::clone);
    let decisions = view.as_ref().and_then(|view| view.decisions.as_ref());
    let policy = decisions.map(|decisions| Arc::clone(decisions.policy()));
    // Where the configuration has no policy any more, since the server was told to read it again.
    let policy = policy.ok_or_else(|| not_found(NONE))?;
    Ok(Reply::later(async move {
        let path = name.index_path().to_ascii_lowercase();
        let content = read_copy(state, move || {
            let Some(view) = view else {
                return Ok(Vec::new());
            };
            let file = view.snapshot.file(&path)?;
            file.map_or_else(|| Ok(Vec::new()), |id| view.content(id))
        })
        .await?;
        let lines = content.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(Published::read);
        let listed: Vec<_> = lines.map(|line| line.version.into_owned()).collect();
        let is_own = policy.is_own(name.as_str());
        let now = state.handle.timestamp();
        let of_crate = read.advisories.of(name.as_str()).iter();
        let all =
            of_crate.map(|advisory| AdvisoryJson::new(&policy, advisory, &listed, is_own, now));
        let told = AdvisoriesJson {
            advisories: all.collect(),
            name: name.to_string(),
        };
        Reply::now(Json(told)).wait().await
    }))
}
