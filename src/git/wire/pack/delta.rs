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
    let base_entries: Vec<_> = tree_entries(base).collect::<Option<_>>()?;
    let target_entries: Vec<_> = tree_entries(target).collect::<Option<_>>()?;
    Some(encode(base, base_entries, target, target_entries))
}

/// Makes the delta that turns one object into another, line by line.
pub fn between_lines(base: &[u8], target: &[u8]) -> Vec<u8> {
    let lines = |content| -> Vec<&[u8]> {
        <[u8]>::split_inclusive(content, |byte| *byte == b'\n').collect()
    };
    encode(base, lines(base), target, lines(target))
}

/// Makes a delta of pieces: those that both have are copied, and so are the bytes at either end of what lies between them.
///
/// By hand, since no library has it: gix-pack only reads deltas, and libgit2 lets its own encoder out only by way of a binary
/// diff, which deflates both objects whole and twice (3 ms for a root tree of 28 KB, where this takes 0.1 ms).
fn encode(
    base: &[u8],
    base_pieces: Vec<&[u8]>,
    target: &[u8],
    target_pieces: Vec<&[u8]>,
) -> Vec<u8> {
    let mut known = HashMap::with_capacity(base_pieces.len());
    let mut at = 0;
    for piece in base_pieces {
        known.insert(piece, at);
        at += piece.len();
    }
    let mut runs = vec![Run::default()];
    let mut at = 0;
    for piece in target_pieces {
        let end = at + piece.len();
        if let Some(run) = runs.last_mut() {
            let follows = run.inserted.is_empty() && base[run.copied.end..].starts_with(piece);
            match known.get(piece) {
                _ if follows => run.copied.end += piece.len(),
                Some(offset) => runs.push(Run {
                    copied: *offset..*offset + piece.len(),
                    inserted: end..end,
                }),
                None if run.inserted.is_empty() => run.inserted = at..end,
                None => run.inserted.end = end,
            }
        }
        at = end;
    }
    runs.push(Run {
        copied: base.len()..base.len(),
        inserted: at..at,
    });
    trim(base, target, &mut runs);
    write(base.len(), target, &runs)
}

/// A part of the target: a range of the base, then one of the target itself.
#[derive(Debug, Default)]
struct Run {
    copied: Range<usize>,
    inserted: Range<usize>,
}

/// Copies rather than inserts the bytes that go on where a copy ends, or lead to where the next one begins.
fn trim(base: &[u8], target: &[u8], runs: &mut [Run]) {
    for at in 0..runs.len().saturating_sub(1) {
        let [run, next] = &mut runs[at..=at + 1] else {
            continue;
        };
        let ahead = base[run.copied.end..]
            .iter()
            .zip(&target[run.inserted.clone()]);
        let ahead = ahead.take_while(|(one, other)| one == other).count();
        let ahead = worth_it(&run.copied, ahead);
        run.copied.end += ahead;
        run.inserted.start += ahead;
        let behind = base[..next.copied.start].iter().rev();
        let behind = behind.zip(target[run.inserted.clone()].iter().rev());
        let behind = behind.take_while(|(one, other)| one == other).count();
        let behind = worth_it(&next.copied, behind);
        next.copied.start -= behind;
        run.inserted.end -= behind;
    }
}

/// A copy of its own takes up to seven bytes.
fn worth_it(copied: &Range<usize>, more: usize) -> usize {
    if copied.is_empty() && more < 8 {
        0
    } else {
        more
    }
}

fn write(base_size: usize, target: &[u8], runs: &[Run]) -> Vec<u8> {
    let mut delta = Vec::new();
    push_size(&mut delta, base_size);
    push_size(&mut delta, target.len());
    for run in runs {
        push_copy(&mut delta, &run.copied);
        for piece in target[run.inserted.clone()].chunks(0x7f) {
            delta.push(piece.len() as u8);
            delta.extend_from_slice(piece);
        }
    }
    delta
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
