//! How long a server may be silent, counted over both directions of one exchange.
//!
//! reqwest's own `read_timeout` counts from the start of the request to its answer, so a long upload would hit it
//! although it moves; and from answer's chunk to chunk even while nobody asks for the next one.

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

use super::failure;

/// When one exchange last moved, shared by its request's body and its answer.
#[derive(Debug)]
pub(super) struct Activity {
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Instant,
    /// The request's body waits for its producer: the server's silence is not its fault.
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

    /// Notes that bytes moved, or that somebody begins to wait for them.
    pub(super) fn moved(&self) {
        self.with(|state| state.last = Instant::now());
    }

    /// Notes whether the next move of the exchange is ours.
    pub(super) fn set_our_turn(&self, our_turn: bool) {
        self.with(|state| {
            state.last = Instant::now();
            state.our_turn = our_turn;
        });
    }

    /// Waits until nothing has moved for as long as the limit says.
    pub(super) async fn silence(&self) {
        loop {
            match self.deadline() {
                Some(deadline) if deadline <= Instant::now() => return,
                Some(deadline) => sleep_until(deadline).await,
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

/// Makes a reader of an answer's body; a silence fails with `TimedOut`, a cut with `UnexpectedEof`.
pub(super) fn reader(response: Response, activity: Arc<Activity>) -> IdleReader {
    let chunks = response.bytes_stream().map_err(failure::into_io);
    IdleReader {
        inner: Box::new(StreamReader::new(Box::pin(chunks))),
        activity,
        silence: None,
    }
}

/// Reads an answer's body and gives up when it is silent for too long.
pub(super) struct IdleReader {
    inner: Box<dyn AsyncRead + Send + Unpin>,
    activity: Arc<Activity>,
    /// There while a read waits.
    silence: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl AsyncRead for IdleReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, buf) {
            self.silence = None;
            return Poll::Ready(read);
        }
        let activity = Arc::clone(&self.activity);
        let silence = self.silence.get_or_insert_with(|| {
            activity.moved();
            Box::pin(async move { activity.silence().await })
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
        Activity::new(LIMIT).silence().await;
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
        tokio::join!(activity.silence(), moving);
        assert!(start.elapsed() >= 6 * LIMIT && start.elapsed() < 7 * LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_delay_is_not_the_servers_silence() {
        let activity = Activity::new(LIMIT);
        activity.set_our_turn(true);
        let start = Instant::now();
        let waited = tokio::time::timeout(10 * LIMIT, activity.silence()).await;
        assert!(waited.is_err(), "silence after {:?}", start.elapsed());
        activity.set_our_turn(false);
        assert!(
            tokio::time::timeout(3 * LIMIT, activity.silence())
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
