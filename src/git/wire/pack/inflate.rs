//! Inflates the data of one entry, of which a part may be still to come.

use flate2::{Decompress, FlushDecompress, Status};

use crate::git::wire::{Error, Result};

/// Inflates `size` bytes; returns them and how many deflated bytes they took, `None` where more of those are needed.
pub(super) fn inflate(deflated: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>> {
    // A stream of `size` bytes cannot be much shorter than size / 1032: do not reserve memory on a liar's word.
    let mut data = Vec::with_capacity(size.min(deflated.len().saturating_mul(1100)) + 1);
    let mut stream = Decompress::new(true);
    loop {
        let consumed = stream.total_in() as usize;
        let status = stream
            .decompress_vec(&deflated[consumed..], &mut data, FlushDecompress::None)
            .map_err(|_| Error::garbage("a pack entry that does not inflate"))?;
        if data.len() > size {
            return Err(Error::garbage("a pack entry that is longer than it says"));
        }
        match status {
            Status::StreamEnd if data.len() == size => {
                return Ok(Some((data, stream.total_in() as usize)));
            }
            Status::StreamEnd => {
                return Err(Error::garbage("a pack entry that is shorter than it says"));
            }
            _ if stream.total_in() as usize == deflated.len() && data.len() < data.capacity() => {
                return Ok(None);
            }
            Status::BufError if data.len() < data.capacity() => return Ok(None),
            _ => data.reserve(1),
        }
    }
}
