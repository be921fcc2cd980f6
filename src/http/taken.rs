//! What a client takes of its answers, as its socket tells the pace of the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pace::{Pace, Turn};

/// What is written in fewer bytes is no step: over HTTP/2 a connection is kept alive by less.
const LEAST: usize = 1 << 10;

/// A stream that tells of its writes. What waits in it must have a limit of its own: the pace leaves it alone.
pub(super) struct Told<S> {
    stream: S,
    /// Ours while bytes wait.
    turn: Turn,
}

impl<S> Told<S> {
    pub(super) fn new(stream: S, pace: &Pace) -> Self {
        let turn = Turn::of(pace.clone());
        Self { stream, turn }
    }

    fn tell(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.turn.take(),
            Poll::Ready(Ok(LEAST..)) => {
                self.turn.give();
                self.turn.step();
            }
            Poll::Ready(_) => self.turn.give(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Told<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Told<S> {
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
