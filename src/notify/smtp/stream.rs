//! TLS under an SMTP session, with the program's own verifier: lettre's TLS settings take none.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{Mailer, failure};
use crate::error::Result;
use crate::git::transport::Trust;

/// An encrypted connection to the server.
#[derive(Debug)]
pub(super) struct Encrypted {
    /// Read before anything that the server sends.
    greeting: &'static [u8],
    stream: TlsStream<TcpStream>,
}

impl Encrypted {
    /// Begins TLS on a connection; trusts the system's certificates and those of `network.ca_file`.
    pub(super) async fn begin(mailer: &Mailer<'_>, about: &str, tcp: TcpStream) -> Result<Self> {
        let server = mailer.route.smtp;
        let name = server.to_string();
        let host = ServerName::try_from(server.host.clone())
            .map_err(|error| failure::no_host_name(&name, error))?;
        let config = Trust::new(mailer.network.extra_cas.as_deref())?.client_config()?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(host, tcp)
            .await
            .map_err(|error| failure::no_handshake(&name, about, &error))?;
        Ok(Self {
            greeting: b"",
            stream,
        })
    }

    /// Puts a greeting in front: lettre reads one on every new connection, and a server sends none after STARTTLS.
    pub(super) fn greeted(self) -> Self {
        Self {
            greeting: b"220 TLS\r\n",
            ..self
        }
    }
}

/// Returns two handles of one socket: lettre keeps the one that it gets, and TLS begins on the other.
pub(super) fn doubled(tcp: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let one = tcp.into_std()?;
    let other = one.try_clone()?;
    Ok((TcpStream::from_std(one)?, TcpStream::from_std(other)?))
}

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let (now, later) = self
            .greeting
            .split_at(self.greeting.len().min(buf.remaining()));
        buf.put_slice(now);
        self.greeting = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
