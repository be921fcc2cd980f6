//! The turns of servers that push to one repository at the same time.
//!
//! Each push that another one overtakes is for nothing, and takes as much of the host as one that counts. So a server that has just
//! pushed lets the others go first: until the branch has moved again, or as long as their push may take. Meanwhile its own clients
//! come together for the next push.
//!
//! ```text
//! one server    push ─────▶ wait ───────────▶ push ─────▶ wait
//! another one        fetch, push ─────▶ wait ───────────▶ fetch, push
//! ```

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::debug;

use super::index::PrivateIndex;
use crate::git::ObjectId;

/// How long the others may take, at least and at most, and how often it is looked whether they pushed.
const SHORTEST: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(15);

/// What a server knows of the pushes of others.
#[derive(Debug, Default)]
pub struct Turns {
    /// Whether others pushed since the last time that they were waited for.
    are_others: bool,
    /// The last push of our own.
    own: Option<Push>,
}

/// A push of our own.
#[derive(Debug, Clone, Copy)]
struct Push {
    tip: ObjectId,
    ended: Instant,
    took: Duration,
}

impl Turns {
    /// Notes that a push of another server came first.
    pub fn note_other(&mut self) {
        self.are_others = true;
    }

    /// Notes a push of our own, which has moved the branch to this tip.
    pub fn note_own(&mut self, tip: ObjectId, began: Instant) {
        self.own = Some(Push {
            tip,
            ended: Instant::now(),
            took: began.elapsed(),
        });
    }

    /// Lets the others go first after a push of our own, where there are any.
    pub async fn wait(&mut self, index: &PrivateIndex) {
        let Some(own) = self.own.take().filter(|_| self.are_others) else {
            return;
        };
        let patience = (own.took * 2).clamp(SHORTEST, LONGEST);
        loop {
            if let Err(error) = index.peek().await {
                debug!("the private index cannot be fetched: {}", error.chain());
                return;
            }
            if index.tip() != Some(own.tip) {
                return;
            }
            if own.ended.elapsed() > patience {
                // They have nothing to push.
                self.are_others = false;
                return;
            }
            sleep(LOOK).await;
        }
    }
}
