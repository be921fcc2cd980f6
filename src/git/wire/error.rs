//! Errors on the wire.

use std::io;

/// A failure while talking to a git service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side closed the connection in the middle of a response.
    #[error("the connection was cut before the response was complete")]
    Cut,
    /// Reading or writing failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// The response is not the git protocol.
    #[error("the response is not the git protocol: {0}")]
    Garbage(String),
    /// The response is larger than anything that an honest server sends.
    #[error("{what} is larger than the limit of {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// The limit, in the unit that `what` is counted in.
        limit: usize,
    },
    /// The server refused with this message.
    #[error("the server says: {0}")]
    Remote(String),
    /// The repository or the server is of an unsupported kind.
    #[error("{0}")]
    Unsupported(String),
    /// The server offers less of the protocol than is needed.
    #[error("the server does not offer `{capability}`, without which {without}")]
    Lacks {
        /// The capability, as gitprotocol-capabilities names it.
        capability: &'static str,
        /// What cannot be done without it.
        without: &'static str,
    },
    /// The pack's checksum does not match its contents.
    #[error("the pack is damaged: its checksum is not that of its contents")]
    Checksum,
}

impl Error {
    /// Returns the error for an answer that no server should give.
    pub fn garbage(what: impl Into<String>) -> Self {
        Self::Garbage(what.into())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // One kind, whichever way the system reports it: for a cut connection the caller looks for the server's
            // last words (its error output, the sideband), which usually say why.
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted => Self::Cut,
            _ => Self::Io(error),
        }
    }
}
