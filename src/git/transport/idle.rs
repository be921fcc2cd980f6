//! The idle timeout: ends reads and writes that stall.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_io_timeout::{TimeoutReader, TimeoutWriter};

use super::{Reader, Stderr, Stream, Writer};

/// Makes a stream whose reads and writes fail with `TimedOut` when they wait longer than `idle_timeout`.
///
/// The clock runs only while a read or write waits: a caller that pauses between two reads never times out. Neither
/// `tokio::time::timeout` around each read nor `TcpStream`'s socket options do that for a boxed stream.
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
    // Pinned in its own box: the timer inside is not `Unpin`, which a boxed stream has to be.
    Box::new(Box::pin(limited))
}

fn limit_writes(writer: impl AsyncWrite + Send + 'static, idle_timeout: Duration) -> Writer {
    let mut limited = TimeoutWriter::new(writer);
    limited.set_timeout(Some(idle_timeout));
    Box::new(Box::pin(limited))
}
