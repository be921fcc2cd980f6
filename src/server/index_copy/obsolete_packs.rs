//! Packs that hold nothing of what the copy shows now. They stay as long as somebody may read what it showed before.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use super::Snapshot;

/// The packs, and who may need them.
#[derive(Default)]
pub(super) struct ObsoletePacks {
    packs: Vec<PathBuf>,
    readers: Vec<Weak<Snapshot>>,
}

impl ObsoletePacks {
    /// Takes in packs whose objects another pack holds, as far as the copy still shows them.
    pub(super) fn add(&mut self, packs: impl IntoIterator<Item = PathBuf>) {
        self.packs.extend(packs);
    }

    /// Takes in a snapshot that is shown no longer.
    pub(super) fn note_reader(&mut self, before: Option<&Arc<Snapshot>>) {
        self.readers.extend(before.map(Arc::downgrade));
    }

    /// Removes the packs, unless somebody still reads a snapshot of before.
    pub(super) fn remove(&mut self) {
        self.readers.retain(|reader| reader.strong_count() > 0);
        if !self.readers.is_empty() {
            return;
        }
        for pack in self.packs.drain(..) {
            // What stays is made one with the others again.
            let _ = fs::remove_file(pack.with_extension("idx"));
            let _ = fs::remove_file(pack);
        }
    }
}
