//! What every request finds.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::http::{HeaderValue, StatusCode, header};
use bytes::Bytes;
use tokio::sync::Notify;

use super::access_log::AccessLog;
use super::entries::Entries;
use super::gate::Tokens;
use super::traffic::Traffic;
use crate::config::{OfflineIndex, ServeConfig};
use crate::crate_files::CrateFiles;
use crate::error::{Error, Kind, Result};
use crate::index_copy::{IndexCopy, Snapshot};
use crate::web::refusal::Refusal;

/// Everything that the server works with.
pub(super) struct Site {
    pub(super) config: ServeConfig,
    pub(super) config_json: Bytes,
    pub(super) copy: IndexCopy,
    pub(super) crate_files: Arc<CrateFiles>,
    pub(super) entries: Entries,
    /// The paths of held crate files, where the index lists these only.
    pub(super) held: Option<ArcSwap<HashSet<String>>>,
    pub(super) tokens: Option<Tokens>,
    pub(super) access_log: AccessLog,
    pub(super) traffic: Traffic,
    /// Asks for a look at the index now.
    pub(super) refresh_now: Notify,
    /// The copy turned out damaged.
    pub(super) is_damaged: AtomicBool,
    view: ArcSwapOption<View>,
    looks: Mutex<Looks>,
}

/// A snapshot, and what its answers say of it.
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) seconds: SystemTime,
    pub(super) last_modified: HeaderValue,
}

/// How the looks at the index went.
#[derive(Debug, Clone, Default)]
pub(super) struct Looks {
    pub(super) last_success: Option<SystemTime>,
    pub(super) failed: u64,
    pub(super) failure: Option<String>,
}

impl Site {
    /// Opens the copy of the index, the store, and what else there is.
    pub(super) async fn open(config: ServeConfig) -> Result<&'static Self> {
        let serve = &config.serve;
        let origin = config.index.url.to_string();
        let copy = IndexCopy::open(&serve.data_dir, &config.index.branch, &origin).await?;
        let site = Self {
            config_json: super::index::make_config_json(&config)?,
            crate_files: CrateFiles::open(&config).await?,
            // A quarter; crate files have the rest.
            entries: Entries::new(serve.memory / 4),
            held: (serve.offline_index == OfflineIndex::Held).then(ArcSwap::default),
            tokens: serve.auth.clone().map(Tokens::read).transpose()?,
            access_log: AccessLog::open(&serve.access_log)?,
            traffic: Traffic::default(),
            refresh_now: Notify::new(),
            is_damaged: AtomicBool::new(false),
            view: ArcSwapOption::empty(),
            looks: Mutex::default(),
            copy,
            config,
        };
        site.show();
        site.list_held().await;
        // As long as the process: every request finds it without counting who else does.
        Ok(Box::leak(Box::new(site)))
    }

    /// Lets requests see what the copy holds now.
    pub(super) fn show(&self) {
        let Some(snapshot) = self.copy.snapshot() else {
            return;
        };
        let seconds = u64::try_from(snapshot.seconds()).unwrap_or(0);
        let seconds = UNIX_EPOCH + Duration::from_secs(seconds);
        let date = httpdate::fmt_http_date(seconds);
        let view = View {
            snapshot,
            seconds,
            last_modified: HeaderValue::from_str(&date)
                .unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT")),
        };
        self.view.store(Some(Arc::new(view)));
    }

    /// Returns what requests see.
    pub(super) fn view(&self) -> Result<arc_swap::Guard<Option<Arc<View>>>, Refusal> {
        let view = self.view.load();
        match view.is_some() {
            true => Ok(view),
            false => Err(Refusal::for_cargo(
                StatusCode::SERVICE_UNAVAILABLE,
                "the index is being fetched for the first time",
            )
            .with(header::RETRY_AFTER, 5)),
        }
    }

    /// Learns which crate files are held, where the index lists these only.
    pub(super) async fn list_held(&self) {
        let Some(held) = &self.held else {
            return;
        };
        match self.crate_files.store().list().await {
            Ok(files) => {
                let paths: HashSet<_> = files.into_iter().map(|file| file.path).collect();
                if **held.load() != paths {
                    held.store(Arc::new(paths));
                    self.entries.clear();
                }
            }
            Err(error) => tracing::warn!("the store cannot be listed: {error}"),
        }
    }

    /// Says that the copy is damaged: it is made anew.
    pub(super) fn damaged(&self, error: &Error) -> Refusal {
        let causes = error.causes().join(": ");
        tracing::error!("the copy of the index is damaged and is made anew: {error} {causes}");
        self.is_damaged.store(true, Ordering::Relaxed);
        self.refresh_now.notify_one();
        Refusal::for_cargo(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the server's copy of the index is damaged; it is being made anew",
        )
    }

    pub(super) fn looks(&self) -> Looks {
        self.locked_looks().clone()
    }

    pub(super) fn looked(&self) {
        let mut looks = self.locked_looks();
        looks.last_success = Some(SystemTime::now());
        looks.failure = None;
    }

    pub(super) fn look_failed(&self, why: String) {
        let mut looks = self.locked_looks();
        looks.failed += 1;
        looks.failure = Some(why);
    }

    fn locked_looks(&self) -> std::sync::MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the error of a file of the configuration.
pub(super) fn unusable(what: &str, error: std::io::Error) -> Error {
    Error::new(Kind::Config, what.to_owned()).because(error)
}
