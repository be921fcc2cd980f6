//! Receives a file from far away, from the store's bucket or from upstream, and verifies it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::single_flight::{Flight, WHOLE_WITHIN};
use super::unavailable::Unavailable;
use super::verified_file::{SMALL, VerifiedFile};
use crate::count::counted;
use crate::index::Checksum;
use crate::server::store::Scratch;

/// The largest file that is accepted, in bytes: far more than crates.io takes, but a response must end somewhere.
const LARGEST: u64 = 1 << 30;

/// How many bytes are released to the waiters at a time.
const STEP: u64 = 64 << 10;
/// After which time fewer are released: cargo gives up where less than 10 bytes a second arrive for 30 seconds.
const STEP_TIME: Duration = Duration::from_secs(1);

/// Bytes from far away.
pub(super) struct Incoming {
    /// How many there are, if the other side announced it.
    pub(super) total: Option<u64>,
    pub(super) stream: BoxStream<'static, Result<Bytes, Unavailable>>,
}

/// A file that was received and verified.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) file: VerifiedFile,
    /// Where it is on disk, if it was too large for memory.
    pub(super) scratch: Option<NamedTempFile>,
}

/// Reads to the end and compares the length and the checksum.
///
/// A large file, or one that arrives slowly, goes to a scratch file, from which those who wait for the flight read it
/// while it arrives, all but the last byte. If its length is unknown, or without a flight, nobody reads it before it is
/// verified: without a length not every client could tell its end from a failure.
///
/// # Errors
/// If the other side fails; `Mismatch` if the bytes are not those of this checksum.
pub(super) async fn receive(
    mut incoming: Incoming,
    wanted: Checksum,
    scratch: &Scratch,
    flight: Option<&Flight>,
) -> Result<Received, Unavailable> {
    let mut hash = Context::new(&SHA256);
    let mut length = Length::new(incoming.total)?;
    let begun = Instant::now();
    // Known to be too large for memory: its first bytes need not wait for the rest of what memory would hold.
    let is_large = incoming.total.is_some_and(|total| total > SMALL as u64);
    let (mut small, mut large) = (BytesMut::new(), None::<Large>);
    while let Some(piece) = incoming.stream.next().await {
        let piece = piece?;
        // Before the piece is kept anywhere: an endless response ends here.
        length.add(piece.len())?;
        hash.update(&piece);
        match &mut large {
            Some(large) => large.add(piece, flight).await?,
            None if !is_large
                && small.len() + piece.len() <= SMALL
                && begun.elapsed() < WHOLE_WITHIN =>
            {
                small.extend_from_slice(&piece);
            }
            None => {
                let scratch = scratch.file().map_err(disk)?;
                let large = large.insert(Large::new(scratch, incoming.total)?);
                large.add(small.split().freeze(), flight).await?;
                large.add(piece, flight).await?;
            }
        }
    }
    length.check_end()?;
    let found = finish(hash);
    if found != wanted {
        return Err(Unavailable::Mismatch { wanted, found });
    }
    Ok(match large {
        None => Received {
            file: VerifiedFile::Memory(small.freeze()),
            scratch: None,
        },
        Some(large) => Received {
            file: VerifiedFile::Disk(large.reader, large.written),
            scratch: Some(large.scratch),
        },
    })
}

