//! The store, of which nothing is served that was not verified.
//!
//! Disks and buckets lose bits. A file of the folder is hashed when it is first read, and again when that was an hour
//! ago or the file changed; one of a bucket every time. A damaged file is removed, and fetched again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::error;

use super::circuit_breaker::CircuitBreaker;
use super::counts::Counter;
use super::fingerprints::Fingerprints;
use super::inventory::Inventory;
use super::receive::{Incoming, Received, finish, receive};
use super::unavailable::Unavailable;
use super::verified_file::{SMALL, VerifiedFile, read_at};
use crate::index::{Checksum, CrateFile};
use crate::server::memory_budget::{MemoryBudget, Share};
use crate::server::pace::{Pace, TooSlow};
use crate::server::store::{Content, Removed, Scratch, Store, StoredBytes};

/// How long a bucket may be silent while a client waits: upstream has the file, too.
const SILENCE: Duration = Duration::from_secs(5);
/// As long as the limits of the bucket's own client allow.
const UNBOUNDED: Duration = Duration::MAX;
/// The failure in a row with which a bucket is paused.
const BUCKET_FAILURES: u32 = 3;

/// The store, and what is known of its files and of its state.
pub(super) struct VerifiedStore {
    inventory: Arc<Inventory>,
    /// What was verified within the last hour.
    fingerprints: Fingerprints,
    /// Pauses a bucket that keeps failing.
    breaker: CircuitBreaker,
    scratch: Scratch,
    /// The memory of small files, also of those that left the hot cache.
    budget: MemoryBudget,
    pub(super) damaged: Counter,
    pub(super) write_failures: Counter,
}

/// What the store has of a file.
enum Reading {
    Absent,
    Damaged,
    Right(VerifiedFile),
}

/// What the verification of a stored file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// Its checksum is right.
    Right,
    /// It is not stored.
    Absent,
    /// Its checksum is wrong.
    Damaged {
        /// Whether it is still stored: it was not to be removed, or is being read.
        stays: bool,
    },
}

impl VerifiedStore {
    pub(super) fn new(inventory: Arc<Inventory>, scratch: Scratch, budget: MemoryBudget) -> Self {
        Self {
            inventory,
            fingerprints: Fingerprints::default(),
            breaker: CircuitBreaker::new(BUCKET_FAILURES),
            scratch,
            budget,
            damaged: Counter::default(),
            write_failures: Counter::default(),
        }
    }

    /// Reads a file of the folder that was verified within the hour and did not change since; `None` if it has to be
    /// verified.
    pub(super) async fn read_again(&self, file: &CrateFile) -> Option<VerifiedFile> {
        let Store::Folder(folder) = self.inventory.store() else {
            return None;
        };
        let now = Instant::now();
        self.fingerprints.fresh(file.checksum, now)?;
        let path = file.path();
        // On this thread: what was verified within the hour is mostly in the system's caches still, and handing it to
        // another thread would take longer.
        let stored = folder.open(&path).ok()??;
        let about = stored.metadata().ok()?;
        if !self.fingerprints.matches(file.checksum, &about, now) {
            return None;
        }
        self.inventory.touch(path);
        let stored = Arc::new(stored);
        // Other files stay on disk, and the system's page cache is their memory.
        let Some(share) = share_of(&self.budget, about.len()) else {
            return Some(VerifiedFile::Disk(stored, about.len()));
        };
        // Not hashed again: the fingerprint was read from the open file, and not by its path, so that it is that of
        // these bytes.
        let read = read_at(&stored, 0, about.len() as usize).await.ok()?;
        Some(VerifiedFile::Memory(share.hold(read)))
    }

    /// Reads a file and verifies it; a damaged one is removed. A bucket that keeps failing is not asked.
    ///
    /// # Errors
    /// `Store` if it cannot be read.
    pub(super) async fn read(&self, file: &CrateFile) -> Result<Option<VerifiedFile>, Unavailable> {
        let found = self.look(file).await?;
        if found.is_some() {
            self.inventory.touch(file.path());
        }
        Ok(found)
    }

