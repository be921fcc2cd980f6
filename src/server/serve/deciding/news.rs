//! What is new in the index since the commit that was looked at last, which is written down in `serve.data_dir`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;

use super::blocking;
use crate::error::Result;
use crate::git::ObjectId;
use crate::policy::Policy;
use crate::server::cargo_config::replace;
use crate::server::index_copy::Snapshot;
use crate::server::serve::state::State;
use crate::server::serve::view::View;
use crate::server::sightings::{self, News};

/// The file in `serve.data_dir` that names the commit up to which what was new was written down.
const COMPARED: &str = "policy-compared";

/// Finds what is new, and returns the commit since when it is; nothing is, where that cannot be found.
pub(super) async fn found(
    state: &'static State,
    policy: &Arc<Policy>,
    before: &Option<Arc<View>>,
    index: &Arc<Snapshot>,
    now: Timestamp,
) -> (Option<Arc<Snapshot>>, News) {
    let news = news(state, policy, before, index, now).await;
    news.unwrap_or_else(|error| {
        // The copy that was shown before may be damaged, and this one its replacement.
        let error = error.chain();
        warn!(
            "what is new in the index cannot be found; what it does not date counts as old: {error}"
        );
        (None, News::default())
    })
}

/// Finds what is new since the commit that was looked at last, also by a process that was killed since; returns that one, too.
async fn news(
    state: &'static State,
    policy: &Arc<Policy>,
    before: &Option<Arc<View>>,
    index: &Arc<Snapshot>,
    now: Timestamp,
) -> Result<(Option<Arc<Snapshot>>, News)> {
    if !policy.remembers() {
        return Ok((None, News::default()));
    }
    let (policy, before, index) = (Arc::clone(policy), before.clone(), Arc::clone(index));
    blocking(move || {
        let policy = &*policy;
        if let Some(view) = before {
            let earlier = Arc::clone(&view.snapshot);
            let news = sightings::compare(policy, &earlier, &index, now)?;
            return Ok((Some(earlier), news));
        }
        let compared = read_compared(&compared_in(state));
        let compared = compared.filter(|commit| *commit != index.commit());
        // Without that commit, or without all of it, all that is there counts as old.
        let Some(commit) = compared else {
            return Ok((None, News::default()));
        };
        let Some(compared) = state.copy.at(commit) else {
            warn!(
                "the copy of the index does not reach back to {}, which was looked at last: what came since counts as old where its \
                 line has no date, yanks since then show at once, and what vanished since does not count as withdrawn",
                commit.short()
            );
            return Ok((None, News::default()));
        };
        let news = sightings::compare(policy, &compared, &index, now).unwrap_or_default();
        Ok((Some(compared), news))
    })
    .await
}

pub(super) fn compared_in(state: &State) -> PathBuf {
    state.config.serve.data_dir.join(COMPARED)
}

/// Returns the commit of the index up to which a server of this directory has looked for what is new.
pub(crate) fn compared(data_dir: &Path) -> Option<ObjectId> {
    read_compared(&data_dir.join(COMPARED))
}

pub(super) fn read_compared(path: &Path) -> Option<ObjectId> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

pub(super) fn write_compared(path: &Path, commit: ObjectId) {
    if read_compared(path) != Some(commit)
        && let Err(error) = replace(path, &format!("{commit}\n"))
    {
        warn!("cannot write {}: {error}", path.display());
    }
}
