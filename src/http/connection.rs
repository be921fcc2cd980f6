//! One connection: TLS if the server has a certificate, the protocol that the client speaks, its requests.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tracing::debug;

use super::detect::{self, Protocol, Rewind};
use super::progress_io::ProgressIo;
use super::shutdown::Shutdown;
use super::stall_guard::{StallGuard, WaitsFor};
use super::tls::Certificates;

/// The longest head of a request, in bytes.
// hyper's default for HTTP/1 is some 400 KiB for each connection; what cargo and git hosts send fits many times.
const HEAD: usize = 32 << 10;
/// How many requests of one HTTP/2 connection may be in flight.
// RFC 9113, section 6.5.2, recommends no fewer than 100; hyper's default is 200.
const STREAMS: u32 = 128;

/// How many bytes of a response HTTP/2 holds for a client that takes none.
// hyper's default is 400 KiB for each of the requests in flight, whose number is STREAMS times that of the connections.
// As few as the first piece of a crate file has: a body gives another piece once the one before is on its way.
const SEND_BUFFER: usize = 4 << 10;

/// How many unsent bytes the system holds for a connection.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 << 10;

/// The limits of a server's connections.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many connections are served at once; others wait until one is closed.
    pub connections: usize,
    /// How many threads serve connections; with 0, the thread that accepts them does.
    pub threads: usize,
    /// How long the TLS handshake and the first bytes may take. The head of a request may take twice as long, from the
    /// end of the response before.
    pub head: Duration,
    /// How long a client may read nothing of a response. Over HTTP/2 twice as long, and a connection may be idle for as
    /// long.
    pub write: Duration,
}

/// The address that a request came from, which all requests of a connection have; behind a proxy, the proxy's.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// What it takes to serve a connection.
pub(super) struct Connection<A> {
    pub(super) answer: A,
    pub(super) peer: Peer,
    pub(super) bounds: Bounds,
    pub(super) shutdown: Shutdown,
}

impl<A, R, B> Connection<A>
where
    A: Fn(Request<Incoming>, Peer) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: HttpBody<Data = Bytes, Error = axum::Error> + Send + Unpin + 'static,
{
    /// Serves until the client goes away or stalls, or the server shuts down.
    pub(super) async fn serve(self, stream: TcpStream, certificates: Option<Arc<Certificates>>) {
        // Registered anew, so that this thread's runtime gets its events, not the one that accepted it.
        let stream = match stream.into_std().and_then(TcpStream::from_std) {
            Ok(stream) => stream,
            Err(error) => return debug!("a connection was lost: {error}"),
        };
        keep_little_unsent(&stream);
        self.serve_stream(stream, certificates).await;
    }

    async fn serve_stream<S: AsyncRead + AsyncWrite + Send + 'static>(
        self,
        stream: S,
        certificates: Option<Arc<Certificates>>,
    ) {
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.bounds.write));
        let guard = StallGuard::default();
        // Pinned in a box: the timer within a `TimeoutStream` must not move.
        let stream = ProgressIo::new(Box::pin(stream), &guard);
        match certificates {
            None => self.speak(stream, guard).await,
            Some(certificates) => {
                let accepting = certificates.accept(stream);
                if let Some(stream) =
                    begin("TLS handshake", accepting, &self.shutdown, self.bounds).await
                {
                    // Boxed: this future has room for both arms, and that of a plain connection would be as large as
                    // the state of TLS.
                    self.speak(Box::new(stream), guard).await;
                }
            }
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: S,
        guard: StallGuard,
    ) {
        let detecting = detect::protocol(stream);
        let ended = match begin("first request", detecting, &self.shutdown, self.bounds).await {
            None => return,
            Some((Protocol::Http1, stream)) => self.speak_http1(stream, guard).await,
            Some((Protocol::Http2, stream)) => self.speak_http2(stream, guard).await,
        };
        if let Err(error) = ended {
            debug!("a connection ended: {error}");
        }
    }

    async fn speak_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: Rewind<S>,
        guard: StallGuard,
    ) -> hyper::Result<()> {
        let Self { answer, peer, .. } = self;
        let guarded = guard.clone();
        // Without a timer hyper's own `header_read_timeout` stays off: the guard does its work. Without `with_upgrades`
        // the `Upgrade: h2c` that cargo sends with each download over plain HTTP is ignored, and HTTP/1.1 goes on.
        let connection = http1::Builder::new().max_buf_size(HEAD).serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                guarded
                    .clone()
                    .answer(WaitsFor::Server, answer(request, peer))
            }),
        );
        let watched = self.shutdown.watch(connection);
        // While a response is under way the guard counts nothing against the client: the stream has a write timeout.
        let ended = guard.watch(self.bounds.head, watched).await;
        ended.unwrap_or(Ok(()))
    }

    async fn speak_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: Rewind<S>,
        guard: StallGuard,
    ) -> hyper::Result<()> {
        let Self { answer, peer, .. } = self;
        let guarded = guard.clone();
        // PINGs find clients that vanished without closing the connection; those that answer PINGs and read nothing are
        // the guard's.
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD as u32)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(Some(self.bounds.write))
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| {
                    guarded
                        .clone()
                        .answer(WaitsFor::Client, answer(request, peer))
                }),
            );
        let watched = self.shutdown.watch(connection);
        let ended = guard.watch(self.bounds.write, watched).await;
        ended.unwrap_or(Ok(()))
    }
}

