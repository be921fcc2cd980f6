//! What the handlers share: configuration, index, crate files, tokens, and what is counted.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwapOption, Guard};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore};
use tokio::task::spawn_blocking;

use super::access_log::AccessLog;
use super::advisories::AdvisoryCopy;
use super::audit::Auditor;
use super::auth::Tokens;
use super::crate_contents::ContentCache;
use super::deciding::{self, Unrecorded};
use super::handle::Handle;
use super::history::{self, Collected};
use super::index_cache::IndexCache;
use super::mails::Mails;
use super::private::dependents::Dependents;
use super::public_address::PublicAddress;
use super::traffic::Traffic;
use super::view::{StoredFiles, View};
use crate::config::{Mask, OfflineIndex, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::git::RemoteUrl;
use crate::http::error_response::ErrorResponse;
use crate::policy::Policy;
use crate::server::catalog::crates::CrateCatalog;
use crate::server::crate_files::CrateFiles;
use crate::server::decisions::{DecidedFile, Gone};
use crate::server::file_budget::{FileBudget, FileShares};
use crate::server::history::History;
use crate::server::index_copy::IndexCopy;
use crate::server::private::registry::PrivateRegistry;
use crate::server::shortage::is_shortage;
use crate::server::trusted::Trusted;

/// The least time between two log lines about a shortage.
const BETWEEN_SHORTAGES: Duration = Duration::from_secs(60);

/// How many crate files are unpacked at once.
const UNPACKING: usize = 2;
/// How many of the largest answers are made at once.
const ANSWERING: usize = 2;
/// How many comparisons are made at once.
const COMPARING: usize = 2;

const DAMAGED: &str = "the server's copy of the index is damaged; it is fetching another";

/// What the handlers and background tasks of the server share.
pub(super) struct State {
    pub(super) config: ServeConfig,
    /// What the configuration holds and refuses, if anything; what requests see was decided by the policy of their view.
    pub(super) policy: ArcSwapOption<Policy>,
    /// Wakes the task that applies the policy, when there is another one.
    pub(super) has_new_policy: Notify,
    /// What is taken out of what upstream, the index or the store said, before a client is told of it.
    pub(super) mask: Mask,
    /// What the server is called in what it answers.
    pub(super) address: PublicAddress,
    /// What it shares with the work beside it.
    pub(super) handle: Arc<Handle>,
    pub(super) copy: IndexCopy,
    /// The advisories, where there are any.
    pub(super) advisories: ArcSwapOption<AdvisoryCopy>,
    /// Where they are to come from, by the section `policy` as it was read last.
    pub(super) advisories_url: ArcSwapOption<RemoteUrl>,
    pub(super) crate_files: Arc<CrateFiles>,
    /// Bounds the crate files that are open.
    pub(super) files: FileBudget,
    pub(super) index_cache: IndexCache,
    /// What is known of the crates; `None` where `serve.catalog` is off, or the catalog cannot be opened.
    pub(super) catalog: Option<CrateCatalog>,
    pub(super) tokens: Tokens,
    /// The registry of private crates, where there is one.
    pub(super) private: Option<PrivateRegistry>,
    /// Which private crates need each other.
    pub(super) private_dependents: Dependents,
    /// What lets jobs of CI publish.
    pub(super) trusted: Trusted,
    pub(super) access_log: AccessLog,
    pub(super) traffic: Traffic,
    /// What is to be mailed.
    pub(super) mails: Mails,
    /// Who fetches which crate file.
    pub(super) auditor: Auditor,
    /// What it did in the last week; `None` where that cannot be written.
    pub(super) history: Option<History>,
    /// What is written there next.
    pub(super) collected: Collected,
    /// Since when it counts.
    pub(super) started: SystemTime,
    /// Wakes the task that brings the catalog up to date.
    pub(super) has_new_view: Notify,
    /// Wakes the task that reads manifests, when the catalog knows the crates.
    pub(super) has_filled_catalog: Notify,
    /// How many crate files may be unpacked for requests at the same time: each may take a second of a thread.
    pub(super) unpacking: Semaphore,
    /// How many questions the catalog answers at the same time, each with a thread and a connection of its own.
    pub(super) asking: Semaphore,
    /// What was read of crate files.
    pub(super) contents: ContentCache,
    /// How many versions may be compared, or all their files listed, at the same time, from reading them to the answer.
    pub(super) comparing: Semaphore,
    /// How many answers with all versions of a crate, and comparisons of two, may be made at the same time.
    pub(super) answering: Semaphore,
    /// What the store held when it was last listed, if the index lists only stored versions.
    stored: ArcSwapOption<StoredFiles>,
    view: ArcSwapOption<View>,
    /// Held by the task that makes a new view.
    updating: AsyncMutex<()>,
    /// What was seen of the index and is not written down yet.
    pub(super) unrecorded: Unrecorded,
    /// How the refreshes of the index went.
    pub(super) refreshes: Rounds,
    /// How the imports of the dump went, those by the clock.
    pub(super) imports: Rounds,
    /// When a shortage was logged last.
    last_shortage: Mutex<Option<Instant>>,
}

/// How work went that is done again and again, such as the refreshes of the index.
#[derive(Debug, Default)]
pub(super) struct Rounds(Mutex<SoFar>);

/// How it went so far.
#[derive(Debug, Clone, Default)]
pub(super) struct SoFar {
    /// When the last round succeeded: by the monotonic clock, for `/readyz`, and by the wall clock, for Prometheus.
    pub(super) last_success: Option<(Instant, SystemTime)>,
    /// How many failed.
    pub(super) failures: u64,
    /// Why the last one failed, until one succeeds.
    pub(super) last_error: Option<String>,
}

impl Rounds {
    /// Returns how it went so far.
    pub(super) fn so_far(&self) -> SoFar {
        self.lock().clone()
    }

    pub(super) fn succeeded(&self, at: SystemTime) {
        let mut rounds = self.lock();
        rounds.last_success = Some((Instant::now(), at));
        rounds.last_error = None;
    }

    pub(super) fn failed(&self, error: String) {
        let mut rounds = self.lock();
        rounds.failures += 1;
        rounds.last_error = Some(error);
    }

    fn lock(&self) -> MutexGuard<'_, SoFar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Opens the copy of the index, the store, and the rest.
    ///
    /// # Errors
    /// `config` if a file or folder of the configuration cannot be used.
    pub(super) async fn open(
        config: ServeConfig,
        shares: FileShares,
        handle: Arc<Handle>,
    ) -> Result<&'static Self> {
        let serve = &config.serve;
        let origin = config.index.url.to_string();
        let copy = IndexCopy::open(&serve.data_dir, &config.index.branch, &origin).await?;
        let copy = copy.hiding(config.hidden());
        let copy = copy.shown_by(Arc::clone(&handle.progress));
        let url = &config.policy.advisories;
        let advisories = AdvisoryCopy::open(&serve.data_dir, url.as_ref(), None).await?;
        let policy = Policy::of_mirror(&config.policy, &config.keep)?;
        let state = Self {
            policy: ArcSwapOption::from(policy.map(Arc::new)),
            has_new_policy: Notify::new(),
            advisories: ArcSwapOption::new(advisories),
            advisories_url: ArcSwapOption::new(url.clone().map(Arc::new)),
            address: PublicAddress::of(&config),
            crate_files: CrateFiles::open(&config).await?,
            files: FileBudget::new(shares),
            // One half of the memory; the other is for crate files.
            index_cache: IndexCache::new(serve.memory / 2),
            catalog: open_catalog(&config).await,
            tokens: Tokens::read(&config)?,
            private: PrivateRegistry::open(&config).await?,
            private_dependents: Dependents::default(),
            trusted: Trusted::open(&config)?,
            access_log: AccessLog::open(serve)?,
            traffic: Traffic::default(),
            mails: Mails::open(&config),
            auditor: Auditor::open(&config).await,
            history: history::open(&config).await,
            collected: Collected::default(),
            started: SystemTime::now(),
            has_new_view: Notify::new(),
            has_filled_catalog: Notify::new(),
            unpacking: Semaphore::new(UNPACKING),
            asking: Semaphore::new(
                ANSWERING + thread::available_parallelism().map_or(2, usize::from),
            ),
            contents: ContentCache::default(),
            comparing: Semaphore::new(COMPARING),
            answering: Semaphore::new(ANSWERING),
            stored: ArcSwapOption::empty(),
            view: ArcSwapOption::empty(),
            updating: AsyncMutex::default(),
            unrecorded: Unrecorded::default(),
            refreshes: Rounds::default(),
            imports: Rounds::default(),
            last_shortage: Mutex::default(),
            copy,
            handle,
            mask: config.mask(),
            config,
        };
        // It lives as long as the process. An `Arc` would be cloned for each request, by threads that then share its
        // count.
        let state: &'static Self = Box::leak(Box::new(state));
        if state.lists_stored_only()
            && let Ok(stored) = state.crate_files.inventory().paths().await
        {
            state.set_stored(stored);
        }
        // With a policy all of the index is to be read first, which is done beside the listener.
        if !state.has_policy() {
            state.update_view().await;
        }
        Ok(state)
    }

    /// Shows requests what the copy and the store hold now, and what the policy decides of it now. What was shown before stays
    /// where that cannot be decided; says whether it could.
    pub(super) async fn update_view(&'static self) -> bool {
        let _turn = self.updating.lock().await;
        let Some(snapshot) = self.copy.snapshot() else {
            return true;
        };
        let stored = self.stored.load_full();
        if self.lists_stored_only() && stored.is_none() {
            return true;
        }
        let before = self.view.load_full();
        let now = self.handle.now();
        let decided = match self.policy.load_full() {
            None => {
                deciding::forget(self);
                None
            }
            Some(policy) => match deciding::decide(self, policy, &before, &snapshot).await {
                Some(decided) => Some(decided),
                None => return false,
            },
        };
        let decisions = decided
            .as_ref()
            .map(|decided| Arc::clone(&decided.decisions));
        // With a policy the one that was decided on.
        let snapshot = match &decided {
            Some(decided) => Arc::clone(&decided.index),
            None => snapshot,
        };
        if let Some(after) = View::after(before.as_deref(), snapshot, stored, decisions, now) {
            self.view.store(Some(Arc::new(after)));
            self.handle.set_ready();
            self.has_new_view.notify_one();
        }
        if let Some(decided) = decided {
            deciding::move_files(self, decided).await;
        }
        true
    }

    /// Says whether there is anything that holds or refuses versions.
    pub(super) fn has_policy(&self) -> bool {
        self.policy.load().is_some()
    }

    /// Says whether what requests see is not what the policy decides any more.
    pub(super) fn is_decided_anew(&self) -> bool {
        let view = self.view.load();
        let decisions = view.as_ref().and_then(|view| view.decisions.as_ref());
        match (decisions, &*self.policy.load()) {
            (Some(decisions), Some(policy)) => {
                !decisions.span().contains(self.handle.timestamp())
                    || deciding::is_outdated(self, policy)
            }
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => self.copy.snapshot().is_some(),
        }
    }

    /// Returns what requests see.
    ///
    /// # Errors
    /// 503 until there is an index.
    pub(super) fn view(&self) -> Result<Guard<Option<Arc<View>>>, ErrorResponse> {
        // A guard, and not a clone of the `Arc`: threads would contend for its count.
        let view = self.view.load();
        if view.is_some() {
            return Ok(view);
        }
        if self.copy.snapshot().is_some()
            && let Some(why) = self.unrecorded.last_failure()
        {
            // Anybody may ask `/readyz`, and the failure names places.
            return Err(unready(match self.tokens.is_mirror_open() {
                false => "the policy cannot be applied; the log says why".into(),
                true => String::clone(&why).into(),
            }));
        }
        let detail = match self.copy.snapshot() {
            None if self.refreshes.so_far().last_error.is_some() => {
                "the server could not fetch the index so far; /readyz and its log say why"
            }
            None if self.copy.is_damaged() => DAMAGED,
            None => "the index is being fetched for the first time",
            Some(_) if self.lists_stored_only() && !self.has_listed_store() => {
                "the crate files in the store cannot be listed yet; the log says why"
            }
            Some(_) => "the policy is being applied to the index for the first time",
        };
        Err(unready(detail.into()))
    }

    /// Returns what the policy decides of a crate, if its file is shown otherwise than the index has it, or will be.
    pub(super) fn decided(&self, name: &str) -> Option<Arc<DecidedFile>> {
        let view = self.view.load();
        view.as_ref()?.decisions.as_ref()?.of_crate(name).cloned()
    }

    /// Returns the versions of a crate that upstream took back and of which the index has no line, the highest first.
    pub(super) fn gone(&self, name: &str) -> Vec<Gone> {
        let view = self.view.load();
        let decisions = view.as_ref().and_then(|view| view.decisions.as_ref());
        decisions.map_or_else(Vec::new, |decisions| decisions.gone_of(name).to_vec())
    }

    /// Says whether the index lists only the versions whose crate files are in the store.
    pub(super) fn lists_stored_only(&self) -> bool {
        self.config.serve.offline_index == OfflineIndex::Held
    }

    /// Says whether the store has been listed.
    pub(super) fn has_listed_store(&self) -> bool {
        self.stored.load().is_some()
    }

    /// Takes a listing of the store; [`State::update_view`] shows it.
    pub(super) fn set_stored(&self, stored: StoredFiles) {
        if self.stored.load().as_deref() != Some(&stored) {
            self.stored.store(Some(Arc::new(stored)));
        }
    }

    /// Requests a new copy of the index after an object could not be read, unless that was for want of files or memory.
    /// Returns the response to the request that needed it.
    pub(super) fn replace_copy(&self, error: &Error) -> ErrorResponse {
        if is_shortage(error) {
            self.log_shortage(error);
            let detail =
                "the server is short of open files or of memory; try again in a few seconds";
            return unready(detail.into());
        }
        // Many requests find the same damage: the first one logs it.
        if self.copy.report_damage() {
            let error = error.chain();
            tracing::error!("the copy of the index is damaged; fetching another: {error}");
            self.handle.refresh();
        }
        unready(DAMAGED.into())
    }

    /// Logs a shortage, which many requests meet at the same time, at most once a minute.
    fn log_shortage(&self, error: &Error) {
        let last = self.last_shortage.lock();
        let mut last = last.unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() > BETWEEN_SHORTAGES) {
            *last = Some(Instant::now());
            tracing::error!(
                "{}. Raise the limit of open files (ulimit -n) or the memory.",
                error.chain()
            );
        }
    }
}

/// Opens the catalog of crates. A server serves without one, too.
async fn open_catalog(config: &ServeConfig) -> Option<CrateCatalog> {
    if !config.serve.catalog {
        return None;
    }
    let path = CrateCatalog::path_in(&config.serve.data_dir);
    let opened = spawn_blocking(move || CrateCatalog::open(&path)).await;
    let panicked =
        |error| Error::new(Kind::Server, "the thread that opens the catalog failed").because(error);
    let opened = opened.map_err(panicked).and_then(|opened| opened);
    opened
        .inspect_err(|error| tracing::warn!("there will be no search: {}", error.chain()))
        .ok()
}

/// Makes the `config.json` of a server at this address, as cargo's registry index format has it.
pub(super) fn config_json(address: &str, needs_token: bool) -> Bytes {
    let mut json = json!({ "dl": format!("{address}/api/v1/crates"), "api": address });
    if needs_token {
        json["auth-required"] = json!(true);
    }
    json.to_string().into()
}

fn unready(detail: Cow<'static, str>) -> ErrorResponse {
    ErrorResponse::for_cargo(StatusCode::SERVICE_UNAVAILABLE, detail).with(header::RETRY_AFTER, 5)
}
