//! Packs: a header, entries, a SHA-1 trailer (`gitformat-pack`).
//!
//! ```text
//! "PACK" | version 2, u32 | number of entries, u32 | entries … | SHA-1 of all before it
//! entry: type and size (varint) | [offset or id of the delta's base] | zlib data
//! ```
//!
//! gix-pack is not used here: it indexes packs into files, while planning reads a few objects of a pack that is still arriving,
//! in memory and within bounds ([`Scanner`]), and the relay passes a pack on without storing it ([`Rewriter`]).

mod delta;
mod entry;
mod rewriter;
mod scanner;

pub use delta::between;
pub use entry::{delta_entry, whole_entry};
pub use rewriter::Rewriter;
pub use scanner::{Object, Scanner};

use bytes::Bytes;

use super::{Error, Result};
use crate::ObjectId;

/// The length of a pack's header, in bytes.
const HEADER: usize = 12;
/// The length of a pack's trailer, in bytes.
const TRAILER: usize = 20;

/// The kinds of git objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A commit.
    Commit,
    /// A tree.
    Tree,
    /// A blob.
    Blob,
    /// An annotated tag.
    Tag,
}

impl ObjectKind {
    /// Returns the kind's name in an object's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    /// Returns the id of an object of this kind with this content.
    pub fn id_of(self, content: &[u8]) -> ObjectId {
        let mut hash = Sha1::new();
        hash.update(format!("{} {}\0", self.name(), content.len()).as_bytes());
        hash.update(content);
        ObjectId::from_bytes(hash.finish())
    }
}

/// Reads a pack's header; returns its number of entries.
fn entry_count(header: &[u8]) -> Result<u32> {
    match header {
        // git writes version 2 and reads 3 as well, which has the same layout.
        [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, a, b, c, d] => {
            Ok(u32::from_be_bytes([*a, *b, *c, *d]))
        }
        _ => Err(Error::garbage(
            "the pack does not begin with a pack's header",
        )),
    }
}

/// Makes a whole pack of entries, as [`whole_entry`] and [`delta_entry`] make them.
pub fn pack_of(entries: &[Bytes]) -> Bytes {
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        pack.extend_from_slice(entry);
    }
    let mut sum = Sha1::new();
    sum.update(&pack);
    pack.extend_from_slice(&sum.finish());
    pack.into()
}

/// Computes a SHA-1 piece by piece.
pub(crate) struct Sha1(aws_lc_rs::digest::Context);

impl Sha1 {
    pub(crate) fn new() -> Self {
        Self(aws_lc_rs::digest::Context::new(
            &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
        ))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> [u8; TRAILER] {
        let mut sum = [0; TRAILER];
        sum.copy_from_slice(self.0.finish().as_ref());
        sum
    }
}
