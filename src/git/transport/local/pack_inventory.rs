//! What goes into a pack that is sent, and what stood at the same paths before.

use hashbrown::HashTable;

use super::reachable::Found;
use crate::ObjectId;
use crate::wire::pack::ObjectKind;

/// Stands where there is no item. Items are numbered in 32 bits, since a full index has hundreds of thousands of them.
pub(super) const NONE: u32 = u32::MAX;

/// The objects of a pack to be, and those that stood at their paths before.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) items: Vec<Item>,
    by_id: HashTable<u32>,
    sent: u32,
}

/// An object.
pub(super) struct Item {
    pub(super) id: ObjectId,
    pub(super) kind: ObjectKind,
    /// What stood at its path before.
    pub(super) before: u32,
    /// Whether it goes into the pack. Otherwise the receiver has it, and it is here as a base only.
    pub(super) is_sent: bool,
}

impl Inventory {
    /// Adds an object to the pack; says whether it is new to it.
    pub(super) fn add(&mut self, found: Found) -> bool {
        let at = self.place_of(found.id, found.kind);
        if self.items[at as usize].is_sent {
            return false;
        }
        let before = match found.before.filter(|before| *before != found.id) {
            Some(before) => self.place_of(before, found.kind),
            None => NONE,
        };
        let item = &mut self.items[at as usize];
        item.is_sent = true;
        item.kind = found.kind;
        item.before = before;
        self.sent += 1;
        true
    }

    /// Returns how many objects the pack has.
    pub(super) fn len(&self) -> u32 {
        self.sent
    }

    /// Says whether the pack has an object.
    pub(super) fn has(&self, id: ObjectId) -> bool {
        self.find(id)
            .is_some_and(|at| self.items[at as usize].is_sent)
    }

    /// Returns the number of an item.
    pub(super) fn find(&self, id: ObjectId) -> Option<u32> {
        let is_it = |at: &u32| self.items[*at as usize].id == id;
        self.by_id.find(hash(&id), is_it).copied()
    }

    fn place_of(&mut self, id: ObjectId, kind: ObjectKind) -> u32 {
        if let Some(at) = self.find(id) {
            return at;
        }
        let Self { items, by_id, .. } = self;
        // The cast loses nothing: a pack counts its objects in 32 bits, and memory ends long before.
        let at = items.len() as u32;
        items.push(Item {
            id,
            kind,
            before: NONE,
            is_sent: false,
        });
        by_id.insert_unique(hash(&id), at, |at| hash(&items[*at as usize].id));
        at
    }
}

/// Hashes an id: SHA-1 is evenly spread as it is.
fn hash(id: &ObjectId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
