//! The two halves of a connection to a git service, its error output, and the bytes that passed.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::{InspectReader, InspectWriter};

/// What a service sends.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// What is sent to a service.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection to one running git service over a byte stream.
pub struct Stream {
    /// The service's output.
    pub reader: Reader,
    /// The service's input.
    pub writer: Writer,
    /// What the service, or a wrapper around it (gitlab-shell), wrote to its error output.
    pub stderr: Stderr,
}

/// The end of a service's error output, where a refusal is: at most 4 KiB, shared with the task that fills it.
#[derive(Debug, Clone, Default)]
pub struct Stderr(Arc<Mutex<Vec<u8>>>);

impl Stderr {
    const LIMIT: usize = 4096;

    /// Appends what the service wrote; drops the oldest bytes beyond the limit.
    pub fn push(&self, bytes: &[u8]) {
        // A panic elsewhere does not spoil bytes: what arrived before it may be what explains it.
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stored.extend_from_slice(bytes);
        let excess = stored.len().saturating_sub(Self::LIMIT);
        stored.drain(..excess);
    }

    /// Returns the text so far, trimmed.
    pub fn text(&self) -> String {
        let stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&stored).trim().to_owned()
    }
}

/// Bytes that went over the wire, above the transport's own framing and encryption, and whether more are waited for.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    awaiting: AtomicUsize,
}

impl Traffic {
    /// Returns the bytes received so far.
    pub fn received(&self) -> u64 {
        // Counts for a report: no other memory is ordered by them.
        self.received.load(Ordering::Relaxed)
    }

    /// Returns the bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Says whether something waits for the other side just now: to be connected, to be answered, or to be read.
    pub fn is_awaited(&self) -> bool {
        self.awaiting.load(Ordering::Relaxed) > 0
    }

    /// Notes that something waits for the other side, until the guard is dropped.
    pub(super) fn awaiting(self: &Arc<Self>) -> Awaiting {
        self.awaiting.fetch_add(1, Ordering::Relaxed);
        Awaiting(Arc::clone(self))
    }

    fn watched<T>(self: &Arc<Self>, inner: T) -> Watched<T> {
        Watched {
            inner,
            traffic: Arc::clone(self),
            awaiting: None,
        }
    }

    /// Counts what is read from `reader`.
    pub(super) fn count_reads(
        self: &Arc<Self>,
        reader: impl AsyncRead + Send + Unpin + 'static,
    ) -> Reader {
        let traffic = Arc::clone(self);
        Box::new(InspectReader::new(
            self.watched(reader),
            move |bytes: &[u8]| {
                traffic
                    .received
                    .fetch_add(bytes.len() as u64, Ordering::Relaxed);
            },
        ))
    }

    /// Counts what is written to `writer`.
    pub(super) fn count_writes(
        self: &Arc<Self>,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Writer {
        let traffic = Arc::clone(self);
        Box::new(InspectWriter::new(
            self.watched(writer),
            move |bytes: &[u8]| traffic.add_sent(bytes.len()),
        ))
    }

    /// Adds to the bytes sent.
    pub fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Something waits for the other side for as long as this lives.
pub(super) struct Awaiting(Arc<Traffic>);

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.0.awaiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Half of a connection, which notes whether the last try to use it has to wait.
struct Watched<T> {
    inner: T,
    traffic: Arc<Traffic>,
    awaiting: Option<Awaiting>,
}

impl<T> Watched<T> {
    fn note<R>(&mut self, polled: Poll<R>) -> Poll<R> {
        match polled.is_pending() {
            true => _ = self.awaiting.get_or_insert_with(|| self.traffic.awaiting()),
            false => self.awaiting = None,
        }
        polled
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.note(polled)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.note(polled)
    }
}
