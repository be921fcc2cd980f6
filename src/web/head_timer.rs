//! The time limit of a request's head. hyper makes a timer for each head and drops it when the head is there; here all of a
//! connection's share one, which is registered once and put off when it goes off too early.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// The timer of one connection.
#[derive(Clone)]
pub(super) struct HeadTimer(Arc<Mutex<Pin<Box<tokio::time::Sleep>>>>);

/// A time for which a connection's timer is to go off.
struct Deadline {
    timer: HeadTimer,
    at: tokio::time::Instant,
}

impl HeadTimer {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Box::pin(tokio::time::sleep(
            Duration::ZERO,
        )))))
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Deadline {
            timer: self.clone(),
            at: deadline.into(),
        })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.timer.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= self.at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_deadline_is_kept_whatever_became_of_the_one_before() {
        let timer = HeadTimer::new();
        let start = timer.now();
        let limit = Duration::from_secs(15);
        timer.sleep(limit).await;
        assert_eq!(timer.now() - start, limit);
        // Dropped after it was waited for, as when a head is there.
        let mut first = timer.sleep(limit);
        let begun = tokio::time::timeout(Duration::from_secs(10), first.as_mut()).await;
        assert!(begun.is_err());
        drop(first);
        timer.sleep(limit).await;
        assert_eq!(timer.now() - start, Duration::from_secs(15 + 10 + 15));
    }
}
