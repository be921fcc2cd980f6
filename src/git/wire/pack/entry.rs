//! One entry of a pack: its header and its data, read and written.

use std::io::Write;

use bytes::Bytes;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};

use super::ObjectKind;
use crate::ObjectId;
use crate::wire::{Error, Result};

#[cfg(test)]
mod tests;

/// What an entry's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// A whole object.
    Whole(ObjectKind),
    /// A delta against the entry that begins this many bytes before this one.
    OffsetDelta(u64),
    /// A delta against an object.
    RefDelta(ObjectId),
}

/// The header of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryHeader {
    pub(super) kind: EntryKind,
    /// The size of the inflated data, in bytes.
    pub(super) size: u64,
    /// The length of the header itself, in bytes.
    pub(super) length: usize,
}

impl EntryHeader {
    /// Parses the header at the start of `bytes`; `None` where more bytes are needed.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let mut reader = Bits { bytes, at: 0 };
        let Some(first) = reader.next() else {
            return Ok(None);
        };
        let mut size = u64::from(first & 0x0f);
        let mut shift = 4;
        let mut byte = first;
        while byte & 0x80 != 0 {
            byte = match reader.next() {
                Some(byte) => byte,
                None => return Ok(None),
            };
            // A shift of 60 would push bits out of 64: no honest size is that long.
            if shift > 57 {
                return Err(Error::garbage("a pack entry's size has no end"));
            }
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
        }
        let kind = match first >> 4 & 7 {
            1 => EntryKind::Whole(ObjectKind::Commit),
            2 => EntryKind::Whole(ObjectKind::Tree),
            3 => EntryKind::Whole(ObjectKind::Blob),
            4 => EntryKind::Whole(ObjectKind::Tag),
            6 => match reader.offset()? {
                Some(distance) => EntryKind::OffsetDelta(distance),
                None => return Ok(None),
            },
            7 => match reader.id() {
                Some(id) => EntryKind::RefDelta(id),
                None => return Ok(None),
            },
            other => return Err(Error::garbage(format!("a pack entry of type {other}"))),
        };
        Ok(Some(Self {
            kind,
            size,
            length: reader.at,
        }))
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    /// Reads a delta's distance: big-endian groups of seven bits, each continued one plus one.
    fn offset(&mut self) -> Result<Option<u64>> {
        let mut distance: u64 = 0;
        for position in 0.. {
            let Some(byte) = self.next() else {
                return Ok(None);
            };
            // Each continuation adds one, so that no distance has two encodings (gitformat-pack, "offset encoding").
            if position > 0 {
                distance += 1;
            }
            // Another seven bits would not fit.
            if distance >> 57 != 0 {
                break;
            }
            distance = distance << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(Some(distance));
            }
        }
        Err(Error::garbage(
            "the distance of a pack entry's base has no end",
        ))
    }

    fn id(&mut self) -> Option<ObjectId> {
        let bytes = self.bytes.get(self.at..self.at + 20)?;
        self.at += 20;
        bytes.try_into().ok().map(ObjectId::from_bytes)
    }
}

/// An entry's data, as far as it has been inflated.
///
/// Kept between two pieces of a pack: to begin anew with each piece takes quadratic time where a server sends small ones.
pub(super) struct Inflate {
    stream: Decompress,
    data: Vec<u8>,
    size: usize,
}

impl Inflate {
    /// Begins with data that says it has `size` bytes.
    pub(super) fn new(size: usize) -> Self {
        Self {
            stream: Decompress::new(true),
            data: Vec::new(),
            size,
        }
    }

    /// Goes on with the entry's deflated bytes, those from before included; says whether the data is complete.
    pub(super) fn go_on(&mut self, deflated: &[u8]) -> Result<bool> {
        loop {
            let rest = deflated.get(self.consumed()..).unwrap_or_default();
            self.make_room(rest.len());
            let (consumed, before) = (self.consumed(), self.data.len());
            let status = self
                .stream
                .decompress_vec(rest, &mut self.data, FlushDecompress::None)
                .map_err(|_| Error::garbage("a pack entry that does not inflate"))?;
            if self.data.len() > self.size {
                return Err(Error::garbage("a pack entry that is longer than it says"));
            }
            match status {
                Status::StreamEnd if self.data.len() == self.size => return Ok(true),
                Status::StreamEnd => {
                    return Err(Error::garbage("a pack entry that is shorter than it says"));
                }
                // Nothing moved though there was room for output: the rest has not arrived yet.
                _ if self.consumed() == consumed && self.data.len() == before => return Ok(false),
                _ => {}
            }
        }
    }

    /// Makes room for at least one byte more.
    fn make_room(&mut self, input: usize) {
        if self.data.len() < self.data.capacity() {
            return;
        }
        // zlib compresses at most 1032 to 1: the input bounds what `size` can honestly claim, and so what is reserved.
        // The one byte more lets a stream that is longer than it says show itself, instead of filling the buffer
        // exactly.
        let left = (self.size + 1).saturating_sub(self.data.len());
        self.data
            .reserve(left.min(input.saturating_mul(1100)).max(1));
    }

    /// Returns how many deflated bytes were used so far.
    pub(super) fn consumed(&self) -> usize {
        self.stream.total_in() as usize
    }

    /// Returns the data.
    pub(super) fn into_data(self) -> Vec<u8> {
        self.data
    }
}

/// Makes the entry that holds a whole object.
///
/// # Errors
/// None in practice: compressing into memory does not fail.
pub fn whole_entry(kind: ObjectKind, content: &[u8]) -> std::io::Result<Bytes> {
    let code = match kind {
        ObjectKind::Commit => 1,
        ObjectKind::Tree => 2,
        ObjectKind::Blob => 3,
        ObjectKind::Tag => 4,
    };
    deflate(header(code, content.len()), content)
}

/// Makes the entry that holds an object as a delta against `base`, which the receiver has or the pack holds.
///
/// # Errors
/// None in practice, as for [`whole_entry`].
pub fn delta_entry(base: ObjectId, delta: &[u8]) -> std::io::Result<Bytes> {
    let mut head = header(7, delta.len());
    head.extend_from_slice(base.as_bytes());
    deflate(head, delta)
}

/// Type and size: four bits of it first, then groups of seven, each but the last with its high bit set.
fn header(code: u8, mut size: usize) -> Vec<u8> {
    let mut byte = code << 4 | (size & 0x0f) as u8;
    size >>= 4;
    let mut header = Vec::new();
    while size > 0 {
        header.push(byte | 0x80);
        byte = (size & 0x7f) as u8;
        size >>= 7;
    }
    header.push(byte);
    header
}

fn deflate(head: Vec<u8>, content: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = ZlibEncoder::new(head, Compression::default());
    encoder.write_all(content)?;
    encoder.finish().map(Bytes::from)
}
