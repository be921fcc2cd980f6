//! Receives a pack from the wire: completes it if it is thin, indexes and syncs it, and only then moves it into place.
//!
//! The pack is foreign, and so are the sizes in it. [`Work`] bounds what it may inflate to.

use std::convert::Infallible;
use std::fs::{self, File};
use std::future::pending;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use gix_error::{Class, ResourceExhaustionKind};
use gix_object::Find;
use gix_pack::Bundle;
use gix_pack::bundle::write::{Options, Outcome};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::objects::Objects;
use super::repository::Repository;
use crate::error::{Error, Kind, Result};
use crate::git::indexing_budget::{Bases, LOOK, OBJECT_LIMIT, Progress, Work};
use crate::git::transport::UploadPack;
use crate::git::wire;
use crate::progress::Progress as Shown;
use crate::server::disk_error::unwritable;

/// How many pieces of the pack may wait for the indexer.
// A piece is at most one packet of git's protocol, 64 KiB: 4 MiB in all.
const PIECES: usize = 64;

/// What gix-pack says of an object beyond the limit.
const TOO_LARGE: Class = Class::ResourceExhaustion(ResourceExhaustionKind::AllocationLimit);

/// Lets one pack be indexed at a time.
pub(super) type Indexer = Arc<Mutex<()>>;

/// Receives the pack that follows; returns how many objects it has, or why it could not be indexed. Dropping the future
/// ends the indexing.
///
/// # Errors
/// If the connection fails.
pub(super) async fn receive(
    server: &mut UploadPack<'_>,
    repository: &Repository,
    objects: &Objects,
    indexer: &Indexer,
    (progress, most): (&Shown, Option<u64>),
) -> Result<Result<u32>> {
    let (pieces, reader) = mpsc::channel(PIECES);
    let indexing = Indexing::begin(indexer, repository, objects, reader).await;
    let (read, indexed) = tokio::join!(pass_on(server, pieces, progress, most), indexing.end());
    // The connection's error comes first: the indexer's would only say that the pack ended early.
    read.map_err(|error| server.error("reading its objects", error))?;
    Ok(indexed.map(|outcome| outcome.index.num_objects))
}

/// Indexes a pack that is whole in memory.
///
/// # Errors
/// As the indexing of any pack.
pub(super) async fn index_own(
    pack: Bytes,
    repository: &Repository,
    objects: &Objects,
    indexer: &Indexer,
) -> Result<()> {
    let (pieces, reader) = mpsc::channel(1);
    let indexing = Indexing::begin(indexer, repository, objects, reader).await;
    // An indexer that ended already says why.
    let _ = pieces.send(Ok(pack)).await;
    drop(pieces);
    indexing.end().await.map(drop)
}

/// A pack that is being indexed; dropping it interrupts that.
struct Indexing {
    work: Work,
    thread: JoinHandle<Result<Outcome>>,
}

impl Indexing {
    /// Begins to index a pack as it arrives, once no other is being indexed.
    async fn begin(
        indexer: &Indexer,
        repository: &Repository,
        objects: &Objects,
        reader: mpsc::Receiver<io::Result<Bytes>>,
    ) -> Self {
        // A fetch that ran out of time has left its thread behind, which is about to end. Until then the next one waits.
        let turn = Arc::clone(indexer).lock_owned().await;
        let (folder, bases) = (repository.pack_folder(), objects.handle());
        let work = Work::default();
        let thread = spawn_blocking({
            let work = work.clone();
            move || {
                let _turn = turn;
                index(&mut Pieces::new(reader, &work), &folder, Some(bases), &work)
            }
        });
        Self { work, thread }
    }

    /// Waits for its end.
    async fn end(mut self) -> Result<Outcome> {
        let broken =
            |error| Error::new(Kind::Server, "indexing the pack was aborted").because(error);
        tokio::select! {
            indexed = &mut self.thread => indexed.map_err(broken).and_then(|indexed| indexed),
            never = keep_within_budget(&self.work) => match never {},
        }
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        self.work.interrupt();
    }
}

/// Ends the work of indexing once it is too much, which the indexer then tells.
async fn keep_within_budget(work: &Work) -> Infallible {
    while !work.end_if_too_much() {
        sleep(LOOK).await;
    }
    pending().await
}

