//! Which kept files were read through since the start, and did not change: these are not hashed at each request again.
//!
//! A file counts as changed when its inode, size, or either of its times is another one; a write by whatever means sets the
//! change time. What a disk loses without a write is found by `cache verify`, and by cargo.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use quick_cache::sync::Cache;

use super::{CrateFiles, Held, SMALL, disk};
use crate::index::{Checksum, CrateFile};
use crate::store::Store;

/// How many files are remembered.
const FILES: usize = 100_000;

/// Files that are right.
pub(super) struct Verified(Cache<Checksum, Fingerprint>);

/// What tells a file on disk from any other, and from itself at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Default for Verified {
    fn default() -> Self {
        Self(Cache::new(FILES))
    }
}

impl Verified {
    /// Remembers that a file's bytes have this checksum.
    pub(super) fn remember(&self, checksum: Checksum, about: &Metadata) {
        self.0.insert(checksum, Fingerprint::of(about));
    }

    fn is(&self, checksum: Checksum, about: &Metadata) -> bool {
        self.0.get(&checksum) == Some(Fingerprint::of(about))
    }

    fn knows(&self, checksum: Checksum) -> bool {
        self.0.get(&checksum).is_some()
    }
}

impl Fingerprint {
    fn of(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

impl CrateFiles {
    /// Reads a kept file that was verified before and did not change since; `None` where it has to be looked at.
    pub(super) async fn read_again(&self, file: &CrateFile) -> Option<Held> {
        let Store::Folder(folder) = &self.store else {
            return None;
        };
        if !self.verified.knows(file.checksum) {
            return None;
        }
        let path = file.path();
        let kept = folder.open(&path).ok()??;
        let about = kept.metadata().ok()?;
        if !self.verified.is(file.checksum, &about) {
            return None;
        }
        self.touch(path);
        let kept = Arc::new(kept);
        if about.len() > SMALL as u64 {
            return Some(Held::File(kept, about.len()));
        }
        let read = disk::read(&kept, 0, about.len() as usize).await;
        read.ok().map(Held::Memory)
    }
}
