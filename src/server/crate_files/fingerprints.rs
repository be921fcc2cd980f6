//! Which kept files were read through within the last hour, and did not change: these are not hashed at each request again.
//!
//! A file counts as changed when its inode, size, or either of its times is another one; a write by whatever means sets the
//! change time. What a disk loses without a write is found within the hour, and until then by cargo, which hashes too.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use super::{CrateFiles, SMALL, VerifiedFile, disk};
use crate::index::{Checksum, CrateFile};
use crate::server::store::Store;

/// How many files are remembered.
const FILES: usize = 100_000;
/// For how long a file that was read through is believed.
const TRUST: Duration = Duration::from_secs(3600);

/// Files that are right, and when they were read through.
pub(super) struct Fingerprints(Cache<Checksum, (Fingerprint, Instant)>);

/// What tells a file on disk from any other, and from itself at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Default for Fingerprints {
    fn default() -> Self {
        Self(Cache::new(FILES))
    }
}

impl Fingerprints {
    /// Remembers that a file's bytes have this checksum.
    pub(super) fn remember(&self, checksum: Checksum, about: &Metadata, now: Instant) {
        self.0.insert(checksum, (Fingerprint::of(about), now));
    }

    fn is(&self, checksum: Checksum, about: &Metadata, now: Instant) -> bool {
        let known = self.fresh(checksum, now);
        known.is_some_and(|known| known == Fingerprint::of(about))
    }

    fn fresh(&self, checksum: Checksum, now: Instant) -> Option<Fingerprint> {
        let (known, at) = self.0.get(&checksum)?;
        (now < at + TRUST).then_some(known)
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
    pub(super) async fn read_again(&self, file: &CrateFile) -> Option<VerifiedFile> {
        let Store::Folder(folder) = &self.store else {
            return None;
        };
        let now = Instant::now();
        self.verified.fresh(file.checksum, now)?;
        let path = file.path();
        let kept = folder.open(&path).ok()??;
        let about = kept.metadata().ok()?;
        if !self.verified.is(file.checksum, &about, now) {
            return None;
        }
        self.touch(path);
        let kept = Arc::new(kept);
        if about.len() > SMALL as u64 {
            return Some(VerifiedFile::File(kept, about.len()));
        }
        let read = disk::read(&kept, 0, about.len() as usize).await;
        read.ok().map(VerifiedFile::Memory)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_is_believed_for_an_hour_and_as_long_as_nobody_writes_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let about = || file.as_file().metadata().unwrap();
        let (checksum, now) = (Checksum::from_bytes([1; 32]), Instant::now());
        let verified = Fingerprints::default();
        assert!(!verified.is(checksum, &about(), now));
        verified.remember(checksum, &about(), now);
        assert!(verified.is(checksum, &about(), now + TRUST - Duration::from_secs(1)));
        assert!(!verified.is(checksum, &about(), now + TRUST));
        std::fs::write(file.path(), b"written").unwrap();
        assert!(!verified.is(checksum, &about(), now));
        // Who writes as much and sets the time back cannot set back when that was done, once the clock has gone on.
        let before = about();
        verified.remember(checksum, &before, now);
        while (about().ctime(), about().ctime_nsec()) == (before.ctime(), before.ctime_nsec()) {
            std::fs::write(file.path(), b"another").unwrap();
            file.as_file()
                .set_modified(before.modified().unwrap())
                .unwrap();
        }
        assert_eq!(about().modified().unwrap(), before.modified().unwrap());
        assert!(!verified.is(checksum, &about(), now));
    }
}
