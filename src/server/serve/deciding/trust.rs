//! Whether what vanished from the index counts as withdrawn: only between two commits of one history, and not very many versions at
//! once.

use std::sync::Arc;

use tokio::time::timeout;
use tracing::warn;

use super::MOST_WITHDRAWN;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::server::index_copy::Snapshot;
use crate::server::index_history::{self, Point};
use crate::server::serve::state::State;
use crate::server::sightings::News;

/// The index that is to be decided on, and what is new in it.
pub(super) struct Believed {
    /// The one before, where what vanished since is not to be believed.
    pub(super) index: Arc<Snapshot>,
    pub(super) news: News,
    /// Why it is the one before.
    pub(super) held: Option<Error>,
}

/// Says what of the news since an earlier commit is to be believed.
pub(super) async fn believed(
    state: &State,
    earlier: Option<Arc<Snapshot>>,
    index: &Arc<Snapshot>,
    news: News,
) -> Believed {
    let (news, held) = match &earlier {
        Some(earlier) if !news.withdrawn.is_empty() => {
            match trusted(state, earlier, index, news).await {
                Ok(news) => (news, None),
                Err(why) => (News::default(), Some((earlier, why))),
            }
        }
        _ => (news, None),
    };
    match held {
        None => Believed {
            index: Arc::clone(index),
            news,
            held: None,
        },
        Some((earlier, why)) => Believed {
            index: Arc::clone(earlier),
            news,
            held: Some(why),
        },
    }
}

/// Keeps what was withdrawn only if both commits are of one history.
///
/// # Errors
/// If that cannot be found out now, or it is too much: then the earlier one is to be served.
async fn trusted(
    state: &State,
    earlier: &Snapshot,
    index: &Snapshot,
    mut news: News,
) -> Result<News> {
    let number = news.withdrawn.len();
    let (old, new) = (earlier.commit().short(), index.commit().short());
    match is_one_history(state, earlier, index).await {
        Ok(false) => {
            warn!(
                "{} vanished from the index or got another checksum; since {new} does not come after {old} in one history, that does \
                 not count as withdrawn",
                counted(number, "version")
            );
            news.withdrawn.clear();
            Ok(news)
        }
        Ok(true) if number > MOST_WITHDRAWN => {
            let text = format!(
                "{number} versions vanished between {old} and {new}, or have another checksum, more than {MOST_WITHDRAWN}: the index of \
                 {old} is served as before"
            );
            Err(Error::new(Kind::Guard, text).advise(
                "Check upstream. If it is intended, set policy.withdrawn: serve, and send SIGHUP or start the server; then set it back.",
            ))
        }
        Ok(true) => Ok(news),
        Err(error) => {
            let text = format!(
                "cannot determine whether {new} descends from {old} in the history of the index, and serve that of {old}; will retry"
            );
            Err(Error::new(error.kind(), text).because(error))
        }
    }
}

/// Says whether a commit of the index comes after an earlier one.
async fn is_one_history(state: &State, earlier: &Snapshot, index: &Snapshot) -> Result<bool> {
    let before = Point {
        commit: earlier.commit(),
        tree: earlier.tree(),
    };
    let mut last = state.unrecorded.last_way.lock().await;
    if let Some((from, to, leads)) = *last
        && (from, to) == (before, index.commit())
    {
        return Ok(leads);
    }
    let remote = state.config.index_remote()?;
    let asking = index_history::leads(&remote, &state.config.index.branch, before, index.commit());
    let limit = state.config.network.timeout;
    let leads = timeout(limit, asking).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        let text = format!("{remote} did not answer within {limit} (network.timeout)");
        Err(Error::new(Kind::Network, text))
    })?;
    *last = Some((before, index.commit(), leads));
    Ok(leads)
}
