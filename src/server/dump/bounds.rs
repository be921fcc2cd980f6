//! How much is read of a dump.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::server::inflated::{Limits, beyond};

/// The most that is read of a dump, in bytes unless another unit is named. The figures in brackets are those of 2026.
pub(super) struct Bounds {
    /// The file itself (some 1 GB), which inflates to 5 to 10 times its size.
    pub(super) file: Limits,
    /// Entries of the archive, in number (some 25).
    pub(super) entries: usize,
    /// A row of a table. READMEs are the largest part of one.
    pub(super) row: u64,
    /// Columns of a table, in number (30).
    pub(super) columns: usize,
    /// What is staged of all tables (some 300 MB).
    pub(super) staged: u64,
    /// The highest number of a version (some 3 million): each has four bytes of memory.
    pub(super) version_id: u32,
    /// The file that says when the dump was made.
    pub(super) metadata: u64,
}

pub(super) const BOUNDS: Bounds = Bounds {
    file: Limits {
        compressed: u64::MAX,
        inflated: 64 << 30,
        free: 64 << 20,
        ratio: 100,
    },
    entries: 1_000,
    row: 32 << 20,
    columns: 200,
    staged: 4 << 30,
    version_id: 1 << 24,
    metadata: 64 << 10,
};

/// Bounds a row: the CSV reader keeps all of one in memory, and a quote that never ends makes one of a whole table.
pub(super) struct Rows<R> {
    inner: R,
    since: Rc<Cell<u64>>,
}

impl<R: Read> Rows<R> {
    /// Returns also what is to be set to 0 after each row.
    pub(super) fn new(inner: R) -> (Self, Rc<Cell<u64>>) {
        let since = Rc::<Cell<u64>>::default();
        let rows = Self {
            inner,
            since: Rc::clone(&since),
        };
        (rows, since)
    }
}

impl<R: Read> Read for Rows<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since.get() > BOUNDS.row {
            let text = format!("a row has more than {} MiB", BOUNDS.row >> 20);
            return Err(beyond(text));
        }
        let read = self.inner.read(buffer)?;
        self.since.set(self.since.get() + read as u64);
        Ok(read)
    }
}
