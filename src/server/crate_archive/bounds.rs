//! How much is read of a `.crate` file.

use crate::server::inflated::Limits;

/// The most that is read of an archive, in bytes unless another unit is named.
pub(super) struct Bounds {
    /// The file itself. crates.io takes 10 MiB, and more where its team allowed it. It inflates to as much as in cargo at most;
    /// sources have 3 to 10 times their file's size.
    pub(super) file: Limits,
    /// Entries, in number.
    pub(super) entries: usize,
    /// The path of an entry.
    pub(super) path: usize,
    /// An entry that says something of the next one: its path where that is long.
    pub(super) extension: u64,
    /// What is kept of a file.
    pub(super) kept: u64,
    /// A manifest. The largest that are known have some 60 KB; one of this size takes up to 25 MB while it is parsed.
    pub(super) manifest: usize,
}

pub(super) const BOUNDS: Bounds = Bounds {
    file: Limits {
        compressed: 128 << 20,
        inflated: 512 << 20,
        free: 16 << 20,
        ratio: 100,
    },
    entries: 50_000,
    path: 512,
    extension: 4 << 10,
    kept: 1 << 20,
    manifest: 256 << 10,
};
