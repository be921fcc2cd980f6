//! The bytes of a dump on their way from where it comes to the thread that reads it.

use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf as _, Bytes};
use indicatif::HumanBytes;
use tokio::sync::mpsc::Receiver;

use crate::error::Result;
use crate::progress::Progress;

/// After how many bytes the progress is told anew.
const TELL: u64 = 4 << 20;

/// A piece, or why there is none. Where the sender is dropped without the end, the work was given up.
pub(super) type Piece = Option<Result<Bytes>>;

/// The pieces of a dump as they arrive, for a reader that blocks.
pub(super) struct Pieces {
    pieces: Receiver<Piece>,
    piece: Bytes,
    received: u64,
    told: u64,
    length: Option<u64>,
    is_at_end: bool,
    /// The table that is being read.
    table: Arc<Mutex<String>>,
    progress: Arc<Progress>,
}

impl Pieces {
    /// Reads what is sent there, of a dump of this length.
    pub(super) fn new(
        pieces: Receiver<Piece>,
        length: Option<u64>,
        progress: &Arc<Progress>,
    ) -> Self {
        Self {
            pieces,
            piece: Bytes::new(),
            received: 0,
            told: 0,
            length,
            is_at_end: false,
            table: Arc::default(),
            progress: Arc::clone(progress),
        }
    }

    /// Returns where the table that is being read is to be named.
    pub(super) fn table(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.table)
    }

    fn tell(&mut self) {
        self.told = self.received;
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let of = self
            .length
            .map(|length| format!(" of {}", HumanBytes(length)));
        let of = of.unwrap_or_default();
        let (read, table) = (HumanBytes(self.received), table.as_str());
        self.progress
            .phase(&format!("reading the dump: {read}{of}, {table}"));
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Some(piece)) => {
                    self.piece = piece.map_err(io::Error::other)?;
                    self.received += self.piece.len() as u64;
                    if self.received - self.told >= TELL {
                        self.tell();
                    }
                }
                Some(None) => self.is_at_end = true,
                None if self.is_at_end => break,
                // The work was given up.
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        self.piece.advance(amount);
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let amount = available.len().min(buffer.len());
        buffer[..amount].copy_from_slice(&available[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}