    /// Reads a file as [`VerifiedStore::read`] does, but not for a client: it does not count as used.
    ///
    /// # Errors
    /// As [`VerifiedStore::read`].
    pub(super) async fn look(&self, file: &CrateFile) -> Result<Option<VerifiedFile>, Unavailable> {
        self.check_pause()?;
        let found = self.read_or_remove(file).await;
        // Absence counts as success: the bucket answered.
        self.note(&found);
        found.map_err(|error| {
            error!("{file}: cannot read the store: {error}");
            Unavailable::Store(error.to_string())
        })
    }

    async fn read_or_remove(&self, file: &CrateFile) -> io::Result<Option<VerifiedFile>> {
        match self.read_through(file, SILENCE).await? {
            Reading::Right(found) => {
                self.inventory.saw(&file.path(), found.size());
                Ok(Some(found))
            }
            Reading::Absent => {
                self.inventory.forget(&file.path()).await;
                Ok(None)
            }
            Reading::Damaged => {
                self.remove_damaged(file).await?;
                Ok(None)
            }
        }
    }

    /// Reads and hashes a file and says what it is; a damaged one is removed if `remove_damaged`.
    ///
    /// # Errors
    /// If the disk or the bucket fails.
    pub(super) async fn verify(
        &self,
        file: &CrateFile,
        remove_damaged: bool,
    ) -> io::Result<Verified> {
        match self.read_through(file, UNBOUNDED).await? {
            Reading::Right(_) => Ok(Verified::Right),
            Reading::Absent => Ok(Verified::Absent),
            Reading::Damaged if !remove_damaged => Ok(Verified::Damaged { stays: true }),
            Reading::Damaged => {
                let removed = self.remove_damaged(file).await?;
                let stays = removed == Removed::InUse;
                Ok(Verified::Damaged { stays })
            }
        }
    }

    /// Returns the size of a stored file, in bytes, as far as that can be known without reading it.
    ///
    /// # Errors
    /// `Store` if it cannot be read.
    pub(super) async fn size(&self, file: &CrateFile) -> Result<Option<u64>, Unavailable> {
        self.check_pause()?;
        let path = file.path();
        let size = timeout(SILENCE, self.inventory.store().size(&path)).await;
        let size = size.unwrap_or_else(|_| Err(too_slow(TooSlow::silent(SILENCE))));
        self.note(&size);
        if matches!(size, Ok(None)) {
            self.inventory.bucket_files.missed(&path);
        }
        size.map_err(|error| Unavailable::Store(error.to_string()))
    }

    /// Stores a verified file, and says whether it did; one that cannot be stored was served all the same.
    pub(super) async fn write(&self, file: &CrateFile, received: Received) -> bool {
        let (path, size) = (file.path(), received.file.size());
        let content = match (&received.file, &received.scratch) {
            (VerifiedFile::Memory(bytes), _) => Content::Bytes(bytes.clone()),
            (VerifiedFile::Disk(..), Some(scratch)) => Content::File(scratch.path()),
            (VerifiedFile::Disk(..), None) => return false,
        };
        let put = match self.check_pause() {
            Ok(()) => {
                let put = self.inventory.store().put(&path, content).await;
                self.note(&put);
                put.map_err(|error| error.to_string())
            }
            Err(why) => Err(why.to_string()),
        };
        if let Err(error) = put {
            self.write_failures.add(1);
            error!("{file}: cannot store the crate file: {error}");
            return false;
        }
        self.inventory.record(file, size).await;
        true
    }

