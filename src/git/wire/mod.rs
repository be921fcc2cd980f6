//! The git wire protocol, without any I/O of its own: it reads from and writes to whatever it is given.
//!
//! Formats: `gitprotocol-common`, `gitprotocol-pack` (v0, v1), `gitprotocol-v2` and `gitformat-pack` of git's documentation.

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
pub use refs::{Head, Refs, branch_ref, ls_refs_request, read_ls_refs};
pub use sideband::Sideband;
pub use trace::PacketTrace;

/// The result of reading or writing the wire.
pub type Result<T> = std::result::Result<T, Error>;

/// The name by which we introduce ourselves to servers.
pub const AGENT: &str = concat!("crates-ferry/", env!("CARGO_PKG_VERSION"));
