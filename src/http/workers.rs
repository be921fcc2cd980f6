//! Threads that serve connections, each with a runtime of its own, on which its connections stay.
//!
//! tokio's multi-thread runtime moves tasks between threads, so that a request often has to wake a sleeping one.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tracing::error;

/// How many further threads, for each of them, may wait for the disk: each takes memory of its own.
// tokio's default is 512 for each runtime.
const BLOCKING: usize = 16;

/// The threads. They end when this is dropped.
pub(super) struct Workers {
    handles: Vec<Handle>,
    next: usize,
    _until: watch::Sender<()>,
}

impl Workers {
    /// Starts this many threads; with none, the caller's runtime does the work.
    pub(super) fn start(count: usize) -> Self {
        let (until, ended) = watch::channel(());
        let started = (0..count).map(|_| start(ended.clone()));
        // One thread fewer serves all the same; with none the caller's runtime does.
        let handles = started.filter_map(|started| match started {
            Ok(handle) => Some(handle),
            Err(error) => {
                error!("cannot start a thread: {error}");
                None
            }
        });
        Self {
            handles: handles.collect(),
            next: 0,
            _until: until,
        }
    }

    /// Serves a connection on the next thread, in turn.
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
                // Nothing is ever sent: it ends when the sender is dropped.
                let _ = ended.changed().await;
            });
            // Dropping the runtime would wait for reads of a disk that hangs.
            runtime.shutdown_background();
        })?;
    Ok(handle)
}
