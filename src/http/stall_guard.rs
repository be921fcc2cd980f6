//! The pace of a connection. One on which nothing moves is closed: it asks for nothing, sends the head of a request too slowly,
//! or keeps itself alive below HTTP/2 and takes nothing of its answers.
//!
//! What moves is counted, and looked at now and then: no request costs a timer. Bodies and the socket both tell of it, since an
//! answer that is out of the body's hands may wait for long in buffers.

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

/// One step, in the number of all moves.
const STEP: u64 = 1 << 32;

/// What goes on in a connection: steps, in the upper half, such as a request that came or a piece that was taken; in the lower
/// half, turns for which the client need do nothing now, or is watched over otherwise.
#[derive(Clone, Default)]
pub(super) struct StallGuard(Arc<AtomicU64>);

/// For whom an answer waits that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// For us: whether the client takes it, the socket tells.
    Server,
    /// For the client, but while there is no piece of it.
    Client,
}

/// An answer under way, or a piece of it.
pub(super) struct Activity {
    guard: StallGuard,
    /// The client need do nothing now.
    is_active: bool,
}

/// The body of an answer whose pieces are counted.
pub(super) struct GuardedBody<B> {
    body: B,
    waits: WaitsFor,
    activity: Activity,
}

/// A connection that is looked at now and then.
pub(super) struct Guarded<C> {
    connection: Pin<Box<C>>,
    guard: StallGuard,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    is_timing: bool,
    /// The moves when it was looked at last.
    before: u64,
}

impl StallGuard {
    /// Answers one request. Not as an `async fn`, in which what is waited for has two places.
    pub(super) fn answer<B>(
        self,
        waits: WaitsFor,
        answer: impl Future<Output = Result<Response<B>, Infallible>>,
    ) -> impl Future<Output = Result<Response<GuardedBody<B>>, Infallible>> {
        let mut activity = Activity::new(self);
        activity.start();
        answer.map_ok(move |response| response.map(|body| GuardedBody::new(body, waits, activity)))
    }

    /// Lets a connection go on to its end, or until there is no step from one look to the next; looks come at this distance.
    /// All in one task: what wakes it stays the same.
    pub(super) fn watch<C: Future>(&self, limit: Duration, connection: C) -> Guarded<C> {
        Guarded {
            connection: Box::pin(connection),
            guard: self.clone(),
            limit,
            timer: Box::pin(sleep(limit)),
            is_timing: false,
            before: 0,
        }
    }

    /// Adds to the moves, or takes away.
    fn move_on(&self, change: u64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }
}

impl Activity {
    /// Makes one that is the client's.
    pub(super) fn new(guard: StallGuard) -> Self {
        let is_active = false;
        Self { guard, is_active }
    }

    /// It is ours.
    pub(super) fn start(&mut self) {
        if !self.is_active {
            self.guard.move_on(STEP + 1);
            self.is_active = true;
        }
    }

    /// Now the client has something to do.
    pub(super) fn stop(&mut self) {
        if self.is_active {
            self.guard.move_on(STEP - 1);
            self.is_active = false;
        }
    }

    /// Counts a step.
    pub(super) fn progress(&self) {
        self.guard.move_on(STEP);
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.stop();
    }
}

impl<C: Future> Future for Guarded<C> {
    /// `None` where nothing moved.
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
            let moves = self.guard.0.load(Ordering::Relaxed);
            let ours = moves % STEP;
            if moves == self.before && ours == 0 {
                return Poll::Ready(None);
            }
            self.before = moves;
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
    async fn a_connection_without_a_step_is_given_up() {
        let start = Instant::now();
        let guard = StallGuard::default();
        assert!(guard.watch(LIMIT, pending::<()>()).await.is_none());
        assert_eq!(start.elapsed(), LIMIT);
        assert!(guard.watch(LIMIT, sleep(LIMIT / 2)).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_us_does_not_count_against_the_client() {
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
    async fn an_answer_that_the_socket_watches_over_may_take_its_time() {
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
    async fn an_answer_that_nobody_takes_does_not_hold_the_connection() {
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
