//! What a request gets: an answer at once, where memory has all of it, or one that takes a while.

use axum::http::Response;
use futures_util::future::BoxFuture;

use crate::http::Body;
use crate::http::refusal::Refusal;

/// What a request gets.
pub(super) enum Reply {
    /// An answer that is here: the request is over before the connection reads on.
    Now(Response<Body>),
    /// One that waits for the disk, for upstream, or for the rest of the request.
    Later(BoxFuture<'static, Result<Response<Body>, Refusal>>),
}

impl Reply {
    /// Makes a reply that takes a while.
    pub(super) fn later(
        work: impl Future<Output = Result<Response<Body>, Refusal>> + Send + 'static,
    ) -> Self {
        Self::Later(Box::pin(work))
    }

    /// Waits for it.
    pub(super) async fn wait(self) -> Result<Response<Body>, Refusal> {
        match self {
            Self::Now(response) => Ok(response),
            Self::Later(work) => work.await,
        }
    }
}
