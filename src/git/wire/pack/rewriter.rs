//! Passes a pack through and appends objects to it: only the count and the trailer change.
//!
//! Objects are appended, so offsets between entries do not change and no entry is rewritten. Constant memory: what goes in comes
//! out at once, except for the last 20 bytes, which may be the trailer.

use bytes::{Bytes, BytesMut};

use super::{HEADER, Sha1, TRAILER, entry_count};
use crate::wire::{Error, Result};

/// A pack on its way from one server to another.
pub struct Rewriter {
    appended: Vec<Bytes>,
    /// Received and not yet passed on.
    held: BytesMut,
    received: Sha1,
    sent: Sha1,
    entries: Option<u32>,
}

impl Rewriter {
    /// Begins a pack to whose end `appended` entries will be added.
    pub fn new(appended: Vec<Bytes>) -> Self {
        Self {
            appended,
            held: BytesMut::new(),
            received: Sha1::new(),
            sent: Sha1::new(),
            entries: None,
        }
    }

    /// Returns the number of entries that the received pack says it has, once its header is there.
    pub fn entries(&self) -> Option<u32> {
        self.entries
    }

    /// Takes the next bytes of the received pack; returns what can be passed on, which may be nothing.
    ///
    /// # Errors
    /// `Garbage` when it is not a pack.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Bytes> {
        self.held.extend_from_slice(chunk);
        let mut out = BytesMut::new();
        if self.entries.is_none() {
            if self.held.len() < HEADER {
                return Ok(Bytes::new());
            }
            out = self.rewrite_header()?;
        }
        // Where the pack ends is known only at its end, so any 20 bytes may be the trailer, which must not be passed
        // on.
        let passed = self.held.split_to(self.held.len().saturating_sub(TRAILER));
        self.received.update(&passed);
        self.sent.update(&passed);
        if out.is_empty() {
            return Ok(passed.freeze());
        }
        out.extend_from_slice(&passed);
        Ok(out.freeze())
    }

    /// Ends the pack: checks the received trailer, then returns the appended entries and the new trailer.
    ///
    /// # Errors
    /// `Cut` when the pack is too short, `Checksum` when it is not what its sender made: nothing more may be sent then.
    pub fn finish(mut self) -> Result<Bytes> {
        if self.entries.is_none() || self.held.len() != TRAILER {
            return Err(Error::Cut);
        }
        // Before anything else is returned: our trailer is right for whatever was passed on, damaged or not, and would
        // make the mirror accept it.
        if self.received.finish() != self.held[..] {
            return Err(Error::Checksum);
        }
        let mut end = BytesMut::new();
        for entry in &self.appended {
            end.extend_from_slice(entry);
        }
        self.sent.update(&end);
        end.extend_from_slice(&self.sent.finish());
        Ok(end.freeze())
    }

    fn rewrite_header(&mut self) -> Result<BytesMut> {
        let header = self.held.split_to(HEADER);
        self.received.update(&header);
        let entries = entry_count(&header)?;
        let appended = u32::try_from(self.appended.len()).unwrap_or(u32::MAX);
        let all = entries
            .checked_add(appended)
            .ok_or_else(|| Error::garbage("a pack of more entries than a pack can have"))?;
        let mut out = header;
        out[8..].copy_from_slice(&all.to_be_bytes());
        self.sent.update(&out);
        self.entries = Some(entries);
        Ok(out)
    }
}
