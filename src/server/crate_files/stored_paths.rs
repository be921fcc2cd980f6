//! The paths of all stored files in little memory: a bucket may have millions.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

/// The paths of stored files, by their hashes: another path counts as one of them once in some 2^40 times.
#[derive(Default)]
pub struct StoredPaths {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl StoredPaths {
    pub(super) fn insert(&mut self, path: &str) {
        self.hashes.insert(self.hasher.hash_one(path));
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Says whether a file is stored, in all likelihood.
    pub fn contains(&self, path: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(path))
    }
}
