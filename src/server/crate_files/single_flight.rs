//! Coalesces requests: at most one search is under way for each checksum, and all requests for the file share it.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::body::{Body, InFlight};
use super::stage::Stage;
use super::unavailable::Unavailable;
use super::verified_file::VerifiedFile;
use crate::index::Checksum;

/// How many bytes there must be before a body begins: a smaller file is verified before its first byte is sent.
const HEAD_START: u64 = 256 << 10;
/// How long a body waits for those, and a small file is held whole. What arrives more slowly is passed on as it comes,
/// since clients give up where nothing comes.
pub(super) const WHOLE_WITHIN: Duration = Duration::from_secs(3);

/// The searches under way.
///
/// `moka`'s `try_get_with` and `quick_cache`'s `get_or_insert_async` coalesce requests as well, but hand out a value
/// when it is whole: here clients read what has arrived.
#[derive(Clone, Default)]
pub(super) struct SingleFlight(Arc<Mutex<HashMap<Checksum, watch::Sender<Stage>>>>);

/// A search under way, held by the task that carries it out. It ends when this is dropped, also by a panic.
pub(super) struct Flight {
    all: SingleFlight,
    checksum: Checksum,
    stage: watch::Sender<Stage>,
}

/// A request that waits for a file.
pub(super) struct Waiter {
    stage: watch::Receiver<Stage>,
    /// The file was here when the request came.
    found_it_here: bool,
}

impl SingleFlight {
    /// Joins the search for a file; also returns the flight if the caller has to carry it out.
    pub(super) fn join(&self, checksum: Checksum) -> (Waiter, Option<Flight>) {
        let mut flights = self.lock();
        if let Some(stage) = flights.get(&checksum) {
            return (Waiter::new(stage), None);
        }
        let (stage, _) = watch::channel(Stage::Searching);
        flights.insert(checksum, stage.clone());
        let waiter = Waiter::new(&stage);
        let flight = Flight {
            all: self.clone(),
            checksum,
            stage,
        };
        (waiter, Some(flight))
    }

    /// Returns the size of a file that a search has found, and may yet be storing.
    pub(super) fn found(&self, checksum: Checksum) -> Option<u64> {
        match &*self.lock().get(&checksum)?.borrow() {
            Stage::Ready { file, .. } => Some(file.size()),
            _ => None,
        }
    }

