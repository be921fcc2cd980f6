//! One search for a file, which all share that ask for it at the same time.

use std::fs::File;
use std::sync::Arc;

use tokio::sync::watch;

use super::body::Coming;
use super::{Body, Held, Unavailable};

/// How many bytes there must be before a body begins: what is smaller is whole, and right, before its first byte leaves.
const HEAD_START: u64 = 256 << 10;

/// How far a search is.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Nothing is known.
    Looking,
    /// It comes from far away; what was released of it can be read.
    Coming {
        file: Arc<File>,
        /// Its size, where the other side said it.
        total: Option<u64>,
        released: u64,
    },
    /// It is here and verified; whether it had to be fetched.
    Held(Held, bool),
    /// It cannot be had.
    Failed(Unavailable),
}

/// Somebody who waits for a file.
pub(super) struct Passenger(watch::Receiver<Stage>);

impl Passenger {
    pub(super) fn new(stage: watch::Receiver<Stage>) -> Self {
        Self(stage)
    }

    /// Returns the body as soon as it can begin.
    pub(super) async fn body(mut self) -> Result<Body, Unavailable> {
        let may_begin = |stage: &Stage| match stage {
            Stage::Looking => false,
            Stage::Coming { released, .. } => *released >= HEAD_START,
            Stage::Held(..) | Stage::Failed(_) => true,
        };
        let stage = match self.0.wait_for(may_begin).await {
            Ok(stage) => stage.clone(),
            Err(_) => return Err(broken_off()),
        };
        match stage {
            Stage::Held(held, _) => Ok(held.into_body()),
            Stage::Coming { file, total, .. } => Ok(Body::Coming(Coming::new(file, total, self.0))),
            Stage::Failed(why) => Err(why),
            Stage::Looking => Err(broken_off()),
        }
    }

    /// Waits until all is done, also the keeping; says whether the file had to be fetched.
    pub(super) async fn end(mut self) -> Result<bool, Unavailable> {
        while self.0.changed().await.is_ok() {}
        match &*self.0.borrow() {
            Stage::Held(_, fetched) => Ok(*fetched),
            Stage::Failed(why) => Err(why.clone()),
            Stage::Looking | Stage::Coming { .. } => Err(broken_off()),
        }
    }
}

fn broken_off() -> Unavailable {
    Unavailable::Upstream("the search broke off".to_owned())
}
