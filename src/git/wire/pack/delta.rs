//! Deltas: an object as copies from a base and insertions (`gitformat-pack`, "Deltified representation").
//!
//! gix-pack applies deltas only inside its pack files, and creates none; git2 does both only within a repository.

use std::collections::HashMap;
use std::ops::Range;

use crate::git::wire::{Error, Result};

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

/// Makes the delta that turns one tree into another, entry by entry: what both have is copied, the rest inserted.
///
/// Returns `None` where one of them is no tree.
pub fn between_trees(base: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut known = HashMap::new();
    let mut at = 0;
    for entry in tree_entries(base) {
        let entry = entry?;
        known.insert(entry, at);
        at += entry.len();
    }
    let mut delta = Vec::new();
    push_size(&mut delta, base.len());
    push_size(&mut delta, target.len());
    let mut copied: Range<usize> = 0..0;
    for entry in tree_entries(target) {
        let entry = entry?;
        match known.get(entry) {
            Some(offset) if *offset == copied.end => copied.end += entry.len(),
            Some(offset) => {
                push_copy(&mut delta, &copied);
                copied = *offset..*offset + entry.len();
            }
            None => {
                push_copy(&mut delta, &copied);
                copied = 0..0;
                for piece in entry.chunks(0x7f) {
                    delta.push(piece.len() as u8);
                    delta.extend_from_slice(piece);
                }
            }
        }
    }
    push_copy(&mut delta, &copied);
    Some(delta)
}

/// Cuts a tree into its entries: mode, a space, the name, a zero byte, 20 bytes of id.
fn tree_entries(mut tree: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        if tree.is_empty() {
            return None;
        }
        let name_ends = tree.iter().position(|byte| *byte == 0);
        let cut = name_ends.and_then(|end| tree.split_at_checked(end + 21));
        tree = cut.map_or(&[], |(_, rest)| rest);
        Some(cut.map(|(entry, _)| entry))
    })
}

fn push_size(delta: &mut Vec<u8>, mut size: usize) {
    while size > 0x7f {
        delta.push(size as u8 | 0x80);
        size >>= 7;
    }
    delta.push(size as u8);
}

/// Appends copies of a range of the base; each takes three bytes of length at the most.
fn push_copy(delta: &mut Vec<u8>, range: &Range<usize>) {
    let mut range = range.clone();
    while !range.is_empty() {
        let length = range.len().min(0xff_ffff);
        let op = delta.len();
        delta.push(0x80);
        let offset = (range.start as u32).to_le_bytes();
        let count = (length as u32).to_le_bytes();
        for (bit, byte) in offset.iter().chain(&count[..3]).enumerate() {
            if *byte != 0 {
                delta[op] |= 1 << bit;
                delta.push(*byte);
            }
        }
        range.start += length;
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
