//! The body of a response: bytes in memory, without a box around them, or any other body.
//!
//! axum's `Body` is boxed, and a response from memory is most of the work: an allocation for each would be one too
//! many.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// The body of a response.
#[derive(Debug)]
pub enum Body {
    /// All of it, in memory.
    Whole(Bytes),
    /// A body of any kind, such as a stream.
    Other(axum::body::Body),
}

impl Body {
    /// Makes an empty body.
    pub const fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    /// Returns how many bytes there are, if that is known.
    pub fn size(&self) -> Option<u64> {
        self.size_hint().exact()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl From<axum::body::Body> for Body {
    fn from(body: axum::body::Body) -> Self {
        Self::Other(body)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Other(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Other(body) => body.size_hint(),
        }
    }
}
