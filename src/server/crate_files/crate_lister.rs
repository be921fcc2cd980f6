//! Lists the files of one crate in a bucket, for its page: other servers of the bucket may have stored some, and the bucket may
//! have expired others.
//!
//! A listing is a request that is paid for, and may take long. So a crate is listed once a minute at most, a page waits a moment
//! and is then made of what is known, and a bucket that fails is left alone for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use super::bucket_files::BucketFiles;
use super::circuit_breaker::CircuitBreaker;
use crate::server::store::Store;

/// How long a page waits for a listing, which then goes on for the next one.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a listing may take.
const LONGEST: Duration = Duration::from_secs(5);
/// How many are made at the same time: whoever finds no room makes none.
const AT_ONCE: usize = 4;

/// Lists crates in a bucket.
pub(super) struct CrateLister {
    store: Arc<Store>,
    files: Arc<BucketFiles>,
    /// Pauses a bucket that fails, as one that may not be listed.
    breaker: CircuitBreaker,
    turns: Arc<Semaphore>,
    runtime: Handle,
}

impl CrateLister {
    pub(super) fn new(store: Arc<Store>, files: Arc<BucketFiles>) -> Self {
        Self {
            store,
            files,
            breaker: CircuitBreaker::new(1),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            runtime: Handle::current(),
        }
    }

    /// Lists the folder of a crate, if that is due and the bucket answers soon; says whether what is known of it is recent now.
    pub(super) async fn list_soon(self: &Arc<Self>, folder: &str) -> bool {
        if self.breaker.pause().is_none()
            && self.files.is_due(folder, Instant::now())
            && let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned()
        {
            let (lister, folder) = (Arc::clone(self), folder.to_owned());
            let listing = self.runtime.spawn(async move {
                lister.list(&folder).await;
                drop(turn);
            });
            // A listing that takes longer is there for the next page.
            let _ = timeout(PATIENCE, listing).await;
        }
        !self.files.is_due(folder, Instant::now())
    }

    async fn list(&self, folder: &str) {
        let Store::Bucket(bucket) = &*self.store else {
            return;
        };
        let began = Instant::now();
        let failure = match timeout(LONGEST, bucket.list_folder(folder)).await {
            Ok(Ok(files)) => {
                self.breaker.succeeded();
                for file in files {
                    self.files.saw(&file.path, file.size, began);
                }
                return self.files.listed(folder, began);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {}", humantime::format_duration(LONGEST)),
        };
        self.breaker.failed(None);
        // The hourly listing of all files warns of what is wrong with the bucket.
        debug!("{folder}: cannot list the bucket for the page of a crate: {failure}");
    }
}
