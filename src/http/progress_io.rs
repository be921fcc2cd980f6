//! What a client takes of its answers, as its socket tells the pace of the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stall_guard::{Activity, StallGuard};

/// What is written in fewer bytes is no step: over HTTP/2 a connection is kept alive by less.
const LEAST: usize = 1 << 10;

/// A stream that tells of its writes. What waits in it must have a limit of its own: the pace leaves it alone.
pub(super) struct ProgressIo<S> {
    stream: S,
    /// Ours while bytes wait.
    activity: Activity,
}

impl<S> ProgressIo<S> {
    pub(super) fn new(stream: S, guard: &StallGuard) -> Self {
        let activity = Activity::new(guard.clone());
        Self { stream, activity }
    }

    fn tell(&mut self, written: &Poll<io::Result<usize>>) {
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
        self.tell(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.tell(&written);
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
