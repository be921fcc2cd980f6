//! A connection that is made before it is known whether it will be needed, and on which nothing has been asked for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// How long a connection is kept: a server may close one that says nothing.
const KEPT: Duration = Duration::from_secs(5);

/// Place for one such connection. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Ahead<T>(Mutex<Option<Begun<T>>>);

#[derive(Debug)]
struct Begun<T> {
    since: Instant,
    connecting: JoinSet<Option<T>>,
}

impl<T> Default for Ahead<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + 'static> Ahead<T> {
    /// Begins to connect, in a task of its own; drops what was there.
    pub(super) fn begin(&self, connecting: impl Future<Output = Option<T>> + Send + 'static) {
        let since = Instant::now();
        // Not a handle: this one ends the task when it is dropped.
        let mut task = JoinSet::new();
        task.spawn(connecting);
        let connecting = task;
        *self.begun() = Some(Begun { since, connecting });
    }

    /// Says whether there is a connection, or one is being made.
    pub(super) fn is_begun(&self) -> bool {
        let begun = self.begun();
        begun
            .as_ref()
            .is_some_and(|begun| begun.since.elapsed() < KEPT)
    }

    /// Takes the connection, once it is made; `None` where there is none, or it could not be made.
    pub(super) async fn take(&self) -> Option<T> {
        let begun = self.begun().take();
        let mut begun = begun.filter(|begun| begun.since.elapsed() < KEPT)?;
        begun.connecting.join_next().await?.ok()?
    }

    fn begun(&self) -> MutexGuard<'_, Option<Begun<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
