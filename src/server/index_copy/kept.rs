//! A connection that is kept from one look at the repository to the next, for some seconds: a host takes far longer to open one than to
//! list a branch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::git::ObjectId;
use crate::git::transport::KeptUploadPack;

/// How long a connection is kept that nobody uses: a host may close one that says nothing.
const UNUSED: Duration = Duration::from_secs(5);
/// How long one is used at all: the process at its other end keeps what it has read.
const USED: Duration = Duration::from_secs(60);
/// How many tips are remembered.
const TIPS: usize = 256;

/// The place of one connection.
#[derive(Default, Clone)]
pub(super) struct Kept(Arc<Mutex<Place>>);

#[derive(Default)]
struct Place {
    server: Option<KeptUploadPack>,
    /// When it was put there, and when its first use began.
    since: Option<Instant>,
    first: Option<Instant>,
    /// Where the branch was.
    tips: VecDeque<ObjectId>,
}

impl Kept {
    /// Takes the connection away, if there is one that is not too old.
    pub(super) fn take(&self) -> Option<KeptUploadPack> {
        let mut place = self.place();
        let server = place.server.take()?;
        let is_young = place.first.is_some_and(|first| first.elapsed() < USED);
        if !is_young {
            place.first = None;
            tokio::spawn(server.close());
            return None;
        }
        Some(server)
    }

    /// Puts a connection there, until it is taken or nobody came for it.
    pub(super) fn put(&self, server: KeptUploadPack) {
        let now = Instant::now();
        let mut place = self.place();
        place.server = Some(server);
        place.since = Some(now);
        place.first.get_or_insert(now);
        let kept = self.clone();
        tokio::spawn(async move {
            sleep(UNUSED).await;
            if let Some(server) = kept.take_if_since(now) {
                server.close().await;
            }
        });
    }

    /// Notes where the branch is.
    pub(super) fn note(&self, tip: ObjectId) {
        let mut place = self.place();
        if place.tips.len() == TIPS {
            place.tips.pop_front();
        }
        place.tips.push_back(tip);
    }

    /// Says whether the branch has been there, not long ago.
    pub(super) fn has_been_at(&self, tip: ObjectId) -> bool {
        self.place().tips.contains(&tip)
    }

    fn take_if_since(&self, since: Instant) -> Option<KeptUploadPack> {
        let mut place = self.place();
        if place.since != Some(since) {
            return None;
        }
        place.first = None;
        place.server.take()
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
