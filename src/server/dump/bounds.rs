//! How much is read of a dump.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use flate2::bufread::GzDecoder;

/// The most that is read of a dump, in bytes unless another unit is named. The figures in brackets are those of 2026.
pub(super) struct Bounds {
    /// All that it inflates to (some 10 GB).
    pub(super) inflated: u64,
    /// What it may inflate to, whatever its size.
    pub(super) free: u64,
    /// Beyond that, what each of its bytes may inflate to (5 to 10).
    pub(super) ratio: u64,
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
    inflated: 64 << 30,
    free: 64 << 20,
    ratio: 100,
    entries: 1_000,
    row: 32 << 20,
    columns: 200,
    staged: 4 << 30,
    version_id: 1 << 24,
    metadata: 64 << 10,
};

/// Counts the bytes that are read through it.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.read += amount as u64;
        self.inner.consume(amount);
    }
}

/// Inflates a gzip file, as far as the bounds allow.
pub(super) struct Inflated<R> {
    decoder: GzDecoder<Counted<R>>,
    inflated: u64,
}

impl<R: BufRead> Inflated<R> {
    pub(super) fn new(inner: R) -> Self {
        let decoder = GzDecoder::new(Counted { inner, read: 0 });
        Self {
            decoder,
            inflated: 0,
        }
    }
}

impl<R: BufRead> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.inflated += read as u64;
        if self.inflated > BOUNDS.inflated {
            let text = format!("it inflates to more than {} GiB", BOUNDS.inflated >> 30);
            return Err(beyond(text));
        }
        let compressed = self.decoder.get_ref().read;
        if self.inflated > BOUNDS.free + BOUNDS.ratio * compressed {
            let text = format!("it inflates to more than {} times its size", BOUNDS.ratio);
            return Err(beyond(text));
        }
        Ok(read)
    }
}

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

fn beyond(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
