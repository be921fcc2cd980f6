//! Which crate files a bucket has, as far as this server knows without asking.
//!
//! Each server of a bucket stores and reads files, the bucket expires them, and listings cost money and time. So what was seen
//! is remembered with the time, and counts until a later listing does not have it, or nobody has seen it for a while.
//!
//! `moka` would expire entries by itself, but here one listing outdates many of them at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;

/// How many files are remembered, of which the least recently used are forgotten first: some 25 MB.
const FILES: usize = 200_000;
/// How many listings of single crates are remembered.
const LISTINGS: usize = 10_000;
/// How long a file counts as stored after it was last seen; all of a bucket is listed every hour.
const BELIEVED: Duration = Duration::from_secs(2 * 3600);
/// For how long a listing is not repeated.
const FRESH: Duration = Duration::from_secs(60);

/// The files of a bucket, as far as they are known.
pub(super) struct BucketFiles {
    files: Cache<Box<str>, Seen>,
    /// When the folders of single crates were last listed.
    folders: Cache<Box<str>, Instant>,
    /// When all files were last listed.
    all: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    bytes: u64,
    at: Instant,
}

impl Default for BucketFiles {
    fn default() -> Self {
        Self {
            files: Cache::new(FILES),
            folders: Cache::new(LISTINGS),
            all: Mutex::default(),
        }
    }
}

impl BucketFiles {
    /// Records that a file of so many bytes is stored.
    pub(super) fn saw(&self, path: &str, bytes: u64, at: Instant) {
        // A listing may take long: what it ends with may be older than what was seen meanwhile.
        let before = self.files.get(path).map(|seen| seen.at);
        let at = before.map_or(at, |before| before.max(at));
        self.files.insert(path.into(), Seen { bytes, at });
    }

    /// Records that a file is not stored.
    pub(super) fn missed(&self, path: &str) {
        self.files.remove(path);
    }

    /// Records that all files were listed, each of which was seen, from this time on: what was last seen before it does not count
    /// any more.
    pub(super) fn listed_all(&self, began: Instant) {
        *self.all() = Some(began);
    }

    /// Records that the folder of one crate was listed, as [`BucketFiles::listed_all`] does of all.
    pub(super) fn listed(&self, folder: &str, began: Instant) {
        self.folders.insert(folder.into(), began);
    }

    /// Says whether it is long enough ago that a folder was listed, or all files were.
    pub(super) fn is_due(&self, folder: &str, now: Instant) -> bool {
        let listed = self.last_listing(folder);
        listed.is_none_or(|listed| now.saturating_duration_since(listed) >= FRESH)
    }

    /// Says whether a file counts as stored: returns its size in bytes, if so.
    pub(super) fn size(&self, path: &str, now: Instant) -> Option<u64> {
        let seen = self.files.get(path)?;
        let (folder, _) = path.rsplit_once('/')?;
        let is_listed = self.last_listing(folder).is_none_or(|last| seen.at >= last);
        let is_believed = now.saturating_duration_since(seen.at) < BELIEVED;
        (is_listed && is_believed).then_some(seen.bytes)
    }

    fn last_listing(&self, folder: &str) -> Option<Instant> {
        // `None` is less than any time.
        self.folders.get(folder).max(*self.all())
    }

    fn all(&self) -> MutexGuard<'_, Option<Instant>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOO: &str = "3/f/foo";
    const ONE: &str = "3/f/foo/foo-1.0.0.crate";
    const TWO: &str = "3/f/foo/foo-2.0.0.crate";
    const OTHER: &str = "3/b/bar/bar-1.0.0.crate";
    const SECOND: Duration = Duration::from_secs(1);

    fn list(files: &BucketFiles, folder: &str, paths: &[&str], began: Instant) {
        paths.iter().for_each(|path| files.saw(path, 5, began));
        files.listed(folder, began);
    }

    fn list_all(files: &BucketFiles, paths: &[&str], began: Instant) {
        paths.iter().for_each(|path| files.saw(path, 5, began));
        files.listed_all(began);
    }

    #[test]
    fn what_a_later_listing_does_not_have_does_not_count() {
        let (files, now) = (BucketFiles::default(), Instant::now());
        for path in [ONE, TWO, OTHER] {
            files.saw(path, 5, now);
        }
        list(&files, FOO, &[ONE], now + SECOND);
        assert_eq!(files.size(ONE, now + SECOND), Some(5));
        assert_eq!(files.size(TWO, now + SECOND), None);
        // A listing of one crate says nothing of another.
        assert_eq!(files.size(OTHER, now + SECOND), Some(5));
        list_all(&files, &[TWO], now + 2 * SECOND);
        for (path, size) in [(ONE, None), (TWO, Some(5)), (OTHER, None)] {
            assert_eq!(files.size(path, now + 2 * SECOND), size);
        }
    }

    #[test]
    fn what_is_seen_while_a_listing_is_made_counts() {
        let (files, now) = (BucketFiles::default(), Instant::now());
        files.saw(ONE, 5, now + SECOND);
        files.listed_all(now);
        assert_eq!(files.size(ONE, now + SECOND), Some(5));
        // The listing of a crate ends before that of all, which began before it.
        list(&files, FOO, &[ONE], now + 2 * SECOND);
        list_all(&files, &[ONE, TWO], now + SECOND);
        assert_eq!(files.size(ONE, now + 2 * SECOND), Some(5));
        assert_eq!(files.size(TWO, now + 2 * SECOND), None);
    }

    #[test]
    fn what_nobody_lists_or_reads_is_not_believed_for_ever() {
        let (files, now) = (BucketFiles::default(), Instant::now());
        files.saw(ONE, 5, now);
        assert_eq!(files.size(ONE, now + BELIEVED - SECOND), Some(5));
        assert_eq!(files.size(ONE, now + BELIEVED), None);
        files.saw(ONE, 5, now + BELIEVED);
        assert_eq!(files.size(ONE, now + BELIEVED), Some(5));
        files.missed(ONE);
        assert_eq!(files.size(ONE, now + BELIEVED), None);
    }

    #[test]
    fn a_crate_is_listed_once_a_minute_unless_all_files_are() {
        let (files, now) = (BucketFiles::default(), Instant::now());
        assert!(files.is_due(FOO, now));
        files.listed(FOO, now);
        assert!(!files.is_due(FOO, now + FRESH - SECOND));
        assert!(files.is_due(FOO, now + FRESH));
        files.listed_all(now + FRESH);
        assert!(!files.is_due(FOO, now + FRESH));
        assert!(!files.is_due("3/b/bar", now + FRESH));
    }

    #[test]
    fn a_bucket_with_more_files_takes_no_more_memory() {
        let (files, now) = (BucketFiles::default(), Instant::now());
        for number in 0..FILES + 50_000 {
            files.saw(&format!("3/f/foo/foo-{number}.0.0.crate"), 5, now);
        }
        files.listed_all(now);
        assert!(files.files.len() <= FILES);
        assert!(files.files.len() > FILES / 2);
    }
}
