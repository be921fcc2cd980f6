//! Stores a pushed pack aside, and moves it to the repository's objects once everything about it has been accepted.
//!
//! Indexed by gix-pack: libgit2's indexer looks through all deltas again for each object that a thin pack lacks (a pack of 2,000
//! commits took it 2.0 s of CPU and 33 MB, and takes gix-pack 0.2 s and 10 MB; the whole index of 2020 8.2 s and 62 MB, here 2.9 s
//! and 33 MB).

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use gix_pack::Bundle;
use gix_pack::bundle::write::Options;
use tempfile::TempDir;

use super::leftovers::{self, Note, QUARANTINE};
use super::pipe::{Failure, Input, Output, Result};
use crate::indexing_budget::{Bases, LOOK, OBJECT_LIMIT, Progress, Work};

/// How often the watcher checks whether the client is still connected.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// A folder of objects that the repository does not have yet; dropping it removes it.
///
/// What a killed process left behind the next push removes, or `git prune`.
pub(super) struct Quarantine {
    /// Before the folder, which is removed after it.
    _note: Option<Note>,
    folder: TempDir,
    /// Where the repository keeps its objects.
    objects: PathBuf,
    /// The pack's files; none where the pack was empty.
    pack: Option<PackFiles>,
}

struct PackFiles {
    pack: PathBuf,
    index: PathBuf,
}

impl Quarantine {
    /// Creates the folder inside the repository's `objects`: a rename needs the same file system.
    pub(super) fn create(objects: &Path) -> Result<Self> {
        leftovers::remove(objects);
        let unwritable =
            |error| Failure::because(format_args!("cannot write to {}", objects.display()), error);
        let folder = tempfile::Builder::new()
            .prefix(QUARANTINE)
            .tempdir_in(objects)
            .map_err(unwritable)?;
        fs::create_dir(folder.path().join("pack")).map_err(unwritable)?;
        Ok(Self {
            _note: Note::leave_in(folder.path()).map_err(unwritable)?,
            folder,
            objects: objects.to_owned(),
            pack: None,
        })
    }

    /// Returns the folder.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns where the repository keeps its objects.
    pub(super) fn objects(&self) -> &Path {
        &self.objects
    }

    /// Returns the index of the pack; none where the pack was empty.
    pub(super) fn index(&self) -> Option<&Path> {
        self.pack.as_ref().map(|pack| pack.index.as_path())
    }

    /// Receives a pack of at most so many bytes, and completes it from the repository where it is thin.
    pub(super) fn receive(
        &mut self,
        input: &mut Input,
        output: &Output,
        limit: Option<u64>,
    ) -> Result<()> {
        let bases = super::objects::open(&self.objects)?;
        let folder = self.folder.path().join("pack");
        let work = Work::default();
        let mut pieces = Pieces::new(input, &work, limit);
        let working = AtomicBool::new(true);
        let indexed = std::thread::scope(|threads| {
            // This thread blocks on the client's bytes and on indexing. The other one sends keepalives, and interrupts
            // the indexing when the client is gone, or the pack is more work than any index is.
            let watcher = threads.spawn(|| watch(output, &working, &work));
            let indexed = Bundle::write_to_directory(
                &mut pieces,
                Some(&folder),
                &mut Progress::of(&work),
                work.interrupted(),
                Some(Bases::new(bases, &work)),
                gix_hash::Kind::Sha1,
                Options {
                    alloc_limit_bytes: Some(OBJECT_LIMIT),
                    ..Options::default()
                },
            );
            working.store(false, Ordering::Relaxed);
            // Without this the end of every push would wait for the watcher's next look.
            watcher.thread().unpark();
            indexed
        });
        let indexed = match (indexed, pieces.failure.take()) {
            (Ok(indexed), _) => indexed,
            // First, since an interrupted indexer reports an error of its own, and nobody is left to read it.
            (Err(_), _) if output.is_gone() => return Err(Failure::Gone),
            (Err(_), Some(failure)) => return Err(failure),
            (Err(error), None) => {
                let why = work.exceeded().unwrap_or_else(|| chain(&error));
                return Err(Failure::Refused(why));
            }
        };
        if let (Some(pack), Some(index)) = (indexed.data_path, indexed.index_path) {
            self.pack = Some(PackFiles { pack, index });
        }
        Ok(())
    }

