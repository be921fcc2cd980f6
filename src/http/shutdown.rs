//! Graceful shutdown: tells every connection to end after its requests in flight.
//!
//! `hyper_util::server::graceful` does this, too, with a `tokio::sync::watch` channel, whose lock all connections take
//! each time that one of them is polled. Here a connection reads a flag when it is polled, and is woken once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper_util::server::graceful::GracefulConnection;
use slab::Slab;

/// The shutdown of a server, as its connections see it.
#[derive(Clone, Default)]
pub(super) struct Shutdown(Arc<Flag>);

#[derive(Default)]
struct Flag {
    is_started: AtomicBool,
    waiting: Mutex<Slab<Waker>>,
}

impl Shutdown {
    /// Starts the shutdown of all connections.
    pub(super) fn start(&self) {
        self.0.is_started.store(true, Ordering::SeqCst);
        for (_, waker) in self.waiting().iter() {
            waker.wake_by_ref();
        }
    }

    /// Waits for the start. Only within one task: the first waker that it gets is the one that is woken.
    pub(super) fn started(&self) -> Started {
        Started {
            shutdown: self.clone(),
            slot: None,
        }
    }

    /// Drives a connection to its end, within one task.
    pub(super) fn watch<C: GracefulConnection + Unpin>(&self, connection: C) -> Watched<C> {
        Watched {
            connection,
            started: Some(self.started()),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Slab<Waker>> {
        let waiting = &self.0.waiting;
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is ready once the shutdown has started.
pub(super) struct Started {
    shutdown: Shutdown,
    /// Where its waker is.
    slot: Option<usize>,
}

impl Future for Started {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.slot.is_none() {
            let slot = self.shutdown.waiting().insert(context.waker().clone());
            self.slot = Some(slot);
        }
        // In this order: a start after the waker was stored wakes it.
        match self.shutdown.0.is_started.load(Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.shutdown.waiting().remove(slot);
        }
    }
}

/// A connection that is shut down gracefully.
pub(super) struct Watched<C> {
    connection: C,
    /// `None` once the connection was told.
    started: Option<Started>,
}

impl<C> Watched<C> {
    /// Returns the connection, which nobody tells any more.
    pub(super) fn into_inner(self) -> C {
        self.connection
    }
}

impl<C: GracefulConnection + Unpin> Future for Watched<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let started = self.started.as_mut();
        if started.is_some_and(|started| Pin::new(started).poll(context).is_ready()) {
            // Dropped, since it is needed once: its waker would stay in the list.
            self.started = None;
            Pin::new(&mut self.connection).graceful_shutdown();
        }
        // Also right after `graceful_shutdown`, which takes effect only when the connection is polled.
        Pin::new(&mut self.connection).poll(context)
    }
}
