//! What the HTTP servers share: the loop that accepts connections, its bounds, TLS, and who may ask.

pub mod access;
mod body;
mod connection;
mod detect;
pub mod error_response;
mod progress_io;
pub mod routes;
mod shutdown;
mod stall_guard;
mod tls;
pub mod webhook;
mod workers;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::warn;

pub use body::Body;
use connection::Connection;
use shutdown::Shutdown;
pub use tls::Certificates;
use workers::Workers;

/// What a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How many connections are served at once; others wait until one is closed.
    pub connections: usize,
    /// How many threads answer; with none the thread that accepts does.
    pub threads: usize,
    /// For the TLS handshake and for the first bytes; the head of a request may take twice as long, from the end of the answer
    /// before.
    pub head: Duration,
    /// The longest time in which a client takes nothing of an answer; over HTTP/2 twice as long, and as long for asking nothing.
    pub write: Duration,
}

/// Who sent a request, as far as the connection shows: behind a proxy it is the proxy.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Serves until `stop`, then lets the requests in hand end; bound that from outside.
pub async fn serve<A, R, B>(
    listener: TcpListener,
    answer: A,
    bounds: Bounds,
    certificates: Option<Arc<Certificates>>,
    stop: impl Future<Output = ()>,
) where
    A: Fn(Request<Incoming>, Peer) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: HttpBody<Data = Bytes, Error = axum::Error> + Send + Unpin + 'static,
{
    let places = Arc::new(Semaphore::new(bounds.connections));
    let shutdown = Shutdown::default();
    let mut workers = Workers::start(bounds.threads);
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (accept(&listener).await, place)
        };
        let ((stream, peer), place) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let connection = Connection {
            answer: answer.clone(),
            peer: Peer(peer),
            bounds,
            shutdown: shutdown.clone(),
        };
        let certificates = certificates.clone();
        workers.spawn(async move {
            connection.serve(stream, certificates).await;
            drop(place);
        });
    }
    drop(listener);
    shutdown.tell();
    let all = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
    // The places are never closed.
    let _ = places.acquire_many(all).await;
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

/// Opens the address.
///
/// # Errors
/// As the operating system says.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
