//! What can go wrong on the wire.

use std::io;

/// A failure of a conversation with a git service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side closed the connection in the middle of something.
    #[error("the connection was cut before the answer was complete")]
    Cut,
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// What arrived is not the git protocol.
    #[error("the answer is not the git protocol: {0}")]
    Garbage(String),
    /// What arrived is larger than anything an honest server sends.
    #[error("{what} is larger than the limit of {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// The limit, in the unit that `what` is counted in.
        limit: usize,
    },
    /// The server says in its own words that it cannot or will not.
    #[error("the server says: {0}")]
    Remote(String),
    /// The repository or the server is of a kind that we do not support.
    #[error("{0}")]
    Unsupported(String),
    /// The pack's checksum does not match its contents.
    #[error("the pack is damaged: its checksum is not that of its contents")]
    Checksum,
}

impl Error {
    pub(crate) fn garbage(what: impl Into<String>) -> Self {
        Self::Garbage(what.into())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => Self::Cut,
            _ => Self::Io(error),
        }
    }
}
