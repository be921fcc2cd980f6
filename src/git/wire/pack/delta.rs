//! Deltas: an object as copies from a base and insertions (`gitformat-pack`, "Deltified representation").
//!
//! gix-pack applies deltas only inside its pack files, and creates none; git2 does both only within a repository.

use std::collections::HashMap;
use std::ops::Range;

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
    // `size` is a claim of the sender, but within `limit` by now.
    let mut object = Vec::with_capacity(size);
    while let Some(op) = delta.next() {
        let piece = if op & 0x80 != 0 {
            let offset = delta.number(op, 4)?;
            let length = match delta.number(op >> 4, 3)? {
                // A length of zero stands for 64 KiB (gitformat-pack): copying nothing would be pointless.
                0 => 0x10000,
                length => length,
            };
            base.get(offset..offset.saturating_add(length))
        } else {
            // Instruction 0 is reserved.
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

/// How many bytes must agree before a copy is considered; the window of git's own encoder (`diff-delta.c`) is as large.
const BLOCK: usize = 16;
/// How many occurrences of one block are compared. Without a bound, repetitive content takes quadratic time.
const PLACES: usize = 8;

/// Makes the delta that turns one object into another.
///
/// By hand, since no library has it: gix-pack only reads deltas, and libgit2 lets its own encoder out only by way of a binary
/// diff, which deflates both objects whole and twice (3 ms for a root tree of 28 KB, where this takes 0.1 ms).
pub fn between(base: &[u8], target: &[u8]) -> Vec<u8> {
    let mut delta = Vec::new();
    push_size(&mut delta, base.len());
    push_size(&mut delta, target.len());
    // Two versions of a tree or an index file mostly differ in one place: everything before it is one copy.
    let prefix = alike(base.iter(), target.iter());
    push_copy(&mut delta, &(0..prefix));
    let blocks = Blocks::of(base, prefix);
    let (mut at, mut done) = (prefix, prefix);
    while at < target.len() {
        let Some((from, length)) = blocks.longest(base, &target[at..]) else {
            at += 1;
            continue;
        };
        // Blocks begin at multiples of 16, changes do not: the match may reach back into bytes that were passed over.
        let before = alike(base[..from].iter().rev(), target[done..at].iter().rev());
        push_insertion(&mut delta, &target[done..at - before]);
        push_copy(&mut delta, &(from - before..from + length));
        at += length;
        done = at;
    }
    push_insertion(&mut delta, &target[done..]);
    delta
}

/// Counts how many bytes agree.
fn alike<'a>(one: impl Iterator<Item = &'a u8>, other: impl Iterator<Item = &'a u8>) -> usize {
    one.zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}

/// The blocks of a base and where each is, the last occurrence first: what is appended resembles the end of the base.
struct Blocks<'a> {
    /// Where the first block begins.
    from: usize,
    last: HashMap<&'a [u8], u32>,
    /// For each block the one before it that is the same.
    previous: Vec<u32>,
}

impl<'a> Blocks<'a> {
    const NONE: u32 = u32::MAX;

    /// Cuts a base into blocks, from about an offset on, before which all has been used.
    fn of(base: &'a [u8], from: usize) -> Self {
        // Some of the common prefix is indexed as well: an added line resembles the line before it.
        let from = from.saturating_sub(64 << 10);
        let count = (base.len() - from) / BLOCK;
        let mut last = HashMap::with_capacity(count);
        let mut previous = Vec::with_capacity(count);
        for (number, block) in base[from..].chunks_exact(BLOCK).enumerate() {
            // Fits: the callers' bases have at most 8 MiB, the scanner's limit for an object.
            let same = last.insert(block, number as u32);
            previous.push(same.unwrap_or(Self::NONE));
        }
        Self {
            from,
            last,
            previous,
        }
    }

    /// Finds the longest match of what begins with a block: where it is, and its length.
    fn longest(&self, base: &[u8], wanted: &[u8]) -> Option<(usize, usize)> {
        let block = self.last.get(wanted.get(..BLOCK)?).copied();
        let blocks = std::iter::successors(block, |block| {
            let previous = self.previous.get(*block as usize).copied();
            previous.filter(|block| *block != Self::NONE)
        });
        let places = blocks
            .take(PLACES)
            .map(|block| self.from + block as usize * BLOCK);
        let matches = places.map(|place| (place, alike(base[place..].iter(), wanted.iter())));
        matches.max_by_key(|(_, length)| *length)
    }
}

fn push_insertion(delta: &mut Vec<u8>, bytes: &[u8]) {
    // An insertion has seven bits for its length; the eighth says that it is no copy.
    for piece in bytes.chunks(0x7f) {
        delta.push(piece.len() as u8);
        delta.extend_from_slice(piece);
    }
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
        // Nine groups of seven bits fit into 64; a tenth would overflow the shift.
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
    Error::garbage("a delta that ends early")
}
