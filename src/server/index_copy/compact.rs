//! Compaction: writes one pack with what the branch reaches, and removes the others once nobody reads them. Uses
//! gix-pack.
//!
//! gix-pack copies stored deltas; libgit2's `PackBuilder` searches them anew, which takes sixteen times as long.

use std::fs;
use std::io::{self, BufReader, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use gix_pack::data::Version;
use gix_pack::data::output::bytes::FromEntriesIter;
use gix_pack::data::output::count::objects::{ObjectExpansion, Options};
use gix_pack::data::output::{count, entry};
use gix_parallel::InOrderIter;
use gix_utils::progress::Discard;

use super::objects::Objects;
use super::receive;
use super::repository::Repository;
use super::snapshot::Snapshot;

use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::indexing_budget::Work;
use crate::server::disk_error::unwritable;

/// How many objects a thread takes at a time.
const CHUNK: usize = 1000;

/// From this many packs on they are compacted: each is one more to search for every object.
const MANY: usize = 64;
/// How many bytes all packs but the largest may have, besides half of its size.
const LITTLE: u64 = 16 << 20;

/// Says whether there are many packs, or much besides the largest: a server that does not know our tip, as after a
/// squash, sends everything again.
pub(super) fn is_due(packs: &[PathBuf]) -> bool {
    let sizes = packs.iter().filter_map(|pack| fs::metadata(pack).ok());
    let sizes: Vec<u64> = sizes.map(|about| about.len()).collect();
    let largest = sizes.iter().max().copied().unwrap_or(0);
    let others = sizes.iter().sum::<u64>() - largest;
    packs.len() >= MANY || others > largest / 2 + LITTLE
}

/// Writes the pack and returns its path; the others stay.
pub(super) fn into_one(
    repository: &Repository,
    objects: &Objects,
    tip: ObjectId,
) -> Result<PathBuf> {
    let failed = |error: gix_error::Error| {
        Error::new(Kind::Server, "writing the pack failed").because(error)
    };
    let reader = objects.stable_handle();
    let tip = gix_hash::ObjectId::from(*tip.as_bytes());
    let (counts, _) = count::objects(
        reader.clone(),
        Box::new(std::iter::once(Ok(tip))),
        &Discard,
        &AtomicBool::new(false),
        Options {
            thread_limit: Some(1),
            chunk_size: CHUNK,
            // The tip's tree and no history: the copy is shallow.
            input_object_expansion: ObjectExpansion::TreeContents,
        },
    )
    .map_err(failed)?;
    let number = u32::try_from(counts.len()).unwrap_or(u32::MAX);
    let entries = entry::iter_from_counts(
        counts,
        reader,
        Box::new(Discard),
        entry::iter_from_counts::Options {
            thread_limit: Some(1),
            chunk_size: CHUNK,
            ..Default::default()
        },
    )
    .map_err(failed)?;
    let unwritten = |error: io::Error| unwritable(&repository.pack_folder(), error);
    // First into a file without a name, then indexed as a received pack is: so it is verified, and gets its name only
    // when it is whole and synced.
    let mut file = tempfile::tempfile_in(repository.pack_folder()).map_err(unwritten)?;
    let written = FromEntriesIter::new(
        InOrderIter::from(entries),
        io::BufWriter::new(&mut file),
        number,
        Version::default(),
        gix_hash::Kind::Sha1,
    );
    for bytes in written {
        bytes.map_err(failed)?;
    }
    file.rewind().map_err(unwritten)?;
    let no_bases: Option<gix_odb::HandleArc> = None;
    let outcome = receive::index(
        &mut BufReader::new(file),
        &repository.pack_folder(),
        no_bases,
        &Work::default(),
    )?;
    outcome
        .data_path
        .ok_or_else(|| Error::new(Kind::Server, "the pack has no objects"))
}

/// Packs that hold nothing that the current snapshot needs. They stay as long as an older snapshot is read.
#[derive(Default)]
pub(super) struct ObsoletePacks {
    packs: Vec<PathBuf>,
    readers: Vec<Weak<Snapshot>>,
}

impl ObsoletePacks {
    /// Adds packs, all of whose objects that the current snapshot needs are in another pack.
    pub(super) fn add(&mut self, packs: impl IntoIterator<Item = PathBuf>) {
        self.packs.extend(packs);
    }

    /// Takes out a pack that was made again.
    pub(super) fn keep(&mut self, pack: &Path) {
        self.packs.retain(|obsolete| obsolete != pack);
    }

    /// Says whether a pack is one of them.
    pub(super) fn has(&self, pack: &Path) -> bool {
        self.packs.iter().any(|obsolete| obsolete == pack)
    }

    /// Adds a snapshot that is no longer the current one, but may still be read.
    pub(super) fn note_reader(&mut self, before: Option<&Arc<Snapshot>>) {
        self.readers.extend(before.map(Arc::downgrade));
    }

    /// Removes the packs, unless an older snapshot is still read.
    pub(super) fn remove(&mut self) {
        self.readers.retain(|reader| reader.strong_count() > 0);
        if !self.readers.is_empty() {
            return;
        }
        for pack in self.packs.drain(..) {
            // A pack that cannot be removed is compacted with the others again.
            // The index first: a pack without one is to git an unfinished pack, and `clean` removes it; an index
            // without its pack would promise objects.
            let _ = fs::remove_file(pack.with_extension("idx"));
            let _ = fs::remove_file(pack);
        }
    }
}
