//! Objects that we add to upstream's pack.

use std::io;

use bytes::Bytes;

use crate::git::ObjectId;
use crate::git::objects::NewTree;
use crate::git::wire::pack::{ObjectKind, between, delta_entry, whole_entry};

/// An object that we add to upstream's pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its content.
    pub content: Vec<u8>,
    /// A tree much like it, which the mirror has or upstream's pack brings.
    pub alike: Option<NewTree>,
}

impl NewObject {
    /// Wraps an object that nothing is like.
    pub fn whole(kind: ObjectKind, content: Vec<u8>) -> Self {
        Self {
            kind,
            content,
            alike: None,
        }
    }

    /// Returns the id.
    pub fn id(&self) -> ObjectId {
        self.kind.id_of(&self.content)
    }

    /// Makes the object's entry in the pack: a root tree as what makes it differ from upstream's, where the pack is thin.
    ///
    /// That saves sending tens of kilobytes, and the mirror's host then sends the next sync no two whole roots either.
    ///
    /// # Errors
    /// None in practice: compressing into memory does not fail.
    pub fn entry(&self, thin: bool) -> io::Result<Bytes> {
        let base = self.alike.as_ref().filter(|_| thin);
        let delta = base.map(|base| (base.id, between(&base.content, &self.content)));
        match delta {
            Some((base, delta)) => delta_entry(base, &delta),
            None => whole_entry(self.kind, &self.content),
        }
    }
}
