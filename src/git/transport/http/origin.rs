//! Whether the host that chooses URLs is in a private network, looked up once.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// How long a request waits for the look-up. Behind a firewall names of outside are often not known, and resolvers say so late.
const LONGEST: Duration = Duration::from_secs(2);
/// How long a look-up that failed stands.
const FAILED_FOR: Duration = Duration::from_secs(60);

/// What was looked up; all who ask share it.
#[derive(Debug, Default)]
pub(super) struct OriginLookup {
    found: Mutex<Option<Found>>,
    /// Held by the one who looks it up.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    is_private: bool,
    /// When it is looked up again; `None` if it stays.
    until: Option<Instant>,
}

impl OriginLookup {
    /// Returns what is known; `None` if that has to be looked up.
    pub(super) fn known(&self) -> Option<bool> {
        let found = (*self.found())?;
        let is_fresh = found.until.is_none_or(|until| Instant::now() < until);
        is_fresh.then_some(found.is_private)
    }

    /// Returns what is known, or looks it up. A host that cannot be found within two seconds counts as public for a minute.
    pub(super) async fn get(&self, look_up: impl Future<Output = io::Result<bool>>) -> bool {
        if let Some(known) = self.known() {
            return known;
        }
        let _turn = self.turn.lock().await;
        // Another request may have looked it up meanwhile.
        if let Some(known) = self.known() {
            return known;
        }
        let (is_private, until) = match timeout(LONGEST, look_up).await {
            Ok(Ok(is_private)) => (is_private, None),
            Ok(Err(_)) | Err(_) => (false, Some(Instant::now() + FAILED_FOR)),
        };
        *self.found() = Some(Found { is_private, until });
        is_private
    }

    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_fails_is_not_waited_for_by_each_request() {
        let origin = OriginLookup::default();
        let start = Instant::now();
        // Both ask at once, and nothing answers.
        let both = tokio::join!(origin.get(pending()), origin.get(pending()));
        assert_eq!(both, (false, false));
        assert!(!origin.get(pending()).await);
        assert_eq!(start.elapsed(), LONGEST);
        // An error stands as long.
        advance(FAILED_FOR).await;
        assert!(
            !origin
                .get(ready(Err(io::Error::other("no such host"))))
                .await
        );
        assert!(!origin.get(ready(Ok(true))).await);
        advance(FAILED_FOR).await;
        assert!(origin.get(ready(Ok(true))).await);
        // What was found stays.
        advance(FAILED_FOR).await;
        assert_eq!(origin.known(), Some(true));
    }
}
