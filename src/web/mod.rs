//! What the HTTP servers share: the loop that accepts connections, its bounds, TLS, and who may ask.

pub mod access;
mod body;
mod ending;
mod head_timer;
pub mod refusal;
mod tls;
mod workers;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};

pub use body::Body;
use ending::Ending;
use head_timer::HeadTimer;
pub use tls::Certificates;
use workers::Workers;

/// The longest head of a request, in bytes.
const HEAD: usize = 32 << 10;
/// How many requests of one HTTP/2 connection are answered at once.
const STREAMS: u32 = 128;

/// What a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many connections are served at once; others wait until one is closed.
    pub connections: usize,
    /// How many threads answer; with none the thread that accepts does.
    pub threads: usize,
    /// For the TLS handshake, and for the head of a request.
    pub head: Duration,
    /// The longest time in which a client takes nothing of an answer.
    pub write: Duration,
}

/// Who sent a request, as far as the connection shows: behind a proxy it is the proxy.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Serves until `shutdown`, then lets the requests in hand end; bound that from outside.
pub async fn serve<A, R, B>(
    listener: TcpListener,
    answer: A,
    bounds: Bounds,
    certificates: Option<Arc<Certificates>>,
    shutdown: impl Future<Output = ()>,
) where
    A: Fn(Request<Incoming>, Peer) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: HttpBody<Data = Bytes, Error = axum::Error> + Send + 'static,
{
    let server = server(bounds);
    let places = Arc::new(Semaphore::new(bounds.connections));
    let ending = Ending::default();
    let mut workers = Workers::start(bounds.threads);
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (accept(&listener).await, place)
        };
        let ((stream, peer), place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        let (mut server, answer) = (server.clone(), answer.clone());
        let service = service_fn(move |request| answer(request, Peer(peer)));
        let (ending, certificates) = (ending.clone(), certificates.clone());
        workers.spawn(async move {
            // From here on this thread hears of it.
            let stream = match stream.into_std().and_then(TcpStream::from_std) {
                Ok(stream) => stream,
                Err(error) => return debug!("a client's connection is lost: {error}"),
            };
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(bounds.write));
            let stream = match certificates {
                None => Either::Plain(Box::pin(stream)),
                Some(certificates) => {
                    let handshake = certificates.accept(Box::pin(stream));
                    match timeout(bounds.head, handshake).await {
                        Ok(Ok(stream)) => Either::Tls(Box::new(stream)),
                        Ok(Err(error)) => return debug!("a client's handshake failed: {error}"),
                        Err(_) => return debug!("a client's handshake took too long"),
                    }
                }
            };
            server.http1().timer(HeadTimer::new());
            let ended = match stream {
                Either::Plain(stream) => {
                    let connection = server.serve_connection(TokioIo::new(stream), service);
                    ending.watch(connection).await
                }
                Either::Tls(stream) => {
                    let connection = server.serve_connection(TokioIo::new(stream), service);
                    ending.watch(connection).await
                }
            };
            if let Err(error) = ended {
                debug!("a client's connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    ending.tell();
    let all = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
    // The places are never closed.
    let _ = places.acquire_many(all).await;
}

fn server(bounds: Bounds) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .header_read_timeout(bounds.head)
        .max_buf_size(HEAD);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD as u32)
        .keep_alive_interval(Some(bounds.write));
    server
}

/// A connection as it comes, or with TLS around it.
enum Either<P, T> {
    Plain(P),
    Tls(T),
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without it an answer only waits a little longer.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                // Out of file descriptors, for example: those in hand end in the meantime.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Raises the limit of open files as far as it may be, and returns it.
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // What cannot be raised stays.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What TLS is put around.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for T {}

/// Opens the address.
///
/// # Errors
/// As the operating system says.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
