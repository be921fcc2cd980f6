//! One service on one ssh channel, as a byte stream.
//!
//! ```text
//!  connection ──100 messages──▶ pump ──PIPE bytes──▶ ChannelReader
//!                                └────4 KiB────────▶ Stderr
//!  connection ◀──10 messages, the server's window──── ChannelWriter
//! ```
//!
//! Every arrow is bounded: a reader that stops reading applies backpressure to the server. All channels share one connection, so
//! a channel that stays unread beyond [`PIPE`] blocks the others, too. russh's `Channel::into_stream` drops the error
//! output, and cannot tell a cut connection from the end of the output.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use super::super::Stderr;

/// How many bytes may wait for a reader before the connection blocks; enough for the advertisement of 10,000 refs.
const PIPE: usize = 1 << 20;

/// How long the end of the output waits for the channel to close, since error output may follow.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Splits a channel, on which a program was started with `want reply`, into the two halves of a stream.
///
/// Dropping the writer ends the program's input; dropping the reader closes the channel.
pub(super) fn halves(
    channel: Channel<Msg>,
    stderr: Stderr,
    refusal: String,
) -> (ChannelReader, ChannelWriter) {
    let (read_half, write_half) = channel.split();
    let (near, far) = tokio::io::duplex(PIPE);
    let reader_gone = CancellationToken::new();
    let writer_gone = CancellationToken::new();
    let closed = CancellationToken::new();
    let cut = Arc::new(AtomicBool::new(false));
    let reader = ChannelReader {
        pipe: far,
        cut: Arc::clone(&cut),
        _gone: reader_gone.clone().drop_guard(),
    };
    let writer = ChannelWriter {
        inner: Box::pin(write_half.make_writer()),
        closed: Box::pin(closed.clone().cancelled_owned()),
        gone: Some(writer_gone.clone().drop_guard()),
    };
    let pump = Pump {
        read_half,
        write_half,
        pipe: near,
        stderr,
        refusal,
        cut,
        reader_gone,
        writer_gone,
        _closed: closed.drop_guard(),
    };
    tokio::spawn(pump.run());
    (reader, writer)
}

/// Reads a channel's messages, so that error output is collected even while nobody reads the output.
struct Pump {
    read_half: ChannelReadHalf,
    write_half: ChannelWriteHalf<Msg>,
    pipe: DuplexStream,
    stderr: Stderr,
    refusal: String,
    cut: Arc<AtomicBool>,
    reader_gone: CancellationToken,
    writer_gone: CancellationToken,
    _closed: DropGuard,
}

impl Pump {
    async fn run(mut self) {
        let mut input_open = true;
        loop {
            tokio::select! {
                message = self.read_half.wait() => match self.take(message).await {
                    Next::Continue => {}
                    Next::AwaitClose => return self.collect_stderr().await,
                    Next::Stop => return,
                },
                () = self.reader_gone.cancelled() => return self.close().await,
                () = self.writer_gone.cancelled(), if input_open => {
                    input_open = false;
                    // Fails only if the connection is gone, which the next message shows.
                    let _ = self.write_half.eof().await;
                }
            }
        }
    }

    async fn take(&mut self, message: Option<ChannelMsg>) -> Next {
        match message {
            Some(ChannelMsg::Data { data }) => {
                // Fails once the reader is dropped, so that a full pipe does not keep the pump from noticing.
                if self.pipe.write_all(&data).await.is_err() {
                    self.close().await;
                    return Next::Stop;
                }
            }
            Some(ChannelMsg::ExtendedData { data, .. }) => self.stderr.push(&data),
            Some(ChannelMsg::Failure) => {
                self.stderr.push(self.refusal.as_bytes());
                self.close().await;
                return Next::Stop;
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                let ended = format!("the program was ended by signal {signal_name:?}\n");
                self.stderr.push(ended.as_bytes());
            }
            // `self` keeps the pipe until then: who reads the end of the output finds the error output complete.
            Some(ChannelMsg::Eof) => return Next::AwaitClose,
            Some(ChannelMsg::Close) => return Next::Stop,
            None => {
                // Before the pump drops the pipe, so that a reader at its end sees it.
                self.cut.store(true, Ordering::Release);
                return Next::Stop;
            }
            // Replies, window adjustments, the exit status: the service's own words say more than a number.
            Some(_) => {}
        }
        Next::Continue
    }

    /// Collects error output after the end of the output, until the server closes the channel or the timeout.
    async fn collect_stderr(mut self) {
        let closing = async {
            while let Some(message) = self.read_half.wait().await {
                match message {
                    ChannelMsg::ExtendedData { data, .. } => self.stderr.push(&data),
                    ChannelMsg::Close => return,
                    _ => {}
                }
            }
        };
        if timeout(CLOSE_TIMEOUT, closing).await.is_err() {
            self.close().await;
        }
    }

    async fn close(&self) {
        // Fails only if the connection is gone, and the channel with it.
        let _ = self.write_half.close().await;
    }
}

/// What follows a message.
enum Next {
    Continue,
    AwaitClose,
    Stop,
}

/// The service's output.
pub(super) struct ChannelReader {
    pipe: DuplexStream,
    cut: Arc<AtomicBool>,
    _gone: DropGuard,
}

impl AsyncRead for ChannelReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(cx, buf))?;
        // A read into an empty buffer also adds nothing, and is no end.
        let at_end = buf.filled().len() == before && buf.remaining() > 0;
        if at_end && self.cut.load(Ordering::Acquire) {
            let message = "the ssh connection was cut";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, message)));
        }
        Poll::Ready(Ok(()))
    }
}

/// The service's input.
pub(super) struct ChannelWriter {
    inner: Pin<Box<dyn AsyncWrite + Send>>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    gone: Option<DropGuard>,
}

impl ChannelWriter {
    /// Fails once the server closed the channel: its window never opens again, and a write would wait for ever.
    fn check_open(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let message = "the server closed the channel";
                Err(io::Error::new(io::ErrorKind::BrokenPipe, message))
            }
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncWrite for ChannelWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            // russh treats an empty write as an error.
            return Poll::Ready(Ok(0));
        }
        self.check_open(cx)?;
        self.inner.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gone.is_none() || self.check_open(cx).is_err() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.inner.as_mut().poll_shutdown(cx))?;
        // EOF was sent; dropping the guard would send another one.
        self.gone.take().map(DropGuard::disarm);
        Poll::Ready(Ok(()))
    }
}
