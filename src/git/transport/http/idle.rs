//! The idle timeout of one exchange, over both of its directions.
//!
//! Not reqwest's own `read_timeout`: that counts from the start of the request to its response, so a long upload would hit it
//! although bytes move; and from chunk to chunk of the response even while nobody reads the next one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::TryStreamExt;
use reqwest::Response;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::io::StreamReader;

use super::error;

/// When bytes last moved in one exchange; shared by the request's body and the response.
#[derive(Debug)]
pub(super) struct Activity {
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Instant,
    /// The request's body waits for its producer: the server is not idle.
    our_turn: bool,
}

impl Activity {
    pub(super) fn new(limit: Duration) -> Arc<Self> {
        let state = Mutex::new(State {
            last: Instant::now(),
            our_turn: false,
        });
        Arc::new(Self { limit, state })
    }

    /// Notes that bytes moved, or that a reader begins to wait for them.
    pub(super) fn moved(&self) {
        self.with(|state| state.last = Instant::now());
    }

    /// Notes whether the server waits for us.
    pub(super) fn set_our_turn(&self, our_turn: bool) {
        self.with(|state| {
            state.last = Instant::now();
            state.our_turn = our_turn;
        });
    }

    /// Waits until no bytes have moved for as long as the limit.
    pub(super) async fn timed_out(&self) {
        loop {
            match self.deadline() {
                Some(deadline) if deadline <= Instant::now() => return,
                Some(deadline) => sleep_until(deadline).await,
                // Our turn, or a limit beyond the clock's range: look again later.
                None => sleep(self.limit).await,
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.with(|state| {
            state
                .last
                .checked_add(self.limit)
                .filter(|_| !state.our_turn)
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Makes a reader of a response's body; an idle timeout fails with `TimedOut`, a cut with `UnexpectedEof`.
pub(super) fn reader(response: Response, activity: Arc<Activity>) -> IdleReader {
    let chunks = response.bytes_stream().map_err(error::into_io);
    IdleReader {
        inner: Box::new(StreamReader::new(Box::pin(chunks))),
        activity,
        silence: None,
    }
}

/// Reads a response's body, with an idle timeout.
pub(super) struct IdleReader {
    inner: Box<dyn AsyncRead + Send + Unpin>,
    activity: Arc<Activity>,
    /// `Some` while a read waits.
    silence: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl AsyncRead for IdleReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, buf) {
            // The next wait begins a new silence.
            self.silence = None;
            return Poll::Ready(read);
        }
        let activity = Arc::clone(&self.activity);
        let silence = self.silence.get_or_insert_with(|| {
            // The clock starts here: a caller that paused between two reads must not have its pause counted.
            activity.moved();
            Box::pin(async move { activity.timed_out().await })
        });
        ready!(silence.as_mut().poll(cx));
        let limit = humantime::format_duration(self.activity.limit);
        let message = format!("the server sent nothing for {limit}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_silence_ends_after_the_limit() {
        let start = Instant::now();
        Activity::new(LIMIT).timed_out().await;
        assert!(start.elapsed() >= LIMIT && start.elapsed() < 2 * LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn every_move_begins_a_new_silence() {
        let (activity, start) = (Activity::new(LIMIT), Instant::now());
        let moving = async {
            for _ in 0..10 {
                sleep(LIMIT / 2).await;
                activity.moved();
            }
        };
        tokio::join!(activity.timed_out(), moving);
        assert!(start.elapsed() >= 6 * LIMIT && start.elapsed() < 7 * LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_delay_is_not_the_servers_silence() {
        let activity = Activity::new(LIMIT);
        activity.set_our_turn(true);
        let start = Instant::now();
        let waited = tokio::time::timeout(10 * LIMIT, activity.timed_out()).await;
        assert!(waited.is_err(), "silence after {:?}", start.elapsed());
        activity.set_our_turn(false);
        assert!(
            tokio::time::timeout(3 * LIMIT, activity.timed_out())
                .await
                .is_ok()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_reading_is_not_the_servers_silence() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut reader = IdleReader {
            inner: Box::new(ours),
            activity: Activity::new(LIMIT),
            silence: None,
        };
        for _ in 0..2 {
            sleep(10 * LIMIT).await;
            let late = async {
                sleep(LIMIT / 2).await;
                theirs.write_u8(7).await
            };
            let (read, written) = tokio::join!(reader.read_u8(), late);
            assert_eq!((read.ok(), written.ok()), (Some(7), Some(())));
        }
        let silent = tokio::time::timeout(3 * LIMIT, reader.read_u8()).await;
        let silent = silent.map(|read| read.map_err(|error| error.kind()));
        assert_eq!(silent, Ok(Err(io::ErrorKind::TimedOut)));
    }
}
