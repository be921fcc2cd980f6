//! Opens git services on a remote: `git://`, ssh, smart HTTP, and a local `git` process.

pub mod git;
mod idle;
pub mod local;
mod quick_ack;
pub mod ssh;
mod stream;
mod tcp;

pub use stream::{Reader, Stderr, Stream, Traffic, Writer};

/// A git service that a remote runs for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Sends objects to us.
    UploadPack,
    /// Takes objects from us.
    ReceivePack,
}

impl Service {
    /// Returns the service's name on the wire, for example `git-upload-pack`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}
