//! Keeps the copy of the index fresh: now and then, and when somebody says that it moved.

use std::sync::atomic::Ordering;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::site::Site;
use crate::error::{Error, Kind, Result};
use crate::index_copy::Refreshed;
use crate::transport::Remote;

/// Looks at the index, waits, and looks again; a failure is told once, and tried again like anything else.
pub(super) async fn forever(site: &'static Site) {
    loop {
        let limit = site.config.network.timeout;
        let looked = timeout(limit, look(site)).await.unwrap_or_else(|_| {
            let limit = humantime::format_duration(limit);
            let text = format!("the index could not be fetched within {limit} (network.timeout)");
            Err(Error::new(Kind::Network, text))
        });
        match looked {
            Ok(()) => {
                if site.looks().failure.is_some() {
                    info!("the index can be read again");
                }
                site.looked();
            }
            Err(error) => {
                let text = site.config.scrub(&describe(&error));
                if site.looks().failure.as_ref() != Some(&text) {
                    warn!("the index stays as it is: {text}");
                }
                site.look_failed(text);
            }
        }
        // Whether or not the index can be reached: others fill the store, too.
        site.list_held().await;
        tokio::select! {
            () = site.refresh_now.notified() => {}
            () = sleep(site.config.serve.refresh) => {}
        }
    }
}

async fn look(site: &Site) -> Result<()> {
    let remote = Remote::index(&site.config)?;
    let branch = &site.config.index.branch;
    let refreshed = match site.is_damaged.load(Ordering::Relaxed) {
        true => site.copy.rebuild(&remote, branch).await?,
        false => site.copy.refresh(&remote, branch).await?,
    };
    site.is_damaged.store(false, Ordering::Relaxed);
    if refreshed == Refreshed::Moved {
        site.show();
        if let Some(snapshot) = site.copy.snapshot() {
            info!("the index is at {}", snapshot.commit().short());
        }
    }
    Ok(())
}

fn describe(error: &Error) -> String {
    let mut text = format!("[{}] {error}", error.kind());
    for cause in error.causes() {
        text.push_str(": ");
        text.push_str(&cause);
    }
    if let Some(advice) = error.advice() {
        text.push_str(&format!(" ({advice})"));
    }
    text
}
