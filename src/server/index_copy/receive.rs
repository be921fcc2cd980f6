//! Receives a pack from the wire: completes it if it is thin, indexes and syncs it, and only then moves it into place.

use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bytes::{Buf as _, Bytes};
use gix_object::Find;
use gix_pack::Bundle;
use gix_pack::bundle::write::{Options, Outcome};
use gix_utils::progress::Discard;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::objects::Objects;
use super::repository::Repository;
use crate::error::{Error, Kind, Result};
use crate::git::transport::UploadPack;

/// How many pieces of the pack may wait for the indexer.
// A piece is at most one packet of git's protocol, 64 KiB: 4 MiB in all.
const PIECES: usize = 64;

/// Receives the pack that follows; returns how many objects it has, or why it could not be indexed.
///
/// # Errors
/// If the connection fails.
pub(super) async fn receive(
    server: &mut UploadPack<'_>,
    repository: &Repository,
    objects: &Objects,
) -> Result<Result<u32>> {
    let (pieces, reader) = mpsc::channel(PIECES);
    let (place, bases) = (repository.pack_folder(), objects.handle());
    let indexing = spawn_blocking(move || index(&mut Pieces::new(reader), &place, Some(bases)));
    let read = async {
        let mut pack = server.pack();
        while let Some(piece) = pack.data().await? {
            if pieces.send(Ok(piece)).await.is_err() {
                // The indexer failed, and returns why.
                break;
            }
        }
        Ok(())
    };
    let read = read.await;
    if read.is_err() {
        let cut = io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection was cut within the pack",
        );
        // An indexer that failed receives nothing any more.
        let _ = pieces.send(Err(cut)).await;
    }
    drop(pieces);
    let indexed = indexing.await;
    // The connection's error comes first: the indexer's would only say that the pack ended early.
    read.map_err(|error| server.error("reading its objects", error))?;
    let broken = |error| Error::new(Kind::Server, "indexing the pack was aborted").because(error);
    let outcome = indexed.map_err(broken).and_then(|indexed| indexed);
    Ok(outcome.map(|outcome| outcome.index.num_objects))
}

/// Writes a pack and its index into a folder; both are whole and synced before they get their names.
pub(super) fn index(
    pack: &mut dyn BufRead,
    folder: &Path,
    bases: Option<impl Find>,
) -> Result<Outcome> {
    let written = Bundle::write_to_directory(
        pack,
        Some(folder),
        &mut Discard,
        &AtomicBool::new(false),
        bases,
        gix_hash::Kind::Sha1,
        Options::default(),
    );
    let outcome = written.map_err(|error| {
        let message = format!("cannot index a pack into {}", folder.display());
        Error::new(Kind::Server, message).because(error).advise(
            "Check that the disk is not full; otherwise the pack was damaged on its way. Nothing was changed.",
        )
    })?;
    sync(&outcome, folder).map_err(|error| super::unwritable(folder).because(error))?;
    Ok(outcome)
}

/// Syncs pack and index: the branch may move only to objects that survive a power cut.
fn sync(outcome: &Outcome, folder: &Path) -> io::Result<()> {
    for path in [&outcome.data_path, &outcome.index_path]
        .into_iter()
        .flatten()
    {
        File::open(path)?.sync_all()?;
    }
    if let Some(keep) = &outcome.keep_path {
        // It protects the pack from a concurrent `git gc`, which never runs here.
        fs::remove_file(keep)?;
    }
    File::open(folder)?.sync_all()
}

/// The pieces of a pack as they arrive, for a reader that blocks.
///
/// `tokio_util`'s `SyncIoBridge` does this for any stream, but enters the runtime for each `fill_buf`; a channel blocks
/// only if no piece has arrived yet.
struct Pieces {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Pieces {
    fn new(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        let piece = Bytes::new();
        Self { pieces, piece }
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => break,
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