    async fn read_through(&self, file: &CrateFile, silence: Duration) -> io::Result<Reading> {
        let path = file.path();
        let found = timeout(silence, self.inventory.store().get(&path)).await;
        match found.unwrap_or_else(|_| Err(too_slow(TooSlow::silent(silence))))? {
            None => Ok(Reading::Absent),
            Some(StoredBytes::File(stored)) => {
                // Taken before it is read: a file that is written meanwhile has another fingerprint.
                let (about, now) = (stored.metadata()?, Instant::now());
                let reading = verify(stored, file.checksum, self.budget.clone()).await?;
                if matches!(reading, Reading::Right(_)) {
                    self.fingerprints.remember(file.checksum, &about, now);
                }
                Ok(reading)
            }
            Some(StoredBytes::Stream(size, stream)) => {
                let incoming = Incoming {
                    total: Some(size),
                    stream: bounded(stream, silence),
                };
                // Without a flight nobody sees it before it is verified: if it is damaged, upstream's is served. So one
                // that is too large for memory is downloaded whole, to a scratch file, for each search.
                match receive(incoming, file.checksum, &self.scratch, None).await {
                    Ok(received) => Ok(Reading::Right(received.file.counted(&self.budget))),
                    Err(Unavailable::Mismatch { .. }) => Ok(Reading::Damaged),
                    Err(Unavailable::Store(why)) => Err(io::Error::other(why)),
                    Err(other) => Err(io::Error::other(other)),
                }
            }
        }
    }

    async fn remove_damaged(&self, file: &CrateFile) -> io::Result<Removed> {
        let path = file.path();
        self.damaged.add(1);
        let removed = timeout(SILENCE, self.inventory.store().remove(&path)).await;
        let removed = removed.unwrap_or_else(|_| Err(too_slow(TooSlow::silent(SILENCE))));
        let end = match &removed {
            Ok(Removed::Gone | Removed::Absent) => "it was removed",
            Ok(Removed::InUse) => "it stays, since it is being read",
            Err(_) => "it cannot be removed",
        };
        error!("{file}: the stored crate file is damaged; {end}");
        let removed = removed?;
        // Also one that stays: the catalog must not vouch for it. It is found again when the catalog is reconciled.
        self.inventory.forget(&path).await;
        Ok(removed)
    }

    /// Refuses while a bucket is paused.
    fn check_pause(&self) -> Result<(), Unavailable> {
        match self.breaker.pause() {
            Some(seconds) => {
                let text = format!("the bucket keeps failing; retry in {seconds} s");
                Err(Unavailable::Store(text))
            }
            None => Ok(()),
        }
    }

    /// Records how a request to a bucket ended. A folder is never paused: its errors come at once.
    fn note<T>(&self, end: &io::Result<T>) {
        match (self.inventory.store(), end) {
            (Store::Folder(_), _) => {}
            (Store::Bucket(_), Ok(_)) => self.breaker.succeeded(),
            (Store::Bucket(_), Err(_)) => self.breaker.failed(None),
        }
    }
}

/// Ends a bucket's stream that sends nothing for too long.
fn bounded(
    stream: BoxStream<'static, io::Result<Bytes>>,
    silence: Duration,
) -> BoxStream<'static, Result<Bytes, Unavailable>> {
    let begun = (stream, Pace::new(silence));
    let stream = try_unfold(begun, |(mut stream, mut pace)| async move {
        let next = pace.wait(stream.next(), |piece| match piece {
            Some(Ok(piece)) => piece.len(),
            _ => 0,
        });
        let piece = next.await.unwrap_or_else(|slow| Some(Err(too_slow(slow))));
        Ok(piece.transpose()?.map(|piece| (piece, (stream, pace))))
    });
    let failed = |error: io::Error| Unavailable::Store(error.to_string());
    stream.map(move |piece| piece.map_err(failed)).boxed()
}

fn too_slow(slow: TooSlow) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the bucket {slow}"))
}

/// Takes the memory of a file of this size; `None` if it is large, or there is no memory left for it.
fn share_of(budget: &MemoryBudget, size: u64) -> Option<Share> {
    (size <= SMALL as u64).then(|| budget.take(size)).flatten()
}

