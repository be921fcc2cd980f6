//! The reasons why a crate file is unavailable.

use tracing::{error, warn};

use crate::index::{Checksum, CrateFile};

/// The reason why a crate file is unavailable now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// It is not stored, and nothing is fetched.
    #[error("the crate file is not stored on this server, which is offline (serve.downloads)")]
    NotStored,
    /// Upstream does not have it; with its host and the status of its response.
    #[error("upstream does not have this crate file: {0}")]
    Missing(String),
    /// Upstream cannot be reached, or its response is wrong.
    #[error("cannot fetch the crate file from upstream: {0}")]
    Upstream(String),
    /// Upstream's response is one that a retry would get again, such as a redirect in a circle.
    #[error("cannot fetch the crate file from upstream: {0}")]
    Unfetchable(String),
    /// Upstream failed too often in a row; it is paused for this many seconds.
    #[error("upstream keeps failing; retry in {0} s")]
    Paused(u64),
    /// Fetching this file failed a moment ago, and is not tried again for this many seconds.
    #[error("{0}; retry in {1} s")]
    FailedRecently(Box<Unavailable>, u64),
    /// Too many fetches wait for a connection already.
    #[error("too many other crate files are being fetched from upstream")]
    Busy,
    /// All clients that asked for it disconnected before upstream was asked.
    #[error("all clients that asked for the crate file have disconnected")]
    Abandoned,
    /// Upstream does not respond in time.
    #[error("timeout while fetching the crate file from upstream: {0}")]
    Timeout(String),
    /// The bytes do not have the checksum that the index lists.
    #[error(
        "checksum mismatch: upstream sent a file whose SHA-256 is {found}; the index lists {wanted}"
    )]
    Mismatch {
        /// The checksum that the index lists.
        wanted: Checksum,
        /// The checksum of the bytes.
        found: Checksum,
    },
    /// The store cannot be read, and upstream is not asked.
    #[error("cannot read the store of this server: {0}")]
    Store(String),
    /// It cannot be written to the disk of this server.
    #[error("cannot write to the disk of this server: {0}")]
    Disk(String),
}

impl Unavailable {
    /// Returns the reason without the time of the next try, for whoever does not try again.
    pub fn last_word(&self) -> String {
        match self {
            Self::Paused(_) => "upstream keeps failing".to_owned(),
            Self::FailedRecently(why, _) => why.last_word(),
            Self::Store(why) => {
                let why = why
                    .split_once("; retry in ")
                    .map_or(why.as_str(), |(why, _)| why);
                Self::Store(why.to_owned()).to_string()
            }
            why => why.to_string(),
        }
    }

    /// Logs it if a person may have to act.
    pub(super) fn log(&self, file: &CrateFile) {
        match self {
            // These repeat what was logged before, are what the configuration wants, or concern nobody any more.
            Self::NotStored | Self::Paused(_) | Self::FailedRecently(..) | Self::Abandoned => {}
            // The store logged its error where it was read.
            Self::Store(_) => {}
            Self::Mismatch { .. } | Self::Disk(_) => error!("{file}: {self}"),
            _ => warn!("{file}: {self}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_promises_no_other_try() {
        let cut = || Box::new(Unavailable::Upstream("cut".to_owned()));
        for (why, last_word) in [
            (Unavailable::Paused(2), "upstream keeps failing"),
            (
                Unavailable::FailedRecently(cut(), 3),
                "cannot fetch the crate file from upstream: cut",
            ),
            (
                Unavailable::Store("the bucket keeps failing; retry in 2 s".to_owned()),
                "cannot read the store of this server: the bucket keeps failing",
            ),
        ] {
            assert_eq!(why.last_word(), last_word);
        }
    }
}
