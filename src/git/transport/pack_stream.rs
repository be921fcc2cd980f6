//! A pack on its way, with the connection that brings it.

use bytes::Bytes;

use super::{Connection, Remote};
use crate::error::Error;
use crate::wire::{self, Result};

/// A pack on its way, with the connection that brings it. Dropping it closes the connection of a byte stream.
pub struct PackStream<'r> {
    remote: &'r Remote,
    connection: Connection,
    /// What was read and put back.
    unread: Bytes,
    is_complete: bool,
}

impl<'r> PackStream<'r> {
    pub(super) fn new(remote: &'r Remote, connection: Connection) -> Self {
        Self {
            remote,
            connection,
            unread: Bytes::new(),
            is_complete: false,
        }
    }

    /// Returns the next piece of the pack; `None` at its end.
    ///
    /// # Errors
    /// As [`Sideband::data`](wire::Sideband::data).
    pub async fn data(&mut self) -> Result<Option<Bytes>> {
        if !self.unread.is_empty() {
            return Ok(Some(std::mem::take(&mut self.unread)));
        }
        if self.is_complete {
            return Ok(None);
        }
        let next = self.connection.pack().data().await?;
        self.is_complete = next.is_none();
        Ok(next)
    }

    /// Puts back all that was read so far: it comes again, before the rest.
    pub fn put_back(&mut self, read: Vec<u8>) {
        self.unread = Bytes::from(read);
    }

    /// Names the remote in the error of something that the pack contains.
    pub fn of_remote(&self, error: Error) -> Error {
        error.on(self.remote)
    }

    /// Makes the error of a failure while the pack is read.
    pub fn error(&self, error: wire::Error) -> Error {
        let stderr = self.connection.stderr();
        self.remote.error("reading its pack", error, &stderr)
    }
}