/// Reads and hashes a file of the folder; a small one stays in memory.
async fn verify(file: File, wanted: Checksum, budget: MemoryBudget) -> io::Result<Reading> {
    let verifying = spawn_blocking(move || {
        let size = file.metadata()?.len();
        let (found, verified) = if let Some(share) = share_of(&budget, size) {
            let mut bytes = BytesMut::zeroed(size as usize);
            file.read_exact_at(&mut bytes, 0)?;
            let mut hash = Context::new(&SHA256);
            hash.update(&bytes);
            (finish(hash), VerifiedFile::Memory(share.hold(bytes)))
        } else {
            let found = checksum_of(&file)?;
            (found, VerifiedFile::Disk(Arc::new(file), size))
        };
        Ok(match found == wanted {
            true => Reading::Right(verified),
            false => Reading::Damaged,
        })
    });
    verifying.await.map_err(io::Error::other)?
}

/// Hashes a file from its beginning.
fn checksum_of(file: &File) -> io::Result<Checksum> {
    let mut hash = Context::new(&SHA256);
    let mut piece = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        match file.read_at(&mut piece, at)? {
            0 => return Ok(finish(hash)),
            read => {
                hash.update(&piece[..read]);
                at += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tempfile::TempDir;

    use super::super::inventory::tests::{foo, inventory, put};
    use super::*;

    fn store() -> (VerifiedStore, TempDir) {
        let (inventory, folder) = inventory();
        let scratch = Scratch::open(folder.path().join("tmp")).unwrap();
        let budget = MemoryBudget::of_cache(0);
        (VerifiedStore::new(inventory, scratch, budget), folder)
    }

    fn file(bytes: &[u8]) -> CrateFile {
        let mut hash = Context::new(&SHA256);
        hash.update(bytes);
        CrateFile {
            checksum: finish(hash),
            ..foo("1.0.0")
        }
    }

    #[tokio::test]
    async fn a_file_is_verified_when_it_is_first_read_and_trusted_until_it_changes() {
        let (store, _folder) = store();
        let file = file(b"right");
        put(&store.inventory, &file, b"right").await;
        assert!(store.read_again(&file).await.is_none());
        assert_eq!(store.read(&file).await.unwrap().unwrap().size(), 5);
        assert_eq!(store.read_again(&file).await.unwrap().size(), 5);
        put(&store.inventory, &file, b"wrong").await;
        assert!(store.read_again(&file).await.is_none());
    }

    #[tokio::test]
    async fn a_damaged_file_is_counted_and_removed_unless_that_is_not_wanted() {
        let (store, _folder) = store();
        let file = file(b"right");
        put(&store.inventory, &file, b"wrong").await;
        let stays = Verified::Damaged { stays: true };
        assert_eq!(store.verify(&file, false).await.unwrap(), stays);
        assert_eq!(store.size(&file).await, Ok(Some(5)));
        assert!(store.read(&file).await.unwrap().is_none());
        assert_eq!(store.size(&file).await, Ok(None));
        assert_eq!(store.damaged.get(), 1);
    }

    #[tokio::test]
    async fn a_file_is_stored_and_recorded_and_one_that_cannot_be_is_counted() {
        let (store, folder) = store();
        let received = || Received {
            file: VerifiedFile::Memory(Bytes::from_static(b"right")),
            scratch: None,
        };
        assert!(store.write(&file(b"right"), received()).await);
        assert_eq!(store.inventory.entries().await.unwrap().len(), 1);
        assert_eq!(store.write_failures.get(), 0);
        let crates = folder.path().join("crates");
        std::fs::remove_dir_all(&crates).unwrap();
        std::fs::write(&crates, "in the way").unwrap();
        assert!(!store.write(&file(b"right"), received()).await);
        assert_eq!(store.write_failures.get(), 1);
    }
}
