//! How much is read of a `.crate` file.

use std::io::{self, Read};

use flate2::read::GzDecoder;

/// The most that is read of an archive, in bytes unless another unit is named.
pub(super) struct Bounds {
    /// The file itself. crates.io takes 10 MiB, and more where its team allowed it.
    pub(super) compressed: u64,
    /// All that it inflates to, as in cargo.
    pub(super) inflated: u64,
    /// What it may inflate to, whatever its size.
    pub(super) free: u64,
    /// Beyond that, what each byte of the file may inflate to. Sources have 3 to 10.
    pub(super) ratio: u64,
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
    compressed: 128 << 20,
    inflated: 512 << 20,
    free: 16 << 20,
    ratio: 100,
    entries: 50_000,
    path: 512,
    extension: 4 << 10,
    kept: 1 << 20,
    manifest: 256 << 10,
};

/// Reads and counts.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        match self.read > BOUNDS.compressed {
            true => Err(beyond(format!(
                "it has more than {} bytes",
                BOUNDS.compressed
            ))),
            false => Ok(read),
        }
    }
}

/// Inflates a gzip file, as far as the bounds allow.
pub(super) struct Inflated<R> {
    decoder: GzDecoder<Counted<R>>,
    inflated: u64,
}

impl<R: Read> Inflated<R> {
    pub(super) fn new(inner: R) -> Self {
        let decoder = GzDecoder::new(Counted { inner, read: 0 });
        Self {
            decoder,
            inflated: 0,
        }
    }
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.inflated += read as u64;
        if self.inflated > BOUNDS.inflated {
            let text = format!("it inflates to more than {} bytes", BOUNDS.inflated);
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

fn beyond(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
