//! Why a fetch failed: what callers tell apart.

use crate::error::Error;

/// Why a fetch failed.
///
/// Tells a missing object from a server that fails: the first is a fact about the repository that callers may build on, the
/// second says nothing about it. Each variant holds the error to report, which `?` takes out where the difference does not
/// matter.
#[derive(Debug)]
pub enum FetchError {
    /// The server does not have a wanted object, or does not serve it (git's `not our ref`).
    Missing(Error),
    /// The response is larger than planning ever needs; a retry gets the same.
    TooLarge(Error),
    /// The connection, the server or the response failed, for a while or for good.
    Failed(Error),
}

/// Why there is no response to a fetch.
pub(super) enum NoResponse {
    /// The server closed the connection without a message.
    HungUp(Error),
    /// Anything else.
    Failed(FetchError),
}

impl From<Error> for NoResponse {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<NoResponse> for FetchError {
    fn from(none: NoResponse) -> Self {
        match none {
            NoResponse::HungUp(error) => Self::Failed(error),
            NoResponse::Failed(error) => error,
        }
    }
}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Missing(error)
            | FetchError::TooLarge(error)
            | FetchError::Failed(error) => error,
        }
    }
}
