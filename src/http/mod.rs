//! What both HTTP servers share.
//!
//! ```text
//! accept → TLS → detect → hyper → routes (access) → handler     shutdown, stall_guard: watch over each connection
//! ```

pub mod access;
mod body;
mod connection;
mod detect;
pub mod error_response;
pub mod logged_failure;
mod progress_io;
pub mod routes;
pub mod scopes;
mod shutdown;
mod stall_guard;
mod tls;
pub mod upload;
pub mod webhook;
mod workers;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;
use tracing::warn;

pub use body::Body;
use connection::Connection;
pub use connection::{Bounds, Peer};
use shutdown::Shutdown;
pub use tls::Certificates;
use workers::Workers;

/// A request whose body has not been read.
pub type Request = axum::http::Request<Incoming>;

/// Serves until something is sent to `stop` or its sender is dropped, then drains the requests in flight; the caller limits
/// how long.
///
/// `axum::serve` has no limit of connections, no timeouts, and no TLS.
pub async fn serve<A, R, B>(
    listener: TcpListener,
    answer: A,
    bounds: Bounds,
    certificates: Option<Arc<Certificates>>,
    mut stop: oneshot::Receiver<()>,
) where
    A: Fn(Request, Peer) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: HttpBody<Data = Bytes, Error = axum::Error> + Send + Unpin + 'static,
{
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let shutdown = Shutdown::default();
    let mut workers = Workers::start(bounds.threads);
    loop {
        let accepted = async {
            // In this order: connections beyond the limit wait in the system's backlog.
            let slot = Arc::clone(&slots).acquire_owned().await;
            (accept(&listener).await, slot)
        };
        let ((stream, peer), slot) = tokio::select! {
            accepted = accepted => accepted,
            _ = &mut stop => break,
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
            drop(slot);
        });
    }
    // Closed before the connections are told: who connects from here on is refused at once, and can try another server,
    // instead of waiting in the backlog of one that is ending.
    drop(listener);
    shutdown.start();
    let all = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
    // `acquire_many` takes a u32; the bounds of both servers are far below that.
    // All slots are free once the last connection has ended. The semaphore is never closed, so that this cannot fail.
    let _ = slots.acquire_many(all).await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Under Nagle's algorithm the end of a response would wait until the client acknowledges its beginning.
                // If it fails, responses only arrive a little later.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                // Out of file descriptors, for example: the connection stays in the backlog, and accepting it again at
                // once would be a busy loop until another one ends.
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Raises the limit of open files to the hard limit, and returns it.
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // Most systems set the soft limit to 1,024 because of `select`, which cannot wait for higher descriptors. tokio
    // does not use it.
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // If it fails, the limit stays as it is.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Listens on an address.
///
/// # Errors
/// If the operating system refuses the address.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}
