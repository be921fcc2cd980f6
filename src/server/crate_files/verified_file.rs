//! A crate file that is here and verified, and how it is read from disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::io::ReadWriteFlags;
use tokio::task::spawn_blocking;

use crate::server::memory_budget::MemoryBudget;

/// Up to this size, in bytes, a file is read whole before it is served, and cached in memory.
pub(super) const SMALL: usize = 1 << 20;

/// A verified crate file.
#[derive(Debug, Clone)]
pub(super) enum VerifiedFile {
    /// Its bytes, in memory.
    Memory(Bytes),
    /// An open file, which stays readable when it is removed, and its size, in bytes.
    Disk(Arc<File>, u64),
}

impl VerifiedFile {
    /// Counts the memory of a file that was received: how many are is bounded by the connections to upstream.
    pub(super) fn counted(self, budget: &MemoryBudget) -> Self {
        match self {
            Self::Memory(bytes) => {
                let share = budget.take_anyway(bytes.len() as u64);
                Self::Memory(share.hold(bytes))
            }
            disk => disk,
        }
    }

    /// Returns its size, in bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk(_, size) => *size,
        }
    }
}

/// Reads this many bytes from an open file.
///
/// What the system has in its page cache is read at once: handing 64 KiB to a thread, as `tokio::fs` does with every
/// read, takes longer than reading them. Only a read that would wait for the disk goes to a thread that may wait.
///
/// # Errors
/// If the disk fails, or the file is shorter.
pub(super) async fn read_at(file: &Arc<File>, from: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = BytesMut::zeroed(length);
    let mut pieces = [io::IoSliceMut::new(&mut bytes)];
    let read = rustix::io::preadv2(file, &mut pieces, from, ReadWriteFlags::NOWAIT);
    // All else goes to a thread: bytes that are not in the page cache, a short read, and file systems without
    // `RWF_NOWAIT`.
    if read == Ok(length) {
        return Ok(bytes.freeze());
    }
    let file = Arc::clone(file);
    let reading = spawn_blocking(move || {
        file.read_exact_at(&mut bytes, from)?;
        Ok(bytes.freeze())
    });
    reading.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn bytes_are_read_from_any_place_and_a_file_that_is_too_short_is_an_error() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), b"0123456789").unwrap();
        let file = Arc::new(File::open(path.path()).unwrap());
        assert_eq!(read_at(&file, 3, 4).await.unwrap(), "3456");
        let error = read_at(&file, 8, 4).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let verified = VerifiedFile::Disk(file, 10);
        assert_eq!(verified.size(), 10);
    }
}
