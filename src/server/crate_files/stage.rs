//! The progress of the search for a crate file, as the requests that wait for it see it.

use std::fs::File;
use std::sync::Arc;

use super::unavailable::Unavailable;
use super::verified_file::VerifiedFile;

/// The stage that the search for a crate file has reached.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// The store is being read.
    Searching,
    /// A cache miss: the file is being requested from upstream, or waits for a connection.
    Miss,
    /// The file is being fetched; what was released of it can be read.
    InFlight {
        /// Where it is written.
        file: Arc<File>,
        /// Its size, in bytes, as upstream announced it.
        total: u64,
        /// How many bytes may be read.
        released: u64,
    },
    /// The file is here and verified.
    Ready {
        /// The file.
        file: VerifiedFile,
        /// Whether it came from upstream.
        fetched: bool,
    },
    /// The file is unavailable.
    Failed(Unavailable),
}
