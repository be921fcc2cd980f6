//! Keeps the copy of the index fresh: now and then, and when somebody says that it moved.

use tokio::time::sleep;
use tracing::{info, warn};

use super::site::Site;
use crate::error::{Error, Result};

/// Looks at the index, waits, and looks again; a failure is told once, and tried again like anything else.
pub(super) async fn forever(site: &'static Site) {
    loop {
        let looked = look(site).await;
        // Also what came to be known just before a failure.
        site.show();
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
        if let Err(error) = site.copy.tidy().await {
            warn!(
                "the copy's packs could not be made one: {}",
                describe(&error)
            );
        }
        tokio::select! {
            () = site.refresh_now.notified() => {}
            () = sleep(site.config.serve.refresh) => {}
        }
    }
}

async fn look(site: &Site) -> Result<()> {
    let remote = site.config.index_remote()?;
    let branch = &site.config.index.branch;
    let tip = || site.copy.snapshot().map(|snapshot| snapshot.commit());
    let before = tip();
    let limit = site.config.network.timeout;
    site.copy.refresh(&remote, branch, limit).await?;
    if let Some(after) = tip()
        && before != Some(after)
    {
        info!("the index is at {}", after.short());
    }
    Ok(())
}

fn describe(error: &Error) -> String {
    let mut text = format!("[{}] {}", error.kind(), error.chain());
    if let Some(advice) = error.advice() {
        text.push_str(&format!(" ({advice})"));
    }
    text
}