/// Limits the unsent bytes that the system holds, so that what a slow client reads soon shows as a write that proceeds.
fn keep_little_unsent(stream: &TcpStream) {
    // If it fails, only the slowest clients are cut off too early.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

/// Waits for what a client must do within `bounds.head`.
async fn begin<T>(
    what: &str,
    work: impl Future<Output = io::Result<T>>,
    shutdown: &Shutdown,
    bounds: Bounds,
) -> Option<T> {
    let begun = tokio::select! {
        begun = timeout(bounds.head, work) => begun,
        // A client that has sent no request yet loses nothing.
        () = shutdown.started() => return None,
    };
    match begun {
        Ok(Ok(begun)) => return Some(begun),
        Ok(Err(error)) => debug!("a client's {what} failed: {error}"),
        Err(_) => debug!("a client's {what} timed out"),
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use http_body_util::{BodyExt as _, Empty};
    use hyper::client::conn::http2 as client;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::http::Body;

    /// With the head, some more than what a pipe of 4,096 bytes takes at once: the last piece is small.
    const ANSWER: usize = 24 * 4096 + 500;
    const HEAD_LIMIT: Duration = Duration::from_secs(15);
    const WRITE_LIMIT: Duration = Duration::from_secs(60);
    /// Longer than a connection may stall, and shorter than a client may read nothing.
    const PAUSE: Duration = Duration::from_secs(50);

    /// Serves a client over a pipe that holds so many bytes; each response is in memory.
    fn served(held: usize) -> DuplexStream {
        let connection = Connection {
            answer: |_, _| async {
                Ok(Response::new(Body::from(Bytes::from_static(&[7; ANSWER]))))
            },
            peer: Peer(([127, 0, 0, 1], 1).into()),
            bounds: Bounds {
                connections: 1,
                threads: 1,
                head: HEAD_LIMIT,
                write: WRITE_LIMIT,
            },
            shutdown: Shutdown::default(),
        };
        let (client, server) = duplex(held);
        tokio::spawn(connection.serve_stream(server, None));
        client
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_system_holds_few_unsent_bytes() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let client = client.unwrap();
        keep_little_unsent(&client);
        let held = socket2::SockRef::from(&client).tcp_notsent_lowat();
        assert_eq!(held.unwrap(), UNSENT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_a_response_slowly_gets_all_of_it() {
        let mut client = served(4096);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut taken = Vec::with_capacity(ANSWER * 2);
        while taken.len() < ANSWER {
            sleep(PAUSE).await;
            assert!(client.read_buf(&mut taken).await.unwrap() > 0);
        }
        // And asks for nothing more.
        let ended = timeout(HEAD_LIMIT * 3, client.read_to_end(&mut taken)).await;
        ended.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_of_a_response_is_cut_off() {
        let mut client = served(4096);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        sleep(WRITE_LIMIT * 2).await;
        let mut taken = Vec::new();
        client.read_to_end(&mut taken).await.unwrap();
        assert_eq!(taken.len(), 4096);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_opens_its_window_slowly_gets_all_of_a_response() {
        let (mut ask, connection) = client::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(16 << 10)
            .handshake(TokioIo::new(served(1 << 20)))
            .await
            .unwrap();
        tokio::spawn(connection);
        let start = Instant::now();
        let asked = Request::new(Empty::<Bytes>::new());
        let mut body = ask.send_request(asked).await.unwrap().into_body();
        let mut taken = 0;
        while let Some(frame) = body.frame().await {
            taken += frame.unwrap().into_data().unwrap().len();
            sleep(PAUSE).await;
        }
        assert_eq!(taken, ANSWER);
        assert!(start.elapsed() > WRITE_LIMIT * 4);
    }
}
