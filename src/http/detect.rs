//! Detects by a client's first bytes whether it speaks HTTP/1 or HTTP/2, with TLS or without.
//!
//! `hyper_util::server::conn::auto` does this, too, and then drives the connection itself: a client that stays silent
//! is not cut off while it detects, and the two protocols cannot have time limits of their own (see `stall_guard`).
//! With TLS, ALPN would tell; the first bytes tell in either case.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// The connection preface of an HTTP/2 client (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How many bytes are read at first: usually the whole first request.
const FIRST: usize = 1 << 10;

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A stream whose first bytes are read a second time.
pub(super) struct Rewind<S> {
    first: Bytes,
    stream: S,
}

impl<S> Rewind<S> {
    /// Makes a stream of these bytes, then those of another one.
    pub(super) fn new(first: Bytes, stream: S) -> Self {
        Self { first, stream }
    }

    /// Returns the bytes that were not read a second time, and the stream.
    pub(super) fn into_parts(self) -> (Bytes, S) {
        (self.first, self.stream)
    }
}

/// Reads as many bytes as it takes to detect the protocol.
pub(super) async fn protocol<S: AsyncRead + Unpin>(
    mut stream: S,
) -> io::Result<(Protocol, Rewind<S>)> {
    let mut first = BytesMut::with_capacity(FIRST);
    let protocol = loop {
        if stream.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // No HTTP/1 request begins like the preface (it was chosen so): the first byte that differs decides, and a
        // client is never waited for longer than the preface takes.
        let length = first.len().min(PREFACE.len());
        if first[..length] != PREFACE[..length] {
            break Protocol::Http1;
        }
        if length == PREFACE.len() {
            break Protocol::Http2;
        }
    };
    let first = first.freeze();
    Ok((protocol, Rewind::new(first, stream)))
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewind<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..length]);
        self.first.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // For one piece, `write` costs the system less than `writev`.
        match pieces {
            [piece] => Pin::new(&mut self.stream).poll_write(context, piece),
            pieces => Pin::new(&mut self.stream).poll_write_vectored(context, pieces),
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use tokio_util::io::StreamReader;

    use super::*;

    /// Detects the protocol of bytes that arrive in these pieces, and returns what is read afterwards.
    fn detect(pieces: &[&[u8]]) -> io::Result<(Protocol, Vec<u8>)> {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        let stream = StreamReader::new(futures_util::stream::iter(pieces));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let (protocol, mut stream) = protocol(stream).await?;
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await?;
            Ok((protocol, read))
        })
    }

    proptest! {
        #[test]
        fn every_byte_is_read_again(begins in any::<bool>(), rest in prop::collection::vec(any::<u8>(), 1..3000), cut in 0usize..3000) {
            let mut bytes = if begins { PREFACE.to_vec() } else { b"GET".to_vec() };
            bytes.extend(rest);
            let (one, other) = bytes.split_at(cut.min(bytes.len()));
            let pieces: Vec<_> = [one, other].into_iter().filter(|piece| !piece.is_empty()).collect();
            let (protocol, read) = detect(&pieces).unwrap();
            prop_assert_eq!(protocol == Protocol::Http2, begins);
            prop_assert_eq!(read, bytes);
        }
    }

    #[test]
    fn a_client_that_ends_before_its_protocol_is_known_is_an_error() {
        assert!(detect(&[]).is_err());
        assert!(detect(&[b"PRI * HTTP"]).is_err());
        assert_eq!(detect(&[b"PRI * ", b"x"]).unwrap().0, Protocol::Http1);
    }
}
