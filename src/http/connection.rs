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

/// After how long without a request an HTTP/1 connection may rest; twice as long at most. Then it holds a few KiB, and not the
/// buffers of hyper, which allocates them anew with the next request.
const REST: Duration = Duration::from_millis(250);

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
    /// How long the TLS handshake, the first bytes and the head of a request may take. The first bytes of a further request may
    /// take twice as long, from the end of the response before.
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
        // Each future in a box of its own: one that had room for all of them would be several times as large for as long as the
        // connection is open.
        match certificates {
            None => Box::pin(self.speak(stream, guard)).await,
            Some(certificates) => {
                let accepting = Box::pin(certificates.accept(stream));
                let limit = self.bounds.head;
                if let Some(stream) = begin("TLS handshake", accepting, &self.shutdown, limit).await
                {
                    Box::pin(self.speak(Box::new(stream), guard)).await;
                }
            }
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        mut self,
        mut stream: S,
        guard: StallGuard,
    ) {
        let (mut what, mut limit) = ("first request", self.bounds.head);
        loop {
            let detecting = detect::protocol(stream);
            (self, stream) = match begin(what, detecting, &self.shutdown, limit).await {
                None => return,
                Some((Protocol::Http1, begun)) => match self.speak_http1(begun, &guard).await {
                    Some(resting) => resting,
                    None => return,
                },
                Some((Protocol::Http2, begun)) => {
                    return ended(self.speak_http2(begun, guard).await);
                }
            };
            (what, limit) = ("next request", self.bounds.head * 2);
        }
    }

    /// Serves requests until none comes for a while, and returns the stream then; `None` if the connection has ended.
    async fn speak_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        mut stream: Rewind<S>,
        guard: &StallGuard,
    ) -> Option<(Self, S)> {
        let mut limit = REST;
        loop {
            let (answer, peer, guarded) = (self.answer.clone(), self.peer, guard.clone());
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
            let mut watched = self.shutdown.watch(connection);
            // While a response is under way the guard counts nothing against the client: the stream has a write timeout. So
            // nothing is lost of one here: all of it was written.
            if let Some(end) = guard.watch(limit, &mut watched).await {
                ended(end);
                return None;
            }
            let parts = watched.into_inner().into_parts();
            let (begun, rest) = parts.io.into_inner().into_parts();
            if parts.read_buf.is_empty() && begun.is_empty() {
                return Some((self, rest));
            }
            // A head that has begun has to end in time.
            if limit != REST {
                return None;
            }
            limit = self.bounds.head;
            stream = Rewind::new([parts.read_buf, begun].concat().into(), rest);
        }
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

fn ended(end: hyper::Result<()>) {
    if let Err(error) = end {
        debug!("a connection ended: {error}");
    }
}

/// Limits the unsent bytes that the system holds, so that what a slow client reads soon shows as a write that proceeds.
fn keep_little_unsent(stream: &TcpStream) {
    // If it fails, only the slowest clients are cut off too early.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

/// Waits for what a client must do within a limit.
async fn begin<T>(
    what: &str,
    work: impl Future<Output = io::Result<T>>,
    shutdown: &Shutdown,
    limit: Duration,
) -> Option<T> {
    let begun = tokio::select! {
        begun = timeout(limit, work) => begun,
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
        served_by(&Arc::new(()), held)
    }

    /// The same, with something that whatever may answer holds.
    fn served_by(answers: &Arc<()>, held: usize) -> DuplexStream {
        let answers = Arc::clone(answers);
        let connection = Connection {
            answer: move |_, _| {
                let _ = &answers;
                async { Ok(Response::new(Body::from(Bytes::from_static(&[7; ANSWER])))) }
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

    /// Sends a request, and reads its response.
    async fn ask(client: &mut DuplexStream, request: &[u8]) {
        client.write_all(request).await.unwrap();
        let mut taken = Vec::with_capacity(ANSWER * 2);
        while taken.len() < ANSWER {
            assert!(client.read_buf(&mut taken).await.unwrap() > 0);
        }
        let start = taken.starts_with(b"HTTP/1.1 200 OK");
        assert!(start, "{:?}", taken[..20].escape_ascii().to_string());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_idle_holds_nothing_that_answers_and_serves_the_next_request() {
        let answers = Arc::new(());
        let mut client = served_by(&answers, 1 << 20);
        for _ in 0..3 {
            ask(&mut client, b"GET / HTTP/1.1\r\n\r\n").await;
            assert_eq!(Arc::strong_count(&answers), 3);
            sleep(REST * 3).await;
            // The connection's own, and that of the test.
            assert_eq!(Arc::strong_count(&answers), 2);
        }
        let start = Instant::now();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert!(start.elapsed() > HEAD_LIMIT * 3 / 2 && start.elapsed() <= HEAD_LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_takes_a_while_is_read_to_its_end_but_not_forever() {
        let mut client = served(1 << 20);
        for _ in 0..2 {
            client.write_all(b"GET / HT").await.unwrap();
            sleep(HEAD_LIMIT / 3).await;
            client.write_all(b"TP/1.1\r\n").await.unwrap();
            sleep(HEAD_LIMIT / 3).await;
            ask(&mut client, b"\r\n").await;
        }
        let start = Instant::now();
        client.write_all(b"GET / HT").await.unwrap();
        let end = timeout(HEAD_LIMIT * 3, client.read(&mut [0])).await;
        assert_eq!(end.unwrap().unwrap(), 0);
        assert!(start.elapsed() >= HEAD_LIMIT);
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