    /// Moves the pack to the repository's objects. Readers see it whole or not at all, whenever this process may end.
    ///
    /// The pack is to be kept until the refs lead to it: a `git repack` in between would drop it. The note is the `.keep` beside the
    /// pack, which `git repack` and `git gc` leave as it is (git-repack); none where somebody else keeps the same pack, perhaps for
    /// good.
    pub(super) fn migrate(self) -> Result<Option<Note>> {
        let Some(files) = &self.pack else {
            return Ok(None);
        };
        let folder = self.objects.join("pack");
        let moved = || -> io::Result<Option<Note>> {
            fs::create_dir_all(&folder)?;
            let kept = Note::leave(folder.join(files.keep_name()), self.path())?;
            // In this order: git ignores a pack without an index, and complains of an index without its pack.
            for path in [&files.pack, &files.index] {
                // Before the rename: after a power failure the new name must not lead to a file without contents.
                File::open(path)?.sync_all()?;
                // As git does: a pack is never written to again.
                fs::set_permissions(path, Permissions::from_mode(0o444))?;
                let name = path.file_name().unwrap_or_default();
                fs::rename(path, folder.join(name))?;
            }
            // The folder as well, or the names may be lost while the ref that needs them is kept.
            File::open(&folder)?.sync_all()?;
            Ok(kept)
        };
        moved().map_err(|error| {
            Failure::because(format_args!("cannot write to {}", folder.display()), error)
        })
    }
}

impl PackFiles {
    fn keep_name(&self) -> PathBuf {
        let name = self.pack.file_name().unwrap_or_default();
        Path::new(name).with_extension("keep")
    }
}

/// Sends keepalives while the pack is being indexed, and interrupts the indexer when the client is gone or the work is too much.
fn watch(output: &Output, working: &AtomicBool, work: &Work) {
    let mut told = Instant::now();
    while working.load(Ordering::Relaxed) && !work.end_if_too_much() {
        std::thread::park_timeout(LOOK);
        if told.elapsed() < KEEP_ALIVE {
            continue;
        }
        if output.keep_alive().is_err() {
            return work.interrupt();
        }
        told = Instant::now();
    }
}

/// Returns an error and its causes in one line.
fn chain(error: &gix_error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors of gix already quote their cause.
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}

/// The client's pack as a reader, without an end of its own: the client keeps its side open for the report, so that
/// only the indexer, which counts the pack's objects, knows where the pack ends.
struct Pieces<'a> {
    input: &'a mut Input,
    work: &'a Work,
    limit: Option<u64>,
    size: u64,
    piece: Bytes,
    /// Why reading failed.
    failure: Option<Failure>,
}

impl<'a> Pieces<'a> {
    fn new(input: &'a mut Input, work: &'a Work, limit: Option<u64>) -> Self {
        Self {
            input,
            work,
            limit,
            size: 0,
            piece: Bytes::new(),
            failure: None,
        }
    }

    fn next(&mut self) -> Result<Bytes> {
        let piece = self.input.bytes()?;
        self.size += piece.len() as u64;
        self.work.received(piece.len());
        if piece.is_empty() {
            return Err(Failure::Gone);
        }
        if self.limit.is_some_and(|limit| self.size > limit) {
            return Err(Failure::new("pack exceeds maximum allowed size"));
        }
        Ok(piece)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.is_empty() {
            match self.next() {
                Ok(piece) => self.piece = piece,
                Err(failure) => {
                    // An `io::Error` would lose the reason on its way through the indexer.
                    self.failure = Some(failure);
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
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
