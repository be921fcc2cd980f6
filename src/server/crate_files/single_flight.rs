//! One search for a file, which all share that ask for it at the same time.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::body::Coming;
use super::{Body, Unavailable, VerifiedFile};
use crate::index::Checksum;

/// How many bytes there must be before a body begins: what is smaller is whole, and right, before its first byte leaves.
const HEAD_START: u64 = 256 << 10;

/// How far a search is.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Nothing is known.
    Looking,
    /// It is not kept; upstream is asked, or will be.
    Asking,
    /// It comes from far away; what was released of it can be read.
    Coming {
        file: Arc<File>,
        /// Its size, as the other side said it.
        total: u64,
        released: u64,
    },
    /// It is here and verified; whether it had to be fetched.
    Held(VerifiedFile, bool),
    /// It cannot be had.
    Failed(Unavailable),
}

/// The searches under way, one at most for each checksum.
#[derive(Default)]
pub(super) struct SingleFlight(Mutex<HashMap<Checksum, watch::Sender<Stage>>>);

/// Somebody who waits for a file.
pub(super) struct Waiter {
    stage: watch::Receiver<Stage>,
    /// The file was here when they came.
    found_it_here: bool,
}

impl SingleFlight {
    /// Joins the flight of a file; returns also its stage where it has yet to be flown.
    pub(super) fn join(&self, checksum: Checksum) -> (Waiter, Option<watch::Sender<Stage>>) {
        let mut flights = self.lock();
        if let Some(stage) = flights.get(&checksum) {
            return (Waiter::new(stage), None);
        }
        let (stage, _) = watch::channel(Stage::Looking);
        flights.insert(checksum, stage.clone());
        (Waiter::new(&stage), Some(stage))
    }

    /// Returns the size of a file that a flight has found, and may yet be keeping.
    pub(super) fn found(&self, checksum: Checksum) -> Option<u64> {
        match &*self.lock().get(&checksum)?.borrow() {
            Stage::Held(held, _) => Some(held.size()),
            _ => None,
        }
    }

    /// Ends a flight: who asks from now on starts another.
    pub(super) fn land(&self, checksum: Checksum, stage: &watch::Sender<Stage>) {
        let mut flights = self.lock();
        if flights
            .get(&checksum)
            .is_some_and(|listed| listed.same_channel(stage))
        {
            flights.remove(&checksum);
        }
    }

    /// Ends a flight that nobody waits for; says no where somebody does.
    pub(super) fn abandon(&self, checksum: Checksum, stage: &watch::Sender<Stage>) -> bool {
        // Nobody joins while we look.
        let mut flights = self.lock();
        let is_empty = stage.receiver_count() == 0;
        if is_empty {
            flights.remove(&checksum);
        }
        is_empty
    }

    /// Waits until every flight under way has ended.
    pub(super) async fn finish(&self) {
        let stages: Vec<_> = self.lock().values().map(watch::Sender::subscribe).collect();
        for mut stage in stages {
            while stage.changed().await.is_ok() {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Checksum, watch::Sender<Stage>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    fn new(stage: &watch::Sender<Stage>) -> Self {
        let stage = stage.subscribe();
        let found_it_here = matches!(*stage.borrow(), Stage::Held(..));
        Self {
            stage,
            found_it_here,
        }
    }

    /// Says whether the file was held when it was asked for, as soon as that is known.
    pub(super) async fn is_hit(&mut self) -> bool {
        let is_known = |stage: &Stage| !matches!(stage, Stage::Looking);
        match self.stage.wait_for(is_known).await.as_deref() {
            Ok(Stage::Held(_, fetched)) => self.found_it_here || !fetched,
            _ => false,
        }
    }

    /// Returns the body as soon as it can begin.
    pub(super) async fn body(&mut self) -> Result<Body, Unavailable> {
        let may_begin = |stage: &Stage| match stage {
            Stage::Looking | Stage::Asking => false,
            Stage::Coming { released, .. } => *released >= HEAD_START,
            Stage::Held(..) | Stage::Failed(_) => true,
        };
        match self.stage.wait_for(may_begin).await {
            Ok(_) => {}
            Err(_) => return Err(broken_off()),
        }
        self.begun().unwrap_or_else(|| Err(broken_off()))
    }

    /// Returns the body, or why there is none, where that can be said now.
    pub(super) fn begun(&self) -> Option<Result<Body, Unavailable>> {
        let stage = self.stage.borrow().clone();
        match stage {
            Stage::Looking | Stage::Asking => None,
            Stage::Held(held, _) => Some(Ok(held.into_body())),
            Stage::Coming { file, total, .. } => {
                let coming = Coming::new(file, total, self.stage.clone());
                Some(Ok(Body::Coming(coming)))
            }
            Stage::Failed(why) => Some(Err(why)),
        }
    }

    /// Waits until all is done, also the keeping; says whether the file had to be fetched.
    pub(super) async fn end(mut self) -> Result<bool, Unavailable> {
        while self.stage.changed().await.is_ok() {}
        match &*self.stage.borrow() {
            Stage::Held(_, fetched) => Ok(*fetched),
            Stage::Failed(why) => Err(why.clone()),
            Stage::Looking | Stage::Asking | Stage::Coming { .. } => Err(broken_off()),
        }
    }
}

fn broken_off() -> Unavailable {
    Unavailable::Upstream("the search broke off".to_owned())
}
