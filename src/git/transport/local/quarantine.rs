//! Takes a pushed pack aside, and into the repository's objects only once everything about it is accepted.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use git2::{Indexer, Odb};
use tempfile::TempDir;

use super::pipe::{Failure, Input, Output, Result};
use crate::git::wire::pack::{HEADER, Sha1, TRAILER, entry_count};

/// A folder of objects that the repository does not have yet; dropping it removes it.
///
/// It is named as git names its own, so that `git prune` removes what a killed process left behind.
pub(super) struct Quarantine {
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

/// Why a pack is not taken.
#[derive(Debug)]
pub(super) enum Unusable {
    /// The client hung up.
    Gone,
    /// What is told to the client.
    Because(String),
}

impl From<Failure> for Unusable {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Gone => Self::Gone,
            Failure::Refused(why) => Self::Because(why),
        }
    }
}

impl From<git2::Error> for Unusable {
    fn from(error: git2::Error) -> Self {
        Self::Because(error.message().to_owned())
    }
}

impl Quarantine {
    /// Makes the folder, among the repository's objects so that what is in it can be renamed into them.
    pub(super) fn create(objects: &Path) -> Result<Self> {
        let unwritable =
            |error| Failure::because(format_args!("cannot write to {}", objects.display()), error);
        let folder = tempfile::Builder::new()
            .prefix("tmp_objdir-incoming-")
            .tempdir_in(objects)
            .map_err(unwritable)?;
        fs::create_dir(folder.path().join("pack")).map_err(unwritable)?;
        Ok(Self {
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
    ) -> Result<(), Unusable> {
        let mut pieces = Pieces::new(input, limit);
        let header = pieces.header()?;
        let entries =
            entry_count(&header[..HEADER]).map_err(|error| Unusable::Because(error.to_string()))?;
        if entries == 0 {
            while !pieces.is_at_trailer() {
                pieces.next()?;
            }
            return Ok(());
        }
        let odb = Odb::new()?;
        let place = self.objects.to_str();
        let place = place
            .ok_or_else(|| Unusable::Because("the repository's path is not UTF-8".to_owned()))?;
        odb.add_disk_alternate(place)?;
        let received = RefCell::new(0);
        let folder = self.folder.path().join("pack");
        let mut indexer = Indexer::new(Some(&odb), &folder, 0o444, false)?;
        indexer.progress(|progress| {
            *received.borrow_mut() = progress.received_objects();
            output.keep_alive().is_ok()
        });
        let mut write = |bytes: &[u8]| -> Result<(), Unusable> {
            // git2 makes an I/O error of every failure, with libgit2's words.
            indexer
                .write_all(bytes)
                .map_err(|error| Unusable::Because(error.to_string()))
        };
        write(&header)?;
        let mut beyond = 0;
        loop {
            let has_all = *received.borrow() >= entries as usize;
            if has_all && pieces.is_at_trailer() {
                break;
            }
            let piece = pieces.next()?;
            write(&piece)?;
            beyond = if has_all { beyond + piece.len() } else { 0 };
            if beyond > TRAILER {
                return Err(Unusable::Because(
                    "the pack does not end in its checksum".to_owned(),
                ));
            }
        }
        let name = indexer.commit().map_err(|error| match output.is_gone() {
            true => Unusable::Gone,
            false => error.into(),
        })?;
        self.pack = Some(PackFiles {
            pack: folder.join(format!("pack-{name}.pack")),
            index: folder.join(format!("pack-{name}.idx")),
        });
        Ok(())
    }

    /// Moves the pack to the repository's objects: it is whole there at any moment, whatever ends this process.
    pub(super) fn migrate(self) -> Result<()> {
        let Some(files) = &self.pack else {
            return Ok(());
        };
        let folder = self.objects.join("pack");
        let moved = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            // An index without its pack would be a fault; a pack without its index is not looked at.
            for path in [&files.pack, &files.index] {
                File::open(path)?.sync_all()?;
                let name = path.file_name().unwrap_or_default();
                fs::rename(path, folder.join(name))?;
            }
            File::open(&folder)?.sync_all()
        };
        moved().map_err(|error| {
            Failure::because(format_args!("cannot write to {}", folder.display()), error)
        })
    }
}

/// What the client sends of a pack: nothing says where it ends but itself.
///
/// A pack ends in the SHA-1 of all before it, and the client waits for the report then.
struct Pieces<'a> {
    input: &'a mut Input,
    limit: Option<u64>,
    size: u64,
    sum: Sha1,
    /// The last bytes, which may be the trailer.
    last: BytesMut,
}

impl<'a> Pieces<'a> {
    fn new(input: &'a mut Input, limit: Option<u64>) -> Self {
        Self {
            input,
            limit,
            size: 0,
            sum: Sha1::new(),
            last: BytesMut::new(),
        }
    }

    /// Reads the first bytes, at least a pack's header.
    fn header(&mut self) -> Result<Bytes, Unusable> {
        let mut header = BytesMut::new();
        while header.len() < HEADER {
            header.extend_from_slice(&self.next()?);
        }
        Ok(header.freeze())
    }

    fn next(&mut self) -> Result<Bytes, Unusable> {
        let piece = self.input.bytes()?;
        if piece.is_empty() {
            return Err(Unusable::Gone);
        }
        self.size += piece.len() as u64;
        if self.limit.is_some_and(|limit| self.size > limit) {
            return Err(Unusable::Because(
                "pack exceeds maximum allowed size".to_owned(),
            ));
        }
        self.last.extend_from_slice(&piece);
        let sure = self.last.split_to(self.last.len().saturating_sub(TRAILER));
        self.sum.update(&sure);
        Ok(piece)
    }

    /// Says whether the last bytes are the checksum of those before.
    fn is_at_trailer(&self) -> bool {
        self.last.len() == TRAILER && self.sum.clone().finish() == self.last[..]
    }
}
