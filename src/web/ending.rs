//! Tells the connections that the server ends. A connection looks at a flag each time it is at work, and is woken once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper_util::server::graceful::GracefulConnection;
use slab::Slab;

/// The end of a server, as its connections hear of it.
#[derive(Clone, Default)]
pub(super) struct Ending(Arc<State>);

#[derive(Default)]
struct State {
    has_come: AtomicBool,
    idle: Mutex<Slab<Waker>>,
}

impl Ending {
    /// Lets all connections end with what they have in hand.
    pub(super) fn tell(&self) {
        self.0.has_come.store(true, Ordering::SeqCst);
        for (_, waker) in self.idle().iter() {
            waker.wake_by_ref();
        }
    }

    /// Serves a connection to its end, in one task: what wakes it stays the same.
    pub(super) fn watch<C: GracefulConnection>(&self, connection: C) -> Watched<C> {
        Watched {
            connection: Box::pin(connection),
            ending: self.clone(),
            place: None,
            is_told: false,
        }
    }

    fn idle(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that hears of the end.
pub(super) struct Watched<C> {
    connection: Pin<Box<C>>,
    ending: Ending,
    /// Where its waker is.
    place: Option<usize>,
    is_told: bool,
}

impl<C: GracefulConnection> Future for Watched<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.place.is_none() {
            let place = self.ending.idle().insert(context.waker().clone());
            self.place = Some(place);
        }
        // After the waker is in its place: an end that comes now wakes it.
        if !self.is_told && self.ending.0.has_come.load(Ordering::SeqCst) {
            self.is_told = true;
            self.connection.as_mut().graceful_shutdown();
        }
        self.connection.as_mut().poll(context)
    }
}

impl<C> Drop for Watched<C> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.ending.idle().remove(place);
        }
    }
}
