//! Closes connections that stall: those that send no request, send the head of one too slowly, or, over HTTP/2, answer
//! PINGs but read nothing of their responses.
//!
//! Progress is counted, and the count is compared now and then. hyper's `header_read_timeout`, tower-http's
//! `TimeoutBody` and the like start a timer for each request or frame; here a connection has one, which no request
//! touches. Bodies and the socket ([`ProgressIo`](super::progress_io::ProgressIo)) both report: what a body has handed
//! over may wait in buffers for long.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Response;
use futures_util::TryFutureExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// One step of progress, as it is counted.
// Steps wrap around after 2^32 of them, which does no harm: two checks are only compared, and are seconds apart.
const STEP: u64 = 1 << 32;

/// The progress of a connection, in one number. The upper half counts steps, such as a request that arrived or a piece
/// that was sent; the lower half counts activities under way, for which the client is not to blame.
#[derive(Clone, Default)]
pub(super) struct StallGuard(Arc<AtomicU64>);

/// Whose turn it is once a response has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// The server, as far as its body shows: over HTTP/1 the socket reports whether the client reads.
    Server,
    /// The client, unless its next piece is not there yet: over HTTP/2 the client opens the window of each response.
    Client,
}

/// Something that may be under way: while it is, the client need not do anything, or another timeout watches it.
pub(super) struct Activity {
    guard: StallGuard,
    is_active: bool,
}

/// The body of a response whose pieces are counted.
pub(super) struct GuardedBody<B> {
    body: B,
    waits: WaitsFor,
    activity: Activity,
}

/// A connection whose progress is checked now and then.
pub(super) struct Guarded<C> {
    connection: Pin<Box<C>>,
    guard: StallGuard,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer was polled, and will wake the connection: requests need not poll it again.
    is_timing: bool,
    /// The progress at the last check.
    last: u64,
}

impl StallGuard {
    /// Watches over one request and its response. Not an `async fn`: the future of one would hold `answer` twice.
    pub(super) fn answer<B>(
        self,
        waits: WaitsFor,
        answer: impl Future<Output = Result<Response<B>, Infallible>>,
    ) -> impl Future<Output = Result<Response<GuardedBody<B>>, Infallible>> {
        let mut activity = Activity::new(self);
        activity.start();
        answer.map_ok(move |response| response.map(|body| GuardedBody::new(body, waits, activity)))
    }

    /// Drives a connection to its end, or until it makes no progress between two checks, which are `limit` apart.
    pub(super) fn watch<C: Future>(&self, limit: Duration, connection: C) -> Guarded<C> {
        Guarded {
            connection: Box::pin(connection),
            guard: self.clone(),
            limit,
            timer: Box::pin(sleep(limit)),
            is_timing: false,
            last: 0,
        }
    }

    fn add(&self, change: u64) {
        // Relaxed: the number stands for itself, and orders no other memory.
        self.0.fetch_add(change, Ordering::Relaxed);
    }
}

impl Activity {
    /// Creates an activity that is not under way.
    pub(super) fn new(guard: StallGuard) -> Self {
        let is_active = false;
        Self { guard, is_active }
    }

    /// Marks the activity as under way.
    pub(super) fn start(&mut self) {
        if !self.is_active {
            self.guard.add(STEP + 1);
            self.is_active = true;
        }
    }

    /// Marks the activity as over: it is the client's turn.
    pub(super) fn stop(&mut self) {
        if self.is_active {
            // The lower half is at least 1 here, so that taking 1 off borrows nothing from the upper half.
            self.guard.add(STEP - 1);
            self.is_active = false;
        }
    }

    /// Counts a step of progress.
    pub(super) fn progress(&self) {
        self.guard.add(STEP);
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<C: Future> Future for Guarded<C> {
    /// `None` if the connection stalled.
    type Output = Option<C::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(end) = self.connection.as_mut().poll(context) {
            return Poll::Ready(Some(end));
        }
        if self.is_timing && !self.timer.is_elapsed() {
            return Poll::Pending;
        }
        self.is_timing = true;
        while self.timer.as_mut().poll(context).is_ready() {
            let progress = self.guard.0.load(Ordering::Relaxed);
            let active = progress % STEP;
            if progress == self.last && active == 0 {
                return Poll::Ready(None);
            }
            self.last = progress;
            // Then polled once more: resetting a timer does not register the waker.
            let next = Instant::now() + self.limit;
            self.timer.as_mut().reset(next);
        }
        Poll::Pending
    }
}

impl<B> GuardedBody<B> {
    fn new(body: B, waits: WaitsFor, mut activity: Activity) -> Self {
        if waits == WaitsFor::Client {
            activity.stop();
        }
        Self {
            body,
            waits,
            activity,
        }
    }
}

impl<B: HttpBody + Unpin> HttpBody for GuardedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if self.waits == WaitsFor::Client {
            if frame.is_pending() {
                self.activity.start();
            } else {
                self.activity.stop();
                self.activity.progress();
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::pending;

    use http_body_util::BodyExt as _;
    use tokio::time::Instant;

    use super::*;
    use crate::http::Body;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_progress_is_closed() {
        let start = Instant::now();
        let guard = StallGuard::default();
        assert!(guard.watch(LIMIT, pending::<()>()).await.is_none());
        assert_eq!(start.elapsed(), LIMIT);
        assert!(guard.watch(LIMIT, sleep(LIMIT / 2)).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_server_does_not_count_against_the_client() {
        let guard = StallGuard::default();
        let slow = async {
            sleep(LIMIT * 5).await;
            Ok(Response::new(Body::from(bytes::Bytes::from_static(b"x"))))
        };
        let connection = async {
            let body = guard
                .clone()
                .answer(WaitsFor::Client, slow)
                .await
                .unwrap()
                .into_body();
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(bytes, "x");
        };
        assert!(guard.watch(LIMIT, connection).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_the_socket_watches_over_may_take_its_time() {
        let guard = StallGuard::default();
        let answer = async { Ok(Response::new(Body::from(bytes::Bytes::from_static(b"x")))) };
        let connection = async {
            let _kept = guard
                .clone()
                .answer(WaitsFor::Server, answer)
                .await
                .unwrap();
            sleep(LIMIT * 5).await;
        };
        assert!(guard.watch(LIMIT, connection).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_nobody_reads_does_not_hold_the_connection() {
        let guard = StallGuard::default();
        let answer = async { Ok(Response::new(Body::from(bytes::Bytes::from_static(b"x")))) };
        let start = Instant::now();
        let connection = async {
            let _kept = guard
                .clone()
                .answer(WaitsFor::Client, answer)
                .await
                .unwrap();
            pending::<()>().await;
        };
        assert!(guard.watch(LIMIT, connection).await.is_none());
        assert_eq!(start.elapsed(), LIMIT * 2);
    }
}
