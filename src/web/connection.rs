//! One connection: TLS where the server has a certificate, the protocol that the client speaks, its requests.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

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

use super::ending::Ending;
use super::pace::{Pace, Waits};
use super::protocol::{self, Protocol, Rewound};
use super::{Bounds, Certificates, Peer};

/// The longest head of a request, in bytes.
const HEAD: usize = 32 << 10;
/// How many requests of one HTTP/2 connection are answered at once.
const STREAMS: u32 = 128;

/// What it takes to serve a connection.
pub(super) struct Connection<A> {
    pub(super) answer: A,
    pub(super) peer: Peer,
    pub(super) bounds: Bounds,
    pub(super) ending: Ending,
}

impl<A, R, B> Connection<A>
where
    A: Fn(Request<Incoming>, Peer) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: HttpBody<Data = Bytes, Error = axum::Error> + Send + Unpin + 'static,
{
    /// Serves until the client goes, is too slow, or the server ends.
    pub(super) async fn serve(self, stream: TcpStream, certificates: Option<Arc<Certificates>>) {
        // From here on this thread hears of it.
        let stream = match stream.into_std().and_then(TcpStream::from_std) {
            Ok(stream) => stream,
            Err(error) => return debug!("a client's connection is lost: {error}"),
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.bounds.write));
        let stream = Box::pin(stream);
        match certificates {
            None => self.speak(stream).await,
            Some(certificates) => {
                let accepting = certificates.accept(stream);
                if let Some(stream) =
                    begin("TLS handshake", accepting, &self.ending, self.bounds).await
                {
                    self.speak(Box::new(stream)).await;
                }
            }
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let telling = protocol::tell(stream);
        let ended = match begin("first request", telling, &self.ending, self.bounds).await {
            None => return,
            Some((Protocol::Http1, stream)) => self.speak_http1(stream).await,
            Some((Protocol::Http2, stream)) => self.speak_http2(stream).await,
        };
        if let Err(error) = ended {
            debug!("a client's connection ended: {error}");
        }
    }

    async fn speak_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: Rewound<S>,
    ) -> hyper::Result<()> {
        let Self { answer, peer, .. } = self;
        let pace = Pace::new(Waits::ForUs);
        let counted = pace.clone();
        let connection = http1::Builder::new().max_buf_size(HEAD).serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| counted.clone().answer(answer(request, peer))),
        );
        let watched = self.ending.watch(connection);
        let kept = pace.keep(self.bounds.head, watched).await;
        kept.unwrap_or(Ok(()))
    }

    async fn speak_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: Rewound<S>,
    ) -> hyper::Result<()> {
        let Self { answer, peer, .. } = self;
        let pace = Pace::new(Waits::ForClient);
        let counted = pace.clone();
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD as u32)
            .keep_alive_interval(Some(self.bounds.write))
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| counted.clone().answer(answer(request, peer))),
            );
        let watched = self.ending.watch(connection);
        let kept = pace.keep(self.bounds.write, watched).await;
        kept.unwrap_or(Ok(()))
    }
}

/// Waits for something that must come soon.
async fn begin<T>(
    what: &str,
    work: impl Future<Output = io::Result<T>>,
    ending: &Ending,
    bounds: Bounds,
) -> Option<T> {
    let begun = tokio::select! {
        begun = timeout(bounds.head, work) => begun,
        () = ending.come() => return None,
    };
    match begun {
        Ok(Ok(begun)) => return Some(begun),
        Ok(Err(error)) => debug!("a client's {what} failed: {error}"),
        Err(_) => debug!("a client's {what} took too long"),
    }
    None
}
