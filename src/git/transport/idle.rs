//! Ends reads and writes that stall.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_io_timeout::{TimeoutReader, TimeoutWriter};

use super::{Reader, Stderr, Stream, Writer};

/// Makes a stream of two halves that fail with `TimedOut` after a silence of `idle_timeout`.
///
/// The clock runs from a read or write that has to wait until it can go on; who does not read is never too late.
pub(crate) fn stream(
    reader: impl AsyncRead + Send + 'static,
    writer: impl AsyncWrite + Send + 'static,
    stderr: Stderr,
    idle_timeout: Duration,
) -> Stream {
    Stream {
        reader: limit_reads(reader, idle_timeout),
        writer: limit_writes(writer, idle_timeout),
        stderr,
    }
}

fn limit_reads(reader: impl AsyncRead + Send + 'static, idle_timeout: Duration) -> Reader {
    let mut limited = TimeoutReader::new(reader);
    limited.set_timeout(Some(idle_timeout));
    Box::new(Box::pin(limited))
}

fn limit_writes(writer: impl AsyncWrite + Send + 'static, idle_timeout: Duration) -> Writer {
    let mut limited = TimeoutWriter::new(writer);
    limited.set_timeout(Some(idle_timeout));
    Box::new(Box::pin(limited))
}
