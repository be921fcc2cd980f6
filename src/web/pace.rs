//! The pace of an HTTP/2 connection. Below HTTP/2 a client can keep a connection alive that asks for nothing, or takes nothing
//! of its answers; such a one is closed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::sleep;

/// What goes on in a connection.
#[derive(Clone, Default)]
pub(super) struct Pace(Arc<State>);

#[derive(Default)]
struct State {
    /// Requests that came, and pieces of answers that were asked for.
    steps: AtomicU64,
    /// Answers that wait for us, and not for the client.
    ours: AtomicUsize,
}

/// An answer waits for us, as long as it is there.
struct Turn(Pace);

/// The body of an answer whose pieces are counted.
pub(super) struct Paced<B> {
    body: B,
    pace: Pace,
    turn: Option<Turn>,
}

impl Pace {
    /// Answers one request.
    pub(super) async fn answer<B>(
        self,
        answer: impl Future<Output = Result<Response<B>, Infallible>>,
    ) -> Result<Response<Paced<B>>, Infallible> {
        let turn = self.turn();
        let response = answer.await?;
        drop(turn);
        Ok(response.map(|body| Paced {
            body,
            pace: self,
            turn: None,
        }))
    }

    /// Lets a connection go on to its end, or as long as there is a step within each `limit`; `None` where there was none.
    pub(super) async fn keep<T>(
        &self,
        limit: Duration,
        connection: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::pin!(connection);
        let mut before = self.steps();
        loop {
            tokio::select! {
                end = &mut connection => return Some(end),
                () = sleep(limit) => {}
            }
            let steps = self.steps();
            if steps == before && self.0.ours.load(Ordering::Relaxed) == 0 {
                return None;
            }
            before = steps;
        }
    }

    fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::Relaxed)
    }

    fn turn(&self) -> Turn {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        self.0.ours.fetch_add(1, Ordering::Relaxed);
        Turn(self.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.steps.fetch_add(1, Ordering::Relaxed);
        self.0.0.ours.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<B: HttpBody + Unpin> HttpBody for Paced<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() {
            let pace = self.pace.clone();
            self.turn.get_or_insert_with(|| pace.turn());
        } else {
            self.pace.0.steps.fetch_add(1, Ordering::Relaxed);
            self.turn = None;
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
    use crate::web::Body;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_step_is_given_up() {
        let start = Instant::now();
        let pace = Pace::default();
        assert!(pace.keep(LIMIT, pending::<()>()).await.is_none());
        assert_eq!(start.elapsed(), LIMIT);
        assert!(pace.keep(LIMIT, sleep(LIMIT / 2)).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_us_does_not_count_against_the_client() {
        let pace = Pace::default();
        let slow = async {
            sleep(LIMIT * 5).await;
            Ok(Response::new(Body::from(bytes::Bytes::from_static(b"x"))))
        };
        let connection = async {
            let body = pace.clone().answer(slow).await.unwrap().into_body();
            let bytes = body.collect().await.unwrap().to_bytes();
            assert_eq!(bytes, "x");
        };
        assert!(pace.keep(LIMIT, connection).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_does_not_hold_the_connection() {
        let pace = Pace::default();
        let answer = async { Ok(Response::new(Body::from(bytes::Bytes::from_static(b"x")))) };
        let start = Instant::now();
        let connection = async {
            let _kept = pace.clone().answer(answer).await.unwrap();
            pending::<()>().await;
        };
        assert!(pace.keep(LIMIT, connection).await.is_none());
        assert_eq!(start.elapsed(), LIMIT * 2);
    }
}
