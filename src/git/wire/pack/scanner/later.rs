//! Deltas that wait for their base.

use std::collections::{HashMap, HashSet};

use super::Base;
use crate::ObjectId;
use crate::wire::{Error, Result};

/// What an entry waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Awaited {
    Object(ObjectId),
    Entry(usize),
}

/// Deltas that came before their base, as dulwich sends them.
#[derive(Default)]
pub(super) struct Later {
    waiting: HashMap<Awaited, Vec<usize>>,
    entries: HashSet<usize>,
    /// Entries whose base has been read meanwhile.
    pub(super) ready: Vec<usize>,
}

impl Later {
    /// The most that may wait at a time: as many deltas as fit into a pack would take several times its memory.
    const LIMIT: usize = 50_000;

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns what has to be read before a delta on this base can be applied.
    pub(super) fn awaited(&self, base: &Base) -> Option<Awaited> {
        match base {
            Base::None(_) | Base::Supplied(_) => None,
            Base::At(entry) => self
                .entries
                .contains(entry)
                .then_some(Awaited::Entry(*entry)),
            Base::Later(id) => Some(Awaited::Object(*id)),
        }
    }

    pub(super) fn wait(&mut self, awaited: Awaited, offset: usize) -> Result<()> {
        if self.entries.len() == Self::LIMIT {
            return Err(Error::Limit {
                what: "the number of deltas before their base",
                limit: Self::LIMIT,
            });
        }
        self.entries.insert(offset);
        self.waiting.entry(awaited).or_default().push(offset);
        Ok(())
    }

    /// Notes that an object has been read: what waited for it is next.
    pub(super) fn wake(&mut self, id: ObjectId, offset: usize) {
        self.entries.remove(&offset);
        for awaited in [Awaited::Object(id), Awaited::Entry(offset)] {
            self.ready
                .extend(self.waiting.remove(&awaited).unwrap_or_default());
        }
    }

    pub(super) fn refuse_waiting(&self) -> Result<()> {
        match self.waiting.is_empty() {
            true => Ok(()),
            false => Err(Error::garbage("a delta whose base is not in the pack")),
        }
    }
}