    /// Waits until every search under way has ended.
    pub(super) async fn drain(&self) {
        let stages: Vec<_> = self.lock().values().map(watch::Sender::subscribe).collect();
        for mut stage in stages {
            // Ends when the last sender is dropped: the list's when the flight lands, and then the flight's own.
            while stage.changed().await.is_ok() {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Checksum, watch::Sender<Stage>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Tells the waiters that the store does not have the file.
    pub(super) fn miss(&self) {
        // `send` drops its value while nobody listens; whoever joins later must find it.
        self.stage.send_replace(Stage::Miss);
    }

    /// Tells the waiters how many bytes of the file they may read.
    pub(super) fn release(&self, file: &Arc<File>, total: u64, released: u64) {
        self.stage.send_replace(Stage::InFlight {
            file: Arc::clone(file),
            total,
            released,
        });
    }

    /// Gives the waiters the verified file.
    pub(super) fn ready(&self, file: VerifiedFile, fetched: bool) {
        self.stage.send_replace(Stage::Ready { file, fetched });
    }

    /// Tells the waiters why they cannot have the file.
    pub(super) fn fail(&self, why: Unavailable) {
        // Before the waiters are told: a client that is told and retries starts another search.
        self.land();
        self.stage.send_replace(Stage::Failed(why));
    }

    /// Waits until nobody waits for the file any more, and ends the flight: the next request starts another.
    pub(super) async fn abandoned(&self) {
        loop {
            // `closed` may be stale when it returns: somebody may have joined since.
            self.stage.closed().await;
            // Nobody can join while the lock is held.
            let mut flights = self.all.lock();
            if self.stage.receiver_count() == 0 {
                flights.remove(&self.checksum);
                return;
            }
        }
    }

    /// Removes the flight from the list: the next request starts another.
    fn land(&self) {
        let mut flights = self.all.lock();
        // After `fail` or `abandoned` another flight may have this place.
        let listed = flights.get(&self.checksum);
        if listed.is_some_and(|listed| listed.same_channel(&self.stage)) {
            flights.remove(&self.checksum);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.land();
    }
}

impl Waiter {
    fn new(stage: &watch::Sender<Stage>) -> Self {
        let stage = stage.subscribe();
        let found_it_here = matches!(*stage.borrow(), Stage::Ready { .. });
        Self {
            stage,
            found_it_here,
        }
    }

    /// Says whether the request is a cache hit, as soon as that is known.
    pub(super) async fn is_hit(&mut self) -> bool {
        let is_known = |stage: &Stage| !matches!(stage, Stage::Searching);
        match self.stage.wait_for(is_known).await.as_deref() {
            Ok(Stage::Ready { fetched, .. }) => self.found_it_here || !fetched,
            _ => false,
        }
    }

    /// Returns the body as soon as it can begin.
    pub(super) async fn body(&mut self) -> Result<Body, Unavailable> {
        match timeout(WHOLE_WITHIN, self.body_of(HEAD_START)).await {
            Ok(body) => body,
            // It arrives slowly.
            Err(_) => self.body_of(1).await,
        }
    }

    /// Returns the body as soon as so many bytes may be sent, or all.
    async fn body_of(&mut self, least: u64) -> Result<Body, Unavailable> {
        let may_begin = |stage: &Stage| match stage {
            Stage::Searching | Stage::Miss => false,
            Stage::InFlight { released, .. } => *released >= least,
            Stage::Ready { .. } | Stage::Failed(_) => true,
        };
        match self.stage.wait_for(may_begin).await {
            Ok(_) => {}
            Err(_) => return Err(aborted()),
        }
        self.begun().unwrap_or_else(|| Err(aborted()))
    }

    /// Returns the body, or why there is none, if that is known by now.
    pub(super) fn begun(&self) -> Option<Result<Body, Unavailable>> {
        let stage = self.stage.borrow().clone();
        match stage {
            Stage::Searching | Stage::Miss => None,
            Stage::Ready { file, .. } => Some(Ok(file.into())),
            Stage::InFlight { file, total, .. } => {
                let body = InFlight::new(file, total, self.stage.clone());
                Some(Ok(Body::InFlight(body)))
            }
            Stage::Failed(why) => Some(Err(why)),
        }
    }

    /// Waits until all is done and the file is stored; says whether it had to be fetched.
    pub(super) async fn end(mut self) -> Result<bool, Unavailable> {
        while self.stage.changed().await.is_ok() {}
        match &*self.stage.borrow() {
            Stage::Ready { fetched, .. } => Ok(*fetched),
            Stage::Failed(why) => Err(why.clone()),
            Stage::Searching | Stage::Miss | Stage::InFlight { .. } => Err(aborted()),
        }
    }
}

fn aborted() -> Unavailable {
    Unavailable::Upstream("the fetch was aborted".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use futures_util::FutureExt as _;

    use super::*;

    const FILE: Checksum = Checksum::from_bytes([1; 32]);

    fn verified() -> VerifiedFile {
        VerifiedFile::Memory(Bytes::from_static(b"crate"))
    }

    async fn text(waiter: &mut Waiter) -> Bytes {
        match waiter.body().await {
            Ok(Body::Whole(bytes)) => bytes,
            _ => panic!("the file is in memory"),
        }
    }

    #[tokio::test]
    async fn requests_that_arrive_meanwhile_are_coalesced() {
        let flights = SingleFlight::default();
        let (mut first, flight) = flights.join(FILE);
        let flight = flight.unwrap();
        let (mut second, none) = flights.join(FILE);
        assert!(none.is_none());
        flight.miss();
        flight.ready(verified(), true);
        // For whoever joins now it is a hit, though it had to be fetched.
        let (mut third, none) = flights.join(FILE);
        assert!(none.is_none());
        assert_eq!(flights.found(FILE), Some(5));
        drop(flight);
        let hits =
            [&mut first, &mut second, &mut third].map(|waiter| waiter.is_hit().now_or_never());
        assert_eq!(hits, [Some(false), Some(false), Some(true)]);
        for waiter in [&mut first, &mut second, &mut third] {
            assert_eq!(text(waiter).await, "crate");
        }
        assert_eq!(first.end().await, Ok(true));
        assert!(flights.join(FILE).1.is_some());
    }

    #[tokio::test]
    async fn a_client_that_is_told_of_a_failure_and_retries_starts_another_search() {
        let flights = SingleFlight::default();
        let (mut waiter, flight) = flights.join(FILE);
        let flight = flight.unwrap();
        flight.fail(Unavailable::Missing("404".to_owned()));
        assert!(matches!(waiter.body().await, Err(Unavailable::Missing(_))));
        let (_, again) = flights.join(FILE);
        let again = again.unwrap();
        // The end of the first is not that of the second.
        drop(flight);
        assert!(flights.join(FILE).1.is_none());
        drop(again);
        assert!(flights.join(FILE).1.is_some());
    }

    #[tokio::test]
    async fn an_aborted_search_is_over_and_is_no_success() {
        let flights = SingleFlight::default();
        let (mut waiter, flight) = flights.join(FILE);
        drop(flight);
        assert!(!waiter.is_hit().await);
        assert!(waiter.body().await.is_err());
        flights.drain().await;
    }

    #[tokio::test]
    async fn a_search_is_abandoned_once_nobody_waits() {
        let flights = SingleFlight::default();
        let (waiter, flight) = flights.join(FILE);
        let flight = flight.unwrap();
        assert!(flight.abandoned().now_or_never().is_none());
        drop(waiter);
        assert!(flight.abandoned().now_or_never().is_some());
        assert!(flights.join(FILE).1.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_arrives_slowly_begins_with_what_there_is() {
        let flights = SingleFlight::default();
        let (mut waiter, flight) = flights.join(FILE);
        let flight = flight.unwrap();
        let file = Arc::new(tempfile::tempfile().unwrap());
        flight.release(&file, HEAD_START, 1);
        let asked = tokio::time::Instant::now();
        assert_eq!(waiter.body().await.unwrap().size(), HEAD_START);
        assert_eq!(asked.elapsed().as_secs(), WHOLE_WITHIN.as_secs());
    }

    #[tokio::test]
    async fn a_body_begins_with_a_head_start_or_with_the_whole_file() {
        let flights = SingleFlight::default();
        let (mut waiter, flight) = flights.join(FILE);
        let flight = flight.unwrap();
        let file = Arc::new(tempfile::tempfile().unwrap());
        flight.release(&file, HEAD_START * 2, HEAD_START - 1);
        assert!(waiter.body().now_or_never().is_none());
        flight.release(&file, HEAD_START * 2, HEAD_START);
        let body = waiter.body().now_or_never().unwrap().unwrap();
        assert_eq!(body.size(), HEAD_START * 2);
    }
}
