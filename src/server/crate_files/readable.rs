//! A verified crate file, as what reads archives takes it.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;

use super::verified_file::VerifiedFile;

/// A verified crate file that is read from any place, in memory or on disk.
pub struct ReadableFile {
    file: VerifiedFile,
    /// Where the next byte is read. Its own: clients may be reading the same open file.
    at: u64,
}

impl ReadableFile {
    pub(super) fn new(file: VerifiedFile) -> Self {
        Self { file, at: 0 }
    }

    /// Takes bytes that were verified elsewhere, such as those of a private crate.
    pub fn of(bytes: Bytes) -> Self {
        Self::new(VerifiedFile::Memory(bytes))
    }

    /// Returns its size, in bytes.
    pub fn size(&self) -> u64 {
        self.file.size()
    }
}

impl Read for ReadableFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &self.file {
            VerifiedFile::Memory(bytes) => {
                let start = bytes
                    .len()
                    .min(usize::try_from(self.at).unwrap_or(usize::MAX));
                (&bytes[start..]).read(buffer)?
            }
            VerifiedFile::Disk(file, _) => file.read_at(buffer, self.at)?,
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for ReadableFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_file_is_read_from_any_place_wherever_it_is() {
        let on_disk = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(on_disk.path(), b"0123456789").unwrap();
        let disk = VerifiedFile::Disk(Arc::new(on_disk.reopen().unwrap()), 10);
        let memory = VerifiedFile::Memory(Bytes::from_static(b"0123456789"));
        for verified in [disk, memory] {
            // Two readers of one file do not disturb each other.
            let (mut one, mut other) = (
                ReadableFile::new(verified.clone()),
                ReadableFile::new(verified),
            );
            let mut read = |from| {
                let mut text = String::new();
                one.seek(from).unwrap();
                one.read_to_string(&mut text).unwrap();
                text
            };
            assert_eq!(read(SeekFrom::Start(7)), "789");
            assert_eq!(read(SeekFrom::Start(99)), "");
            assert_eq!(read(SeekFrom::End(-2)), "89");
            assert_eq!(read(SeekFrom::Current(-1)), "9");
            assert_eq!(io::read_to_string(&mut other).unwrap(), "0123456789");
            assert!(other.seek(SeekFrom::End(-11)).is_err());
        }
    }
}
