//! Tells the connections that the server ends. A connection looks at a flag each time it is at work, and is woken once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper_util::server::graceful::GracefulConnection;
use slab::Slab;

/// The end of a server, as its connections hear of it.
#[derive(Clone, Default)]
pub(super) struct Shutdown(Arc<Flag>);

#[derive(Default)]
struct Flag {
    has_come: AtomicBool,
    waiting: Mutex<Slab<Waker>>,
}

impl Shutdown {
    /// Lets all connections end with what they have in hand.
    pub(super) fn tell(&self) {
        self.0.has_come.store(true, Ordering::SeqCst);
        for (_, waker) in self.waiting().iter() {
            waker.wake_by_ref();
        }
    }

    /// Waits for the end, in one task: what wakes it stays the same.
    pub(super) fn come(&self) -> Come {
        Come {
            shutdown: self.clone(),
            place: None,
        }
    }

    /// Serves a connection to its end, in one task.
    pub(super) fn watch<C: GracefulConnection + Unpin>(&self, connection: C) -> Watched<C> {
        Watched {
            connection,
            come: Some(self.come()),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Slab<Waker>> {
        let waiting = &self.0.waiting;
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is there when the end is.
pub(super) struct Come {
    shutdown: Shutdown,
    /// Where its waker is.
    place: Option<usize>,
}

impl Future for Come {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.place.is_none() {
            let place = self.shutdown.waiting().insert(context.waker().clone());
            self.place = Some(place);
        }
        // After the waker is in its place: an end that comes now wakes it.
        match self.shutdown.0.has_come.load(Ordering::SeqCst) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Come {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shutdown.waiting().remove(place);
        }
    }
}

/// A connection that hears of the end.
pub(super) struct Watched<C> {
    connection: C,
    /// Until it has heard.
    come: Option<Come>,
}

impl<C: GracefulConnection + Unpin> Future for Watched<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let come = self.come.as_mut();
        if come.is_some_and(|come| Pin::new(come).poll(context).is_ready()) {
            self.come = None;
            Pin::new(&mut self.connection).graceful_shutdown();
        }
        Pin::new(&mut self.connection).poll(context)
    }
}
