//! Opens git services on a remote: `git://`, ssh, smart HTTP, and a local `git` process.

mod access;
pub mod by_id;
mod connection;
pub mod git;
mod host_words;
pub mod http;
mod idle;
pub mod local;
mod quick_ack;
mod refusal;
mod remote;
pub mod ssh;
mod stream;
mod tcp;
mod upload_pack;

pub use access::{BasicAuth, Credentials, JOB_TOKEN_USER, KnownHostsText, Limits, SshCredentials};
pub use connection::Connection;
pub use host_words::{HostAnswer, HostWords};
pub(crate) use http::{Clients, sending};
pub use remote::Remote;
pub use stream::{Reader, Stderr, Stream, Traffic, Writer};
pub use upload_pack::{FetchError, Scan, UploadPack};

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
