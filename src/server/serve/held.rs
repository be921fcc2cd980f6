//! Which crate files are held, where the index lists these only.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, interval};
use tracing::warn;

use super::site::Site;
use crate::config::OfflineIndex;
use crate::error::Error;

/// How often the catalog is asked whether files came or went.
const ASK: Duration = Duration::from_secs(1);
/// How often the store itself is listed: a bucket has no catalog, and a folder may be filled by other ways.
const LIST: Duration = Duration::from_secs(60);

/// Says whether the index lists held crate files only.
pub(super) fn is_listed(site: &Site) -> bool {
    site.config.serve.offline_index == OfflineIndex::Held
}

/// Keeps what requests see in step with what is held.
pub(super) async fn forever(site: &'static Site) {
    if !is_listed(site) {
        return pending().await;
    }
    let mut ticks = interval(ASK);
    let (mut known, mut listed) = (None, Instant::now());
    let mut failure = None;
    loop {
        ticks.tick().await;
        let is_due = listed.elapsed() >= LIST || site.has_no_held();
        if is_due {
            site.crate_files.inventory().reconcile().await;
            listed = Instant::now();
        }
        let version = site.crate_files.inventory().version().await;
        if !is_due && version == known {
            continue;
        }
        known = version;
        let read = site.crate_files.inventory().paths().await;
        let failed = read.as_ref().err().map(describe);
        if let Some(failed) = failed.as_ref().filter(|_| failure != failed) {
            warn!("what is held cannot be listed: {failed}");
        }
        failure = failed;
        if let Ok(held) = read {
            site.hold(held);
            site.show();
        }
    }
}

fn describe(error: &Error) -> String {
    let causes = error.causes().join(": ");
    format!("{error}: {causes}")
}
