//! The two halves of a connection to a git service, its error output, and the bytes that passed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
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

/// Bytes that went over the wire, above the transport's own framing and encryption.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
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

    /// Counts what is read from `reader`.
    pub(super) fn count_reads(
        self: &Arc<Self>,
        reader: impl AsyncRead + Send + Unpin + 'static,
    ) -> Reader {
        let traffic = Arc::clone(self);
        Box::new(InspectReader::new(reader, move |bytes: &[u8]| {
            traffic
                .received
                .fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }))
    }

    /// Counts what is written to `writer`.
    pub(super) fn count_writes(
        self: &Arc<Self>,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Writer {
        let traffic = Arc::clone(self);
        Box::new(InspectWriter::new(writer, move |bytes: &[u8]| {
            traffic.add_sent(bytes.len())
        }))
    }

    /// Adds to the bytes sent.
    pub fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
