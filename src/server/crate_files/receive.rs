//! Takes a file in from far away, from the store's bucket or from upstream, and verifies it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tempfile::NamedTempFile;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::single_flight::Stage;
use super::{CrateFiles, SMALL, Unavailable, VerifiedFile};
use crate::index::{Checksum, CrateFile};

/// No crate file is larger: what goes on and on is none.
const LARGEST: u64 = 1 << 30;

/// How many bytes those who wait are told of at a time.
const STEP: u64 = 64 << 10;

/// Bytes from far away.
pub(super) struct Incoming {
    /// How many there are, where the other side said it.
    pub(super) total: Option<u64>,
    pub(super) stream: BoxStream<'static, Result<Bytes, Unavailable>>,
}

/// A file that was taken in and is right.
pub(super) struct Received {
    pub(super) held: VerifiedFile,
    /// Where it is on disk, if it was too large for memory.
    pub(super) scratch: Option<NamedTempFile>,
}

impl CrateFiles {
    /// Reads to the end and compares the length and the checksum. What is large goes to a scratch file, from which it can be
    /// read while it comes, but for the last piece; where its length is not known, nobody reads it before it is verified,
    /// since not every client could tell its end from a failure.
    pub(super) async fn receive(
        &self,
        file: &CrateFile,
        mut incoming: Incoming,
        stage: &watch::Sender<Stage>,
    ) -> Result<Received, Unavailable> {
        let mut hash = Context::new(&SHA256);
        let mut length = Length::new(incoming.total)?;
        let mut taken = Taken::default();
        while let Some(piece) = incoming.stream.next().await {
            let piece = piece?;
            length.add(piece.len())?;
            hash.update(&piece);
            match &mut taken.large {
                Some(large) => large.add(piece, stage).await?,
                None if taken.small.len() + piece.len() <= SMALL => {
                    taken.small.extend_from_slice(&piece);
                }
                None => {
                    let scratch = self.scratch.file().map_err(disk)?;
                    let large = taken.large.insert(Large::new(scratch, incoming.total)?);
                    large.add(taken.small.split().freeze(), stage).await?;
                    large.add(piece, stage).await?;
                }
            }
        }
        length.check_end()?;
        let (found, wanted) = (finish(hash), file.checksum);
        match found == wanted {
            true => Ok(taken.into_received()),
            false => Err(Unavailable::Mismatch { wanted, found }),
        }
    }
}

/// What came so far: in memory, until it is too large for that.
#[derive(Default)]
struct Taken {
    small: BytesMut,
    large: Option<Large>,
}

impl Taken {
    fn into_received(self) -> Received {
        match self.large {
            None => Received {
                held: VerifiedFile::Memory(self.small.freeze()),
                scratch: None,
            },
            Some(large) => Received {
                held: VerifiedFile::File(large.reader, large.written),
                scratch: Some(large.scratch),
            },
        }
    }
}

/// How many bytes came, of how many.
struct Length {
    total: Option<u64>,
    read: u64,
}

impl Length {
    /// # Errors
    /// More bytes are announced than any crate file has.
    fn new(total: Option<u64>) -> Result<Self, Unavailable> {
        match total {
            Some(total) if total > LARGEST => Err(Unavailable::Upstream(format!(
                "it announces {total} bytes, and no crate file has more than {LARGEST}"
            ))),
            _ => Ok(Self { total, read: 0 }),
        }
    }

    fn add(&mut self, bytes: usize) -> Result<(), Unavailable> {
        self.read += bytes as u64;
        let most = self.total.unwrap_or(LARGEST);
        match self.read > most {
            true => Err(Unavailable::Upstream(format!(
                "more than {most} bytes come, which is the length that was announced, or more than any crate file has"
            ))),
            false => Ok(()),
        }
    }

    /// # Errors
    /// Fewer bytes came than were announced.
    fn check_end(&self) -> Result<(), Unavailable> {
        match self.total {
            Some(total) if total != self.read => Err(Unavailable::Upstream(format!(
                "it ends after {} of {total} bytes",
                self.read
            ))),
            _ => Ok(()),
        }
    }
}

/// A file that is too large for memory.
struct Large {
    scratch: NamedTempFile,
    reader: Arc<File>,
    total: Option<u64>,
    written: u64,
    /// How much of it those who wait were told of last.
    told: u64,
}

impl Large {
    fn new(scratch: NamedTempFile, total: Option<u64>) -> Result<Self, Unavailable> {
        let reader = scratch.reopen().map_err(disk)?;
        // As a kept file is that is being read: it may be evicted when it is kept and its last client has read it.
        let _ = reader.try_lock_shared();
        Ok(Self {
            reader: Arc::new(reader),
            scratch,
            total,
            written: 0,
            told: 0,
        })
    }

    /// Writes a piece, and releases those before it: the last byte stays here until all are known to be right.
    async fn add(&mut self, piece: Bytes, stage: &watch::Sender<Stage>) -> Result<(), Unavailable> {
        let at = self.written;
        self.written += piece.len() as u64;
        let file = self.scratch.as_file().try_clone().map_err(disk)?;
        let writing = spawn_blocking(move || file.write_all_at(&piece, at));
        let written = writing.await.map_err(io::Error::other);
        written.and_then(|written| written).map_err(disk)?;
        let Some(total) = self.total else {
            return Ok(());
        };
        let released = at.min(total.saturating_sub(1));
        if released < self.told + STEP {
            return Ok(());
        }
        self.told = released;
        stage.send_replace(Stage::Coming {
            file: Arc::clone(&self.reader),
            total,
            released,
        });
        Ok(())
    }
}

/// Returns the checksum of what was hashed.
pub(super) fn finish(hash: Context) -> Checksum {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    Checksum::from_bytes(bytes)
}

fn disk(error: io::Error) -> Unavailable {
    Unavailable::Disk(error.to_string())
}