/// How many bytes arrived, of how many.
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
                "it announces {total} bytes; a crate file has at most {LARGEST}"
            ))),
            _ => Ok(Self { total, read: 0 }),
        }
    }

    fn add(&mut self, bytes: usize) -> Result<(), Unavailable> {
        self.read += bytes as u64;
        let most = self.total.unwrap_or(LARGEST);
        match self.read > most {
            true => Err(Unavailable::Upstream(format!(
                "it sends more than {}, its announced length or the most that a crate file has",
                counted(most, "byte")
            ))),
            false => Ok(()),
        }
    }

    /// # Errors
    /// Fewer bytes arrived than were announced.
    fn check_end(&self) -> Result<(), Unavailable> {
        match self.total {
            Some(total) if total != self.read => Err(Unavailable::Upstream(format!(
                "it ends after {} of {}",
                self.read,
                counted(total, "byte")
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
    /// How many bytes were released to the waiters, and when.
    released: u64,
    released_at: Instant,
}

impl Large {
    fn new(scratch: NamedTempFile, total: Option<u64>) -> Result<Self, Unavailable> {
        let reader = scratch.reopen().map_err(disk)?;
        // As every reader of a stored file does: once it is stored it is not evicted while a client still reads it.
        let _ = reader.try_lock_shared();
        Ok(Self {
            reader: Arc::new(reader),
            scratch,
            total,
            written: 0,
            released: 0,
            released_at: Instant::now(),
        })
    }

    /// Writes a piece and releases it: only the file's last byte stays here until all are known to be right.
    async fn add(&mut self, piece: Bytes, flight: Option<&Flight>) -> Result<(), Unavailable> {
        let at = self.written;
        self.written += piece.len() as u64;
        let file = self.scratch.as_file().try_clone().map_err(disk)?;
        // Awaited before the next piece is read: a slow disk slows upstream down, instead of filling the memory.
        let writing = spawn_blocking(move || file.write_all_at(&piece, at));
        let written = writing.await.map_err(io::Error::other);
        written.and_then(|written| written).map_err(disk)?;
        let (Some(total), Some(flight)) = (self.total, flight) else {
            return Ok(());
        };
        let released = self.written.min(total.saturating_sub(1));
        // Each release wakes all waiters: not more often than they have something to send.
        let is_due = released >= self.released + STEP || self.released_at.elapsed() >= STEP_TIME;
        if released > self.released && is_due {
            self.released = released;
            self.released_at = Instant::now();
            flight.release(&self.reader, total, released);
        }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use aws_lc_rs::digest::digest;
    use futures_util::stream;
    use tokio::time::sleep;

    use super::super::body::Body;
    use super::super::single_flight::SingleFlight;
    use super::*;

    fn checksum(bytes: &[u8]) -> Checksum {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Checksum::from_bytes(hash)
    }

    /// Receives these bytes in pieces of 100 KB, for the file that has these bytes.
    async fn received(
        sent: &[u8],
        total: Option<u64>,
        wanted: &[u8],
        flight: Option<&Flight>,
    ) -> Result<Received, Unavailable> {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(folder.path().to_owned()).unwrap();
        let pieces: Vec<_> = sent.chunks(100_000).map(Bytes::copy_from_slice).collect();
        let stream = stream::iter(pieces.into_iter().map(Ok)).boxed();
        receive(
            Incoming { total, stream },
            checksum(wanted),
            &scratch,
            flight,
        )
        .await
    }

    #[tokio::test]
    async fn small_files_stay_in_memory_and_large_ones_go_to_disk() {
        let small = vec![1; SMALL];
        let got = received(&small, Some(SMALL as u64), &small, None)
            .await
            .unwrap();
        assert!(matches!(got.file, VerifiedFile::Memory(bytes) if bytes == small));
        let large = vec![1; SMALL + 1];
        let got = received(&large, None, &large, None).await.unwrap();
        assert_eq!(got.file.size(), SMALL as u64 + 1);
        assert!(matches!(got.file, VerifiedFile::Disk(..)) && got.scratch.is_some());
    }

    #[tokio::test]
    async fn other_bytes_and_other_lengths_are_refused() {
        let right = b"a crate".as_slice();
        let got = received(b"a krate", Some(7), right, None).await;
        assert!(matches!(got, Err(Unavailable::Mismatch { .. })));
        for total in [3, 20, LARGEST + 1] {
            let got = received(right, Some(total), right, None).await;
            assert!(matches!(got, Err(Unavailable::Upstream(_))), "{total}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_slowly_is_released_as_it_comes() {
        let bytes = vec![1; 1_000];
        let flights = SingleFlight::default();
        let (mut waiter, flight) = flights.join(checksum(&bytes));
        let flight = flight.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(folder.path().to_owned()).unwrap();
        let pieces: Vec<_> = bytes.chunks(100).map(Bytes::copy_from_slice).collect();
        let stream = stream::iter(pieces).then(|piece| async {
            sleep(WHOLE_WITHIN).await;
            Ok(piece)
        });
        let incoming = Incoming {
            total: Some(1_000),
            stream: stream.boxed(),
        };
        let begun = Instant::now();
        let receiving = receive(incoming, checksum(&bytes), &scratch, Some(&flight));
        let reading = async {
            let Ok(Body::InFlight(_)) = waiter.body().await else {
                panic!("it is in flight");
            };
            begun.elapsed()
        };
        let (received, after) = tokio::join!(receiving, reading);
        assert_eq!(received.unwrap().file.size(), 1_000);
        assert!(after <= 3 * WHOLE_WITHIN, "{after:?}");
    }

    #[tokio::test]
    async fn waiters_read_all_but_the_end_before_it_is_verified() {
        let large = vec![1; 3 * SMALL];
        let mut wrong = large.clone();
        *wrong.last_mut().unwrap() = 2;
        for (total, begins) in [(Some(large.len() as u64), true), (None, false)] {
            let flights = SingleFlight::default();
            let (waiter, flight) = flights.join(checksum(&large));
            let got = received(&wrong, total, &large, flight.as_ref()).await;
            assert!(matches!(got, Err(Unavailable::Mismatch { .. })));
            assert_eq!(waiter.begun().is_some(), begins);
        }
    }
}
