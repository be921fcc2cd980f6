//! Deltas: an object as copies from a base and insertions (`gitformat-pack`, "Deltified representation").

use crate::wire::{Error, Result};

#[cfg(test)]
mod tests;

/// Applies a delta to its base; the result is at most `limit` bytes.
pub(super) fn apply(base: &[u8], delta: &[u8], limit: usize) -> Result<Vec<u8>> {
    let mut delta = Instructions(delta);
    if delta.size()? != base.len() {
        return Err(Error::garbage("a delta that is made for another base"));
    }
    let size = delta.size()?;
    if size > limit {
        return Err(Error::Limit {
            what: "an object, in bytes,",
            limit,
        });
    }
    let mut object = Vec::with_capacity(size);
    while let Some(op) = delta.next() {
        let piece = if op & 0x80 != 0 {
            let offset = delta.number(op, 4)?;
            let length = match delta.number(op >> 4, 3)? {
                0 => 0x10000,
                length => length,
            };
            base.get(offset..offset.saturating_add(length))
        } else {
            delta.take(usize::from(op)).filter(|_| op != 0)
        };
        let piece = piece.ok_or_else(|| Error::garbage("a delta that copies what is not there"))?;
        if object.len() + piece.len() > size {
            return Err(Error::garbage("a delta that makes more than it says"));
        }
        object.extend_from_slice(piece);
    }
    if object.len() == size {
        Ok(object)
    } else {
        Err(Error::garbage("a delta that makes less than it says"))
    }
}

struct Instructions<'a>(&'a [u8]);

impl<'a> Instructions<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (piece, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(piece)
    }

    /// Reads a size: little-endian groups of seven bits.
    fn size(&mut self) -> Result<usize> {
        let mut size: u64 = 0;
        for shift in (0..57).step_by(7) {
            let byte = self.next().ok_or_else(cut)?;
            size |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(size).map_err(|_| cut());
            }
        }
        Err(Error::garbage("a delta whose size has no end"))
    }

    /// Reads a number of which only the bytes that the low bits of `present` name are there.
    fn number(&mut self, present: u8, bytes: u8) -> Result<usize> {
        let mut number = 0;
        for position in 0..bytes {
            if present & 1 << position != 0 {
                number |= usize::from(self.next().ok_or_else(cut)?) << (8 * position);
            }
        }
        Ok(number)
    }
}

fn cut() -> Error {
    Error::garbage("a delta that breaks off")
}
