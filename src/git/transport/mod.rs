//! Opens git services on a remote.
//!
//! ```text
//! UploadPack (fetches) ─┐
//!                       ├─ Connection ── Remote ── git | ssh | http | local
//! relay::apply (pushes) ┘
//! ```
//!
//! To add a transport: write a module with an `open(service, v2)` that returns a [`Stream`], and give it a variant of
//! `remote::Host`. To add what a host says when it refuses: a row in `host_messages/known_messages/`, and the host's own
//! words in `host_messages/samples.txt`, against which the table is tested.

mod ahead;
pub mod by_id;
mod connection;
mod credentials;
mod explain;
mod fetch_error;
pub mod git;
mod host_messages;
pub mod http;
mod idle;
pub mod local;
mod pack_stream;
mod proxies;
mod quick_ack;
mod remote;
mod round_trip;
mod side;
pub mod ssh;
mod stream;
mod tcp;
mod tls;
mod upload_pack;

pub use connection::Connection;
pub use credentials::{
    BasicAuth, Credentials, JOB_TOKEN_USER, KnownHostsText, Limits, SshCredentials,
};
pub use fetch_error::FetchError;
pub use host_messages::{HostMessage, Meaning};
pub use http::{Clients, PROXY_ADVICE, sending};
pub use http::{Reach, Refused, innermost, refused, unreachable};
pub use pack_stream::PackStream;
pub use proxies::{Proxies, Proxy};
pub use remote::Remote;
pub use round_trip::RoundTrip;
pub use side::Side;
pub use stream::{Reader, Stderr, Stream, Traffic, Writer};
pub use tcp::{connect_tcp, deadline};
pub use tls::{Refusal, Trust, refusal};
pub use upload_pack::{KeptUploadPack, Scan, UploadPack};

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
