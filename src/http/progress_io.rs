//! Reports to the stall guard what a client's socket accepts.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stall_guard::{Activity, StallGuard};

/// Smaller writes, in bytes, are no progress: over HTTP/2, PING and SETTINGS frames go to a client that reads nothing
/// else.
const LEAST: usize = 1 << 10;

/// A stream that reports its writes. A write that waits must have a time limit of its own: the guard does not count it
/// as a stall.
///
/// `tokio_util::io::InspectWriter` sees what was written, but not that a write had to wait.
pub(super) struct ProgressIo<S> {
    stream: S,
    /// Under way while a write waits.
    activity: Activity,
}

impl<S> ProgressIo<S> {
    pub(super) fn new(stream: S, guard: &StallGuard) -> Self {
        let activity = Activity::new(guard.clone());
        Self { stream, activity }
    }

    fn report(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.activity.start(),
            Poll::Ready(Ok(LEAST..)) => {
                self.activity.stop();
                self.activity.progress();
            }
            Poll::Ready(_) => self.activity.stop(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ProgressIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Reads are no progress: a client could hold its connection with a head that it sends byte by byte.
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ProgressIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.report(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.report(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
