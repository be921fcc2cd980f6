//! Why a crate file cannot be had.

use tracing::{error, warn};

use crate::index::{Checksum, CrateFile};

/// Why a crate file cannot be had now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It is not kept, and nothing is fetched.
    #[error(
        "the crate file is not held here, and this server fetches nothing (downloads: offline)"
    )]
    NotHeld,
    /// Upstream says that it has no such file.
    #[error("upstream has no such crate file: it answers {0}")]
    Missing(u16),
    /// Upstream cannot be reached, or answers what it should not.
    #[error("the crate file cannot be fetched from upstream: {0}")]
    Upstream(String),
    /// Upstream was asked in vain a moment ago; after so many seconds it is asked again.
    #[error("upstream cannot be reached; it is asked again in {0} s")]
    Paused(u64),
    /// This file was asked for in vain a moment ago; after so many seconds it is asked for again.
    #[error("{0}; it is asked for again in {1} s")]
    Lately(Box<Unavailable>, u64),
    /// Too many files are waited for already.
    #[error("upstream is asked for too many other crate files at the moment")]
    Busy,
    /// Everybody who asked for it went away before upstream was asked.
    #[error("nobody waits for the crate file any more")]
    Abandoned,
    /// Upstream does not answer in time.
    #[error("upstream takes too long: {0}")]
    Slow(String),
    /// The bytes are not those that the index vouches for.
    #[error(
        "what upstream sent is not the crate file: its SHA-256 checksum is {found}, and the index says {wanted}"
    )]
    Mismatch {
        /// What the index says.
        wanted: Checksum,
        /// What the bytes hash to.
        found: Checksum,
    },
    /// The store cannot be read, and upstream is not asked.
    #[error("the store of this server cannot be read: {0}")]
    Store(String),
    /// The disk of this server refuses.
    #[error("the disk of this server refuses: {0}")]
    Disk(String),
}

impl Unavailable {
    /// Logs what a person may have to look at.
    pub(super) fn log(&self, file: &CrateFile) {
        match self {
            Self::NotHeld | Self::Paused(_) | Self::Lately(..) | Self::Abandoned => {}
            // It was logged as what the store said.
            Self::Store(_) => {}
            Self::Mismatch { .. } | Self::Disk(_) => error!("{file}: {self}"),
            _ => warn!("{file}: {self}"),
        }
    }
}
