//! What the server shares with `up`, which runs it beside other work.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::config::ServeConfig;
use crate::error::Result;
use crate::index::ReservedNames;
use crate::progress::Progress;
use crate::server::history::Event;
use crate::shown::beginning;

/// How many events wait for the history, and how many characters each has.
const NOTED: usize = 50;
const LONGEST: usize = 500;

/// Tells how far a server is, and lets the server and the work beside it wake each other.
#[derive(Debug)]
pub struct Handle {
    /// Shows how far the fetch of the index is.
    pub progress: Arc<Progress>,
    clock: Clock,
    /// Reads the configuration again, where that is possible.
    source: Option<Source>,
    /// The names that are never taken from upstream, since it was.
    reserved: ArcSwapOption<ReservedNames>,
    /// Wakes the task that refreshes the index.
    pub(super) refresh_now: Notify,
    /// Wakes the task that refreshes the advisories.
    pub(super) refresh_advisories: Notify,
    /// Whether a push to upstream is for the work beside the server.
    pub(super) takes_pushes: bool,
    pushed: Notify,
    /// What happened and is not in the history yet.
    noted: Mutex<Vec<Event>>,
    listening: watch::Sender<Option<SocketAddr>>,
    is_ready: watch::Sender<bool>,
    may_fetch: watch::Sender<bool>,
}

/// What tells the time by which the policy decides.
struct Clock(Box<dyn Fn() -> SystemTime + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What reads the configuration.
struct Source(Box<dyn Fn() -> Result<ServeConfig> + Send + Sync>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl Default for Handle {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Handle {
    /// Makes the handle of a server that has not begun; `takes_pushes` if [`Handle::pushed`] will be waited for.
    pub fn new(takes_pushes: bool) -> Self {
        Self {
            progress: Arc::default(),
            clock: Clock(Box::new(SystemTime::now)),
            source: None,
            reserved: ArcSwapOption::empty(),
            refresh_now: Notify::new(),
            refresh_advisories: Notify::new(),
            takes_pushes,
            pushed: Notify::new(),
            noted: Mutex::default(),
            listening: watch::Sender::new(None),
            is_ready: watch::Sender::new(false),
            may_fetch: watch::Sender::new(true),
        }
    }

    /// Lets the policy decide by another clock than the machine's.
    #[must_use]
    pub fn with_clock(self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            clock: Clock(Box::new(now)),
            ..self
        }
    }

    /// Lets SIGHUP have the configuration read again, from this. Of it `policy` and `private.trusted` are applied.
    #[must_use]
    pub fn with_source(
        self,
        read: impl Fn() -> Result<ServeConfig> + Send + Sync + 'static,
    ) -> Self {
        Self {
            source: Some(Source(Box::new(read))),
            ..self
        }
    }

    /// Reads the configuration again; `None` where that is not possible.
    pub(super) fn reread(&self) -> Option<Result<ServeConfig>> {
        let Source(read) = self.source.as_ref()?;
        Some(read())
    }

    pub(super) fn set_reserved(&self, names: ReservedNames) {
        self.reserved.store(Some(Arc::new(names)));
    }

    /// Returns the names that are never taken from upstream, if the policy was read again since the start.
    pub fn reserved(&self) -> Option<Arc<ReservedNames>> {
        self.reserved.load_full()
    }

    /// Returns what time it is.
    pub(super) fn now(&self) -> SystemTime {
        (self.clock.0)()
    }

    /// Returns the same in the form in which the policy compares times.
    pub(super) fn timestamp(&self) -> Timestamp {
        Timestamp::try_from(self.now()).unwrap_or(Timestamp::MAX)
    }

    /// Waits until the server accepts connections and has its folder to itself; returns its address.
    pub async fn listening(&self) -> SocketAddr {
        let mut listening = self.listening.subscribe();
        loop {
            if let Some(address) = *listening.borrow_and_update() {
                return address;
            }
            // The sender is in `self`.
            let _ = listening.changed().await;
        }
    }

    /// Waits until there is an index to serve.
    pub async fn ready(&self) {
        until(&self.is_ready).await;
    }

    /// Waits for a webhook that tells of a push to upstream. Those that come while nobody waits are coalesced into one.
    pub async fn pushed(&self) {
        self.pushed.notified().await;
    }

    /// Has the index refreshed at once, and the advisories.
    pub fn refresh(&self) {
        self.refresh_now.notify_one();
        self.refresh_advisories.notify_one();
    }

    /// Has what happened in the history of the server: a text without secrets, of a `kind` as in `sync`. Of very many at once
    /// the first are kept.
    pub fn note(&self, kind: &str, is_failure: bool, text: &str) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < NOTED {
            noted.push(Event {
                at: Timestamp::now().as_second(),
                kind: kind.to_owned(),
                is_failure,
                text: beginning(text, LONGEST).into_owned(),
            });
        }
    }

    /// Returns what was noted since the last time.
    pub(super) fn take_noted(&self) -> Vec<Event> {
        std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps a server that has no index yet from fetching one until [`Handle::let_fetch`].
    pub fn hold_first_fetch(&self) {
        self.may_fetch.send_replace(false);
    }

    /// Lets the server fetch the index.
    pub fn let_fetch(&self) {
        self.may_fetch.send_replace(true);
    }

    pub(super) async fn may_fetch(&self) {
        until(&self.may_fetch).await;
    }

    pub(super) fn notify_pushed(&self) {
        self.pushed.notify_one();
    }

    pub(super) fn set_listening(&self, address: SocketAddr) {
        self.listening.send_replace(Some(address));
    }

    pub(super) fn set_ready(&self) {
        self.is_ready.send_replace(true);
    }
}

async fn until(condition: &watch::Sender<bool>) {
    let mut changes = condition.subscribe();
    while !*changes.borrow_and_update() {
        // It fails only where the sender is gone, which is borrowed here.
        let _ = changes.changed().await;
    }
}
