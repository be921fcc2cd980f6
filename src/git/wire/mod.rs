//! The git wire protocol over any `AsyncRead`, and requests as bytes: it opens no connection.
//!
//! Formats: `gitprotocol-common`, `gitprotocol-pack` (v0, v1), `gitprotocol-v2` and `gitformat-pack` of git's documentation.
//!
//! gix-protocol and gix-transport are not used: they fetch into a repository, negotiate by its refs, and have no push, while a
//! relay has no repository, chooses its `have` and `shallow` lines itself, and passes a pack from one server to the other.

mod advertisement;
mod error;
pub mod pack;
mod pkt_line;
pub mod receive_pack;
mod refs;
mod sideband;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;
mod trace;
pub mod upload_pack;

pub use advertisement::{Advertisement, Capabilities, Protocol};
pub use error::Error;
pub use pkt_line::{Packet, PacketReader, PacketWriter};
pub use refs::{Head, Refs, branch_ref, is_branch_name, ls_refs_request, read_ls_refs};
pub use sideband::Sideband;
pub use trace::PacketTrace;

/// The result of reading or writing the wire.
pub type Result<T> = std::result::Result<T, Error>;

/// The `agent` capability that is sent to servers.
pub const AGENT: &str = concat!("crates-ferry/", env!("CARGO_PKG_VERSION"));
