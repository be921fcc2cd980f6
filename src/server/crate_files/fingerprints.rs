//! Which stored files were verified within the last hour and did not change: these are not hashed for each request
//! again.
//!
//! A file counts as changed when its inode, its size or either of its times differs; any write sets the change
//! time. What a disk loses without a write is found within the hour, and until then by cargo, which hashes as well.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

use crate::index::Checksum;

/// How many files are remembered.
// Some 150 bytes each; a file that is forgotten is hashed again, and no more.
const FILES: usize = 100_000;
/// For how long a verified file is trusted.
const TRUST: Duration = Duration::from_secs(3600);

/// The fingerprints of files that were verified, and when that was.
pub(super) struct Fingerprints(Cache<Checksum, (Fingerprint, Instant)>);

/// What tells a file on disk from any other, and from itself at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    // Any program can set the modification time back (`touch -d`, `rsync -t`), but not the change time.
    changed: (i64, i64),
}

impl Default for Fingerprints {
    fn default() -> Self {
        Self(Cache::new(FILES))
    }
}

impl Fingerprints {
    /// Remembers that the bytes of a file have this checksum.
    pub(super) fn remember(&self, checksum: Checksum, about: &Metadata, now: Instant) {
        self.0.insert(checksum, (Fingerprint::of(about), now));
    }

    /// Says whether a file is still the one that was verified.
    pub(super) fn matches(&self, checksum: Checksum, about: &Metadata, now: Instant) -> bool {
        let known = self.fresh(checksum, now);
        known.is_some_and(|known| known == Fingerprint::of(about))
    }

    /// Returns the fingerprint of a file that was verified within the hour.
    pub(super) fn fresh(&self, checksum: Checksum, now: Instant) -> Option<Fingerprint> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_is_trusted_for_an_hour_and_as_long_as_nobody_writes_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let about = || file.as_file().metadata().unwrap();
        let (checksum, now) = (Checksum::from_bytes([1; 32]), Instant::now());
        let fingerprints = Fingerprints::default();
        assert!(!fingerprints.matches(checksum, &about(), now));
        fingerprints.remember(checksum, &about(), now);
        assert!(fingerprints.matches(checksum, &about(), now + TRUST - Duration::from_secs(1)));
        assert!(!fingerprints.matches(checksum, &about(), now + TRUST));
        std::fs::write(file.path(), b"written").unwrap();
        assert!(!fingerprints.matches(checksum, &about(), now));
        // A write of the same size that sets the modification time back still has another change time, once the clock
        // ticked.
        let before = about();
        fingerprints.remember(checksum, &before, now);
        while (about().ctime(), about().ctime_nsec()) == (before.ctime(), before.ctime_nsec()) {
            std::fs::write(file.path(), b"another").unwrap();
            file.as_file()
                .set_modified(before.modified().unwrap())
                .unwrap();
        }
        assert_eq!(about().modified().unwrap(), before.modified().unwrap());
        assert!(!fingerprints.matches(checksum, &about(), now));
    }
}
