//! How fresh the server's copy of the private index is: it is looked at once a second while somebody reads it, and not otherwise.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify, watch};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::index::PrivateIndex;

/// How old what is shown of the index may be, and how often it is looked at while somebody reads it.
const FRESH: Duration = Duration::from_millis(1500);
const POLL: Duration = Duration::from_secs(1);
/// How long after the last reader it is looked at.
const ACTIVE: Duration = Duration::from_secs(30);
/// How long a reader waits for a look.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks at the index for those who read it.
pub struct Freshness {
    index: Arc<PrivateIndex>,
    began: Instant,
    /// When somebody read the index last, in milliseconds since then.
    asked: AtomicU64,
    wanted: Notify,
    looked: watch::Sender<Option<Instant>>,
    looking: Mutex<()>,
}

impl Freshness {
    /// Begins without a look.
    pub fn of(index: Arc<PrivateIndex>) -> Self {
        Self {
            index,
            began: Instant::now(),
            asked: AtomicU64::new(0),
            wanted: Notify::new(),
            looked: watch::Sender::new(None),
            looking: Mutex::default(),
        }
    }

    /// Looks at the repository once, and then while somebody reads the index.
    pub async fn keep_fresh(&self) -> Infallible {
        let mut last_failure = None;
        loop {
            // A push has just shown where the branch is.
            let is_known = self
                .index
                .seen()
                .is_some_and(|seen| seen.elapsed() < POLL / 2);
            let looked = match is_known {
                true => Ok(()),
                false => self.index.refresh().await,
            };
            match looked {
                Ok(()) => {
                    if last_failure.take().is_some() {
                        info!("the private index can be fetched again");
                    }
                }
                Err(error) => {
                    let advice = error.advice().map(|advice| format!(" ({advice})"));
                    let text = format!("{}{}", error.chain(), advice.unwrap_or_default());
                    if last_failure.as_ref() != Some(&text) {
                        warn!("cannot fetch the private index: [{}] {text}", error.kind());
                    }
                    last_failure = Some(text);
                }
            }
            self.looked.send_replace(Some(Instant::now()));
            self.index.tidy().await;
            let idle =
                self.began.elapsed() - Duration::from_millis(self.asked.load(Ordering::Relaxed));
            match idle < ACTIVE {
                true => {
                    let _ = timeout(POLL, self.wanted.notified()).await;
                }
                false => self.wanted.notified().await,
            }
        }
    }

    /// Says whether the repository was looked at not long ago, and notes that somebody reads the index.
    pub fn is_fresh(&self) -> bool {
        let now = self.began.elapsed().as_millis();
        self.asked
            .store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
        let is_recent = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() < FRESH);
        is_recent(self.index.seen()) || is_recent(*self.looked.borrow())
    }

    /// Waits until the repository was looked at not long ago, as it mostly was; not for long where it cannot be reached.
    pub async fn fresh(&self) {
        if self.is_fresh() {
            return;
        }
        let mut looked = self.looked.subscribe();
        looked.mark_unchanged();
        self.wanted.notify_one();
        // The sender is in `self`.
        let _ = timeout(PATIENCE, looked.changed()).await;
    }

    /// Waits until the repository was looked at after this was called: for what another server may just have published. Not for long
    /// where it cannot be reached.
    pub async fn look(&self) {
        let began = Instant::now();
        let looking = async {
            // One at a time: who waited for another one's look may need none.
            let _turn = self.looking.lock().await;
            if self.index.seen() < Some(began)
                && let Err(error) = self.index.refresh().await
            {
                debug!("the private index cannot be fetched: {}", error.chain());
            }
        };
        let _ = timeout(PATIENCE, looking).await;
    }
}
