//! The places of those who upload a version: each one is whole in memory. Nobody's token has all of them, and who has arrived leaves
//! the place to others: a push takes all that wait for it along.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refusal::Refusal;

/// How many places there are, and how many of them a token has at most.
const ALL: usize = 16;
const OF_TOKEN: usize = 4;
/// How many mebibytes of memory there are for what has arrived, until it is published.
const ARRIVED: u32 = 128;
/// How long one waits for a place: cargo waits 30 seconds for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The places.
pub struct Uploads {
    all: Arc<Semaphore>,
    of_tokens: Mutex<HashMap<String, Weak<Semaphore>>>,
    arrived: Arc<Semaphore>,
}

/// A place, until it is dropped.
pub struct Place {
    _of_token: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// The memory of an upload that has arrived, until it is dropped.
pub struct Arrived {
    _memory: OwnedSemaphorePermit,
}

async fn in_time<T>(waiting: impl Future<Output = Option<T>>) -> Result<T, Refusal> {
    let end = timeout(PATIENCE, waiting).await.ok().flatten();
    end.ok_or_else(|| Refusal::unavailable("too many versions are being uploaded; try again"))
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            of_tokens: Mutex::default(),
            arrived: Arc::new(Semaphore::new(ARRIVED as usize)),
        }
    }
}

impl Uploads {
    /// Waits for a place for a token of this name.
    ///
    /// # Errors
    /// That there is none, after some seconds.
    pub async fn place(&self, token: &str) -> Result<Place, Refusal> {
        let of_token = self.of_token(token);
        let waiting = async {
            Some(Place {
                _of_token: of_token.acquire_owned().await.ok()?,
                _of_all: Arc::clone(&self.all).acquire_owned().await.ok()?,
            })
        };
        in_time(waiting).await
    }

    /// Takes memory for an upload of so many bytes that has arrived whole, for its place.
    ///
    /// # Errors
    /// That there is none, after some seconds.
    pub async fn arrived(&self, place: Place, bytes: usize) -> Result<Arrived, Refusal> {
        let mebibytes = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(ARRIVED);
        let memory = Arc::clone(&self.arrived).acquire_many_owned(mebibytes.clamp(1, ARRIVED));
        let arrived = in_time(async {
            let _memory = memory.await.ok()?;
            Some(Arrived { _memory })
        })
        .await;
        drop(place);
        arrived
    }

    fn of_token(&self, token: &str) -> Arc<Semaphore> {
        let mut of_tokens = self
            .of_tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        of_tokens.retain(|_, places| places.strong_count() > 0);
        if let Some(places) = of_tokens.get(token).and_then(Weak::upgrade) {
            return places;
        }
        let places = Arc::new(Semaphore::new(OF_TOKEN));
        of_tokens.insert(token.to_owned(), Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_that_holds_all_its_places_leaves_those_of_others() {
        let uploads = Uploads::default();
        let mut held = Vec::new();
        for _ in 0..OF_TOKEN {
            held.push(uploads.place("slow").await.unwrap());
        }
        assert!(uploads.place("slow").await.is_err());
        let _other = uploads.place("other").await.unwrap();
        held.pop();
        held.push(uploads.place("slow").await.unwrap());
        drop(held);
        let _again = uploads.place("slow").await.unwrap();
        assert_eq!(uploads.of_tokens.lock().unwrap().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_arrived_leaves_its_place_and_takes_memory() {
        let uploads = Uploads::default();
        let mut arrived = Vec::new();
        for _ in 0..3 * OF_TOKEN {
            let place = uploads.place("ci").await.unwrap();
            arrived.push(uploads.arrived(place, 3_000).await.unwrap());
        }
        let large = uploads.place("ci").await.unwrap();
        assert!(
            uploads
                .arrived(large, (ARRIVED as usize) << 20)
                .await
                .is_err()
        );
        arrived.clear();
        let large = uploads.place("ci").await.unwrap();
        uploads.arrived(large, usize::MAX).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn all_tokens_together_have_so_many_places_and_who_waits_longer_is_told() {
        let uploads = Uploads::default();
        let mut held = Vec::new();
        for number in 0..ALL {
            held.push(uploads.place(&number.to_string()).await.unwrap());
        }
        assert!(uploads.place("late").await.is_err());
        held.pop();
        uploads.place("late").await.unwrap();
    }
}
