//! The streams under an SMTP session: lettre keeps to itself how it opens a connection, and its TLS settings take no verifier.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{Mailer, failure};
use crate::error::Result;
use crate::git::transport::Trust;

/// What lettre reads as greeting and as reply to EHLO. Which mechanisms the server offers is for the session to find out.
const OPENING: &[u8] = b"220 opened\r\n250-opened\r\n250 AUTH PLAIN LOGIN\r\n";

/// Begins TLS on a connection; trusts the system's certificates and those of `network.ca_file`.
pub(super) async fn encrypt(
    mailer: &Mailer<'_>,
    about: &str,
    tcp: TcpStream,
) -> Result<TlsStream<TcpStream>> {
    let server = mailer.route.smtp;
    let name = server.to_string();
    let host = ServerName::try_from(server.host.clone())
        .map_err(|error| failure::no_host_name(&name, error))?;
    let config = Trust::new(mailer.network.extra_cas.as_deref())?.client_config()?;
    TlsConnector::from(Arc::new(config))
        .connect(host, tcp)
        .await
        .map_err(|error| failure::no_handshake(&name, about, &error))
}

/// Returns two handles of one socket: lettre keeps the one that it gets, and TLS begins on the other.
pub(super) fn doubled(tcp: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let one = tcp.into_std()?;
    let other = one.try_clone()?;
    Ok((TcpStream::from_std(one)?, TcpStream::from_std(other)?))
}

/// Gives a stream to lettre without a byte of it being read or written.
///
/// lettre reads the greeting and says EHLO by itself, on every connection: it reads a greeting also after STARTTLS, does not
/// tell which of the two was refused, and knows capabilities in capital letters only.
pub(super) async fn unopened<S>(stream: S, peer: SocketAddr) -> io::Result<AsyncSmtpConnection>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug + 'static,
{
    let stream = Unopened {
        unread: OPENING,
        is_muted: true,
        peer,
        stream,
    };
    AsyncSmtpConnection::connect_with_transport(Box::new(stream), &ClientId::default())
        .await
        .map_err(io::Error::other)
}

/// A stream that begins with [`OPENING`], and swallows the EHLO that answers it.
#[derive(Debug)]
struct Unopened<S> {
    unread: &'static [u8],
    /// Whether the first command is still to come.
    is_muted: bool,
    peer: SocketAddr,
    stream: S,
}

impl<S> AsyncTokioStream for Unopened<S>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug,
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unopened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let (now, later) = self.unread.split_at(self.unread.len().min(buf.remaining()));
        buf.put_slice(now);
        self.unread = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unopened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // lettre writes a command at once.
        if std::mem::take(&mut self.is_muted) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
