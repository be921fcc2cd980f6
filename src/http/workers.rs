//! Threads that answer, one for each core. A connection stays with one of them, so that none waits for another's wake-up.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tracing::error;

/// How many further threads wait for the disk for each of them: each takes memory of its own.
const BLOCKING: usize = 16;

/// The threads; they end when it is dropped.
pub(super) struct Workers {
    handles: Vec<Handle>,
    next: usize,
    _until: watch::Sender<()>,
}

impl Workers {
    /// Starts so many threads; with none the work is done where it is asked for.
    pub(super) fn start(count: usize) -> Self {
        let (until, ended) = watch::channel(());
        let started = (0..count).map(|_| start(ended.clone()));
        let handles = started.filter_map(|started| match started {
            Ok(handle) => Some(handle),
            Err(error) => {
                error!("a thread cannot be started: {error}");
                None
            }
        });
        Self {
            handles: handles.collect(),
            next: 0,
            _until: until,
        }
    }

    /// Does a connection's work on the thread whose turn it is.
    pub(super) fn spawn(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        if self.handles.is_empty() {
            tokio::spawn(work);
            return;
        }
        self.next = (self.next + 1) % self.handles.len();
        self.handles[self.next].spawn(work);
    }
}

fn start(mut ended: watch::Receiver<()>) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("answer".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                // Nothing is ever sent: the sender goes.
                let _ = ended.changed().await;
            });
            runtime.shutdown_background();
        })?;
    Ok(handle)
}