/// Passes a pack on to the indexer.
async fn pass_on(
    server: &mut UploadPack<'_>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    progress: &Shown,
    most: Option<u64>,
) -> wire::Result<()> {
    let read = async {
        let mut pack = server.pack();
        let mut has_begun = false;
        let mut left = most.unwrap_or(u64::MAX);
        while let Some(piece) = pack.data().await? {
            if !std::mem::replace(&mut has_begun, true) {
                progress.phase("fetching the index");
                progress.pack_objects(objects_in(&piece));
            }
            progress.pack_bytes(piece.len());
            left = left
                .checked_sub(piece.len() as u64)
                .ok_or(wire::Error::Limit {
                    what: "the number of bytes of its pack",
                    limit: usize::try_from(most.unwrap_or(u64::MAX)).unwrap_or(usize::MAX),
                })?;
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
    read
}

/// Returns the number of objects that a pack has, from its beginning; 0 if that is none, which the indexer then refuses.
fn objects_in(beginning: &[u8]) -> u32 {
    let header = beginning.first_chunk::<12>();
    let header = header.and_then(|header| gix_pack::data::header::decode(header).ok());
    header.map_or(0, |(_, objects)| objects)
}

/// Writes a pack and its index into a folder; both are whole and synced before they get their names.
pub(super) fn index(
    pack: &mut dyn BufRead,
    folder: &Path,
    bases: Option<impl Find>,
    work: &Work,
) -> Result<Outcome> {
    let written = Bundle::write_to_directory(
        pack,
        Some(folder),
        &mut Progress::of(work),
        work.interrupted(),
        bases.map(|bases| Bases::new(bases, work)),
        gix_hash::Kind::Sha1,
        Options {
            alloc_limit_bytes: Some(OBJECT_LIMIT),
            ..Options::default()
        },
    );
    let outcome = written.map_err(|error| {
        if let Some(why) = work.exceeded() {
            return refused("the pack was refused").because(why);
        }
        if error.classify().has(TOO_LARGE) {
            let limit = OBJECT_LIMIT >> 20;
            let text = format!("the pack was refused: it has an object larger than {limit} MiB");
            return refused(text).because(error);
        }
        let message = format!("cannot index a pack into {}", folder.display());
        Error::new(Kind::Server, message).because(error).advise(
            "Check that the disk is not full; otherwise the pack was damaged on its way. Nothing was changed.",
        )
    })?;
    sync(&outcome, folder).map_err(|error| unwritable(folder, error))?;
    Ok(outcome)
}

/// Makes the error of a pack that nobody can have made of an index.
fn refused(text: impl Into<String>) -> Error {
    Error::new(Kind::Server, text)
        .advise("No index has such a pack. Check what the repository holds; nothing was changed.")
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
struct Pieces<'a> {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    work: &'a Work,
}

impl<'a> Pieces<'a> {
    fn new(pieces: mpsc::Receiver<io::Result<Bytes>>, work: &'a Work) -> Self {
        let piece = Bytes::new();
        Self {
            pieces,
            piece,
            work,
        }
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => {
                    self.piece = piece?;
                    self.work.received(self.piece.len());
                }
                None => break,
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, amount: usize) {
        self.piece.advance(amount);
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let amount = available.len().min(buffer.len());
        buffer[..amount].copy_from_slice(&available[..amount]);
        self.consume(amount);
        Ok(amount)
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;
    use crate::git::wire::pack::{ObjectKind, delta_entry, whole_entry};

    /// What nothing here takes longer than.
    const BOUND: Duration = Duration::from_secs(60);

    /// A copy without objects.
    pub(in crate::server::index_copy) struct Copy {
        repository: Repository,
        pub(in crate::server::index_copy) objects: Objects,
        indexer: Indexer,
        _folder: TempDir,
    }

    impl Copy {
        pub(in crate::server::index_copy) fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let repository = Repository::new(folder.path().join("index.git"), "master");
            repository.prepare("git://index.example/").unwrap();
            let objects = Objects::open(&repository.objects()).unwrap();
            Self {
                repository,
                objects,
                indexer: Indexer::default(),
                _folder: folder,
            }
        }

        async fn begin(&self) -> (mpsc::Sender<io::Result<Bytes>>, Indexing) {
            let (pieces, reader) = mpsc::channel(PIECES);
            let begun = Indexing::begin(&self.indexer, &self.repository, &self.objects, reader);
            (pieces, begun.await)
        }

        pub(in crate::server::index_copy) async fn index(&self, pack: Vec<u8>) -> Result<Outcome> {
            let (pieces, indexing) = self.begin().await;
            pieces.send(Ok(pack.into())).await.unwrap();
            drop(pieces);
            timeout(BOUND, indexing.end()).await.unwrap()
        }
    }

    pub(in crate::server::index_copy) fn pack(entries: &[Bytes]) -> Vec<u8> {
        let count = (entries.len() as u32).to_be_bytes();
        let mut pack = [b"PACK\0\0\0\x02", &count[..], &entries.concat()].concat();
        let mut hash = gix_hash::hasher(gix_hash::Kind::Sha1);
        hash.update(&pack);
        pack.extend_from_slice(hash.try_finalize().unwrap().as_slice());
        pack
    }

    /// Makes a pack of some kilobytes: a file of `size` zeros, and `number` more that differ in their first byte.
    fn swelling(size: usize, number: u8) -> Vec<u8> {
        let first = vec![0; size];
        let id = ObjectKind::Blob.id_of(&first);
        let mut entries = vec![whole_entry(ObjectKind::Blob, &first).unwrap()];
        for byte in 1..=number {
            entries.push(delta_entry(id, &delta(size as u32, byte)).unwrap());
        }
        pack(&entries)
    }

    /// Makes a delta by hand, where `between` would search: that byte, then all but the first byte of the base.
    fn delta(size: u32, byte: u8) -> Vec<u8> {
        let groups = [0, 7, 14, 21].map(|shift| (size >> shift & 0x7f) as u8 | 0x80);
        let size_of_four_groups = [groups[0], groups[1], groups[2], groups[3] & 0x7f];
        let length = (size - 1).to_le_bytes();
        let copy = [0b1111_0001, 1, length[0], length[1], length[2]];
        [
            &size_of_four_groups[..],
            &size_of_four_groups,
            &[1, byte],
            &copy,
        ]
        .concat()
    }

    #[tokio::test]
    async fn a_pack_may_inflate_to_what_an_index_is() {
        let outcome = Copy::new().index(swelling(1 << 20, 60)).await.unwrap();
        assert_eq!(outcome.index.num_objects, 61);
    }

    #[tokio::test]
    async fn an_object_that_no_index_has_is_refused_before_it_takes_memory() {
        let pack = swelling(OBJECT_LIMIT + 1, 0);
        assert!(pack.len() < 1 << 20);
        let error = Copy::new().index(pack).await.unwrap_err();
        assert!(error.to_string().contains("64 MiB"), "{error:?}");
    }

    #[tokio::test]
    async fn a_pack_that_is_small_and_inflates_without_end_is_refused() {
        let pack = swelling(8 << 20, 100);
        assert!(pack.len() < 64 << 10);
        let error = Copy::new().index(pack).await.unwrap_err();
        assert!(error.chain().contains("inflate"), "{error:?}");
    }

    #[tokio::test]
    async fn an_indexer_that_is_given_up_ends_before_the_next_one_begins() {
        let copy = Copy::new();
        let (abandoned, indexing) = copy.begin().await;
        let pack = swelling(1 << 20, 1);
        let (begin, rest) = pack.split_at(20);
        abandoned.send(Ok(begin.to_vec().into())).await.unwrap();
        drop(indexing);
        let next = copy.begin();
        tokio::pin!(next);
        // It waits for bytes and cannot end; its sender lives longer than that of a fetch that is dropped.
        tokio::select! {
            biased;
            _ = &mut next => panic!("two at a time"),
            () = std::future::ready(()) => {}
        }
        let some = rest[..20].to_vec();
        abandoned.send(Ok(some.into())).await.unwrap();
        let (pieces, indexing) = timeout(BOUND, next).await.unwrap();
        pieces.send(Ok(pack.into())).await.unwrap();
        drop(pieces);
        timeout(BOUND, indexing.end()).await.unwrap().unwrap();
    }
}
