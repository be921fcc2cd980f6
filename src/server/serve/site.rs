//! What every request finds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use arc_swap::{ArcSwapOption, Guard};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use tokio::sync::Notify;

use super::access_log::AccessLog;
use super::entries::Entries;
use super::gate::Tokens;
use super::held;
use super::traffic::Traffic;
use super::view::{Held, View};
use crate::config::ServeConfig;
use crate::error::{Error, Result};
use crate::http::refusal::Refusal;
use crate::server::crate_files::CrateFiles;
use crate::server::index_copy::IndexCopy;

/// Everything that the server works with.
pub(super) struct Site {
    pub(super) config: ServeConfig,
    pub(super) config_json: Bytes,
    pub(super) copy: IndexCopy,
    pub(super) crate_files: Arc<CrateFiles>,
    pub(super) entries: Entries,
    pub(super) tokens: Option<Tokens>,
    pub(super) access_log: AccessLog,
    pub(super) traffic: Traffic,
    /// Asks for a look at the index now.
    pub(super) refresh_now: Notify,
    /// What the store held when it was listed last, where the index lists this only.
    held: ArcSwapOption<Held>,
    view: ArcSwapOption<View>,
    looks: Mutex<Looks>,
}

/// How the looks at the index went.
#[derive(Debug, Clone, Default)]
pub(super) struct Looks {
    pub(super) last_success: Option<Instant>,
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
            // Half; crate files have the other.
            entries: Entries::new(serve.memory / 2),
            tokens: serve.auth.clone().map(Tokens::read).transpose()?,
            access_log: AccessLog::open(&serve.access_log)?,
            traffic: Traffic::default(),
            refresh_now: Notify::new(),
            held: ArcSwapOption::empty(),
            view: ArcSwapOption::empty(),
            looks: Mutex::default(),
            copy,
            config,
        };
        // As long as the process: every request finds it without counting who else does.
        let site: &'static Self = Box::leak(Box::new(site));
        if held::is_listed(site)
            && let Ok(held) = site.crate_files.inventory().paths().await
        {
            site.hold(held);
        }
        site.show();
        Ok(site)
    }

    /// Lets requests see what the copy and the store hold now.
    pub(super) fn show(&self) {
        let Some(snapshot) = self.copy.snapshot() else {
            return;
        };
        let held = self.held.load_full();
        if held::is_listed(self) && held.is_none() {
            return;
        }
        let before = self.view.load_full();
        let after = View::after(before.as_deref(), snapshot, held, SystemTime::now());
        if let Some(after) = after {
            self.view.store(Some(Arc::new(after)));
        }
    }

    /// Returns what requests see.
    pub(super) fn view(&self) -> Result<Guard<Option<Arc<View>>>, Refusal> {
        let view = self.view.load();
        if view.is_some() {
            return Ok(view);
        }
        let detail = match self.copy.snapshot() {
            None => "the index is being fetched for the first time",
            Some(_) => "what this server holds cannot be listed yet",
        };
        Err(unready(detail))
    }

    /// Takes in what the store holds, where the index lists this only.
    pub(super) fn hold(&self, held: Held) {
        if self.held.load().as_deref() != Some(&held) {
            self.held.store(Some(Arc::new(held)));
        }
    }

    /// Says whether nothing is known of what the store holds.
    pub(super) fn has_no_held(&self) -> bool {
        self.held.load().is_none()
    }

    /// Takes in that an object of the copy could not be read: the copy is made anew.
    pub(super) fn damaged(&self, error: &Error) -> Refusal {
        if self.copy.report_damage() {
            let causes = error.causes().join(": ");
            tracing::error!("the copy of the index is damaged and is made anew: {error} {causes}");
            self.refresh_now.notify_one();
        }
        unready("the server's copy of the index is damaged; it is being made anew")
    }

    pub(super) fn looks(&self) -> Looks {
        self.locked_looks().clone()
    }

    pub(super) fn looked(&self) {
        let mut looks = self.locked_looks();
        looks.last_success = Some(Instant::now());
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

fn unready(detail: &'static str) -> Refusal {
    Refusal::for_cargo(StatusCode::SERVICE_UNAVAILABLE, detail).with(header::RETRY_AFTER, 5)
}
