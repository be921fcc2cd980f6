//! Keeps the mirror fresh: a sync now and then, and when upstream was pushed to. One at a time.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::config::{Config, History, Up};
use crate::error::{Error, Kind, Result};
use crate::index::ReservedNames;
use crate::mirror::plan::Outcome;
use crate::mirror::report::Report;
use crate::mirror::{Context, init, sync};
use crate::notify;
use crate::progress::Progress;
use crate::server::serve::Handle;

/// Syncs for ever; does nothing without a mirror.
pub(super) async fn keep_fresh(mirror: Option<Config>, up: Up, handle: Arc<Handle>) -> Infallible {
    let Some(config) = mirror else {
        return pending().await;
    };
    // From then on no other process works in the folder.
    handle.listening().await;
    let mut config = Arc::new(config);
    let mut last_failure = None;
    loop {
        // It may have been read again since.
        if let Some(reserved) = handle.reserved() {
            config = Arc::new(Config {
                reserved: ReservedNames::clone(&reserved),
                ..Config::clone(&config)
            });
        }
        let has_moved = on_its_own(Arc::clone(&config), up.init, &handle, &mut last_failure).await;
        handle.let_fetch();
        if has_moved {
            handle.refresh();
        }
        tokio::select! {
            () = handle.pushed() => debug!("upstream was pushed to"),
            () = sleep(up.every) => {}
        }
    }
}

/// Runs one sync on a task of its own, so that a panic in it ends nothing else; says whether the mirror has moved. A failure is
/// logged once, and the next sync is its retry.
async fn on_its_own(
    config: Arc<Config>,
    may_init: bool,
    handle: &Handle,
    last_failure: &mut Option<String>,
) -> bool {
    let loop_of_this = runtime::Handle::current();
    // A thread, and not a task of the runtime: a sync is made for one thread, and its merge of trees must not keep the server
    // waiting.
    let task = spawn_blocking({
        let config = Arc::clone(&config);
        move || loop_of_this.block_on(round(&config, may_init))
    });
    let end = task.await.unwrap_or_else(|panicked| {
        Err(Error::new(Kind::Server, "the task of the sync ended").because(panicked))
    });
    match end {
        Ok(report) => {
            if last_failure.take().is_some() {
                info!("the mirror can be synced again");
            }
            tell(&config, &report, handle);
            report.after.is_some() && report.after != report.before
        }
        Err(error) => {
            let text = config.scrub(&notify::line(&error));
            if last_failure.as_ref() != Some(&text) {
                error!("the mirror was not synced: {text}");
                handle.note("sync", true, &text);
            }
            *last_failure = Some(text);
            false
        }
    }
}

/// Does what the command `sync` does, its mails included; makes the mirror's first commit before, where that is asked for.
async fn round(config: &Config, may_init: bool) -> Result<Report> {
    let progress = Progress::default();
    let around = Context {
        clock: SystemTime::now,
        progress: &progress,
    };
    let options = sync::Options::default();
    let mut end = sync::run(config, &options, around).await;
    if may_init && is_empty(&end) {
        info!("the mirror is empty: making its first commit");
        end = init::run(&snapshot(config), &init::Options::default(), around).await;
    }
    let end = end.map_err(|error| match error.kind() {
        Kind::EmptyMirror => error.advise(
            "Start it with `--init` (`up.init: true`), which makes the first commit as a snapshot, or run `crates-ferry init` once. \
             If the index is there on another branch, set `mirror.branch`.",
        ),
        _ => error,
    });
    notify::after_sync(config, &end, around).await;
    end
}

fn is_empty(end: &Result<Report>) -> bool {
    matches!(end, Err(error) if error.kind() == Kind::EmptyMirror)
}

/// Returns the configuration of an `init` that carries one tree, and no history.
fn snapshot(config: &Config) -> Config {
    let mut config = config.clone();
    config.mirror.history = Some(History::Snapshot);
    config
}

/// Logs a report, on one line; the history keeps those of syncs that changed something.
fn tell(config: &Config, report: &Report, handle: &Handle) {
    for warning in &report.warnings {
        warn!("the mirror: {}", config.scrub(&warning.to_string()));
    }
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let text = config.scrub(&lines.join("; "));
    match report.outcome {
        Outcome::UpToDate => debug!("the mirror: {text}"),
        _ => {
            info!("the mirror: {text}");
            handle.note("sync", false, &text);
        }
    }
}
