//! The objects of a repository. Uses gix-odb: libgit2 reads objects as well, but does not show how a pack stores them,
//! and stored deltas are to be sent as they are.

use std::path::{Path, PathBuf};

use gix_object::Exists as _;
use gix_odb::store::init::{Options, Slots};
use gix_pack::Find as _;
use gix_pack::cache::lru::StaticLinkedList;
use gix_pack::data::entry::Location;

use super::pipe::{Failure, Result};
use crate::ObjectId;
use crate::indexing_budget::OBJECT_LIMIT;
use crate::transport::host_messages::LACKS_OBJECT;
use crate::wire::pack::ObjectKind;

/// How many bytes of inflated objects are cached as bases of deltas.
const BASES: usize = 8 << 20;
/// How many packs a repository may have at least: a mirror without `git gc` gets one with every push.
const SLOTS: u16 = 4096;

/// Where a pack stores an object.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The pack, as one of all that the repository has.
    pub(super) pack: u32,
    /// Where in it the entry begins.
    pub(super) offset: u64,
    /// The entry's size, its header included.
    pub(super) size: usize,
}

/// Reads the objects of one or several folders.
pub(super) struct Objects {
    stores: Vec<gix_odb::HandleArc>,
}

impl Objects {
    /// Opens folders of objects, which are searched in this order.
    pub(super) fn open(folders: &[&Path]) -> Result<Self> {
        let stores = folders
            .iter()
            .map(|folder| open(folder))
            .collect::<Result<_>>()?;
        Ok(Self { stores })
    }

    /// Reads an object into `content`; returns `None` if there is none of this id.
    pub(super) fn try_read(
        &self,
        id: ObjectId,
        content: &mut Vec<u8>,
    ) -> Result<Option<ObjectKind>> {
        let name = theirs(id);
        for store in &self.stores {
            let found = gix_object::Find::try_find(store, &name, content).map_err(|error| {
                Failure::because(format_args!("cannot read object {id}"), error)
            })?;
            if let Some(data) = found {
                return Ok(Some(kind(data.kind)));
            }
        }
        Ok(None)
    }

    /// Reads an object that must be there.
    pub(super) fn read(&self, id: ObjectId, content: &mut Vec<u8>) -> Result<ObjectKind> {
        self.try_read(id, content)?.ok_or_else(|| missing(id))
    }

    /// Says whether an object is there.
    pub(super) fn has(&self, id: ObjectId) -> bool {
        let name = theirs(id);
        self.stores.iter().any(|store| store.exists(&name))
    }

    /// Returns the kind of an object; `None` if there is none of this id.
    pub(super) fn kind(&self, id: ObjectId) -> Result<Option<ObjectKind>> {
        let name = theirs(id);
        for store in &self.stores {
            let found = gix_object::FindHeader::try_header(store, &name).map_err(|error| {
                Failure::because(format_args!("cannot read object {id}"), error)
            })?;
            if let Some(header) = found {
                return Ok(Some(kind(header.kind)));
            }
        }
        Ok(None)
    }

    /// Finds an object in the packs of the first folder; returns `None` if it is loose.
    pub(super) fn place(&self, id: ObjectId, scratch: &mut Vec<u8>) -> Result<Option<Place>> {
        // Places are numbered within one store. Only `upload-pack` asks for them, and opens one folder.
        let Some(store) = self.stores.first() else {
            return Ok(None);
        };
        let found = store
            .location_by_oid(&theirs(id), scratch)
            .map_err(|error| Failure::because(format_args!("cannot find object {id}"), error))?;
        Ok(found.map(|place| Place {
            pack: place.pack_id,
            offset: place.pack_offset,
            size: place.entry_size,
        }))
    }

    /// Reads a pack's entry as it is stored.
    pub(super) fn entry(&self, place: &Place) -> Result<Vec<u8>> {
        let location = Location {
            pack_id: place.pack,
            pack_offset: place.offset,
            entry_size: place.size,
        };
        let entry = self
            .stores
            .first()
            .and_then(|store| store.entry_by_location(&location));
        entry
            .map(|entry| entry.data)
            .ok_or_else(|| Failure::new("a pack was removed while it was being read"))
    }
}

/// Opens a folder of objects, with those that it borrows from.
pub(super) fn open(folder: &Path) -> Result<gix_odb::HandleArc> {
    let options = Options {
        slots: Slots::AsNeededByDiskState {
            multiplier: 1.5,
            minimum: usize::from(SLOTS),
        },
        // The sizes in a pack are those of whoever made it.
        alloc_limit_bytes: Some(OBJECT_LIMIT),
        ..Options::default()
    };
    let store = gix_odb::Store::at_opts(
        PathBuf::from(folder),
        gix_hash::Kind::Sha1,
        // No replacements (`git replace`): they are local, and what is sent must have the id that was wanted.
        &mut std::iter::empty(),
        options,
    )
    .map_err(|error| Failure::because(format_args!("cannot open {}", folder.display()), error))?;
    let mut handle = std::sync::Arc::new(store).to_handle_arc();
    // Places are looked up for the whole pack and read later: a pack must keep its number until then.
    handle.prevent_pack_unload();
    let mut handle = gix_odb::HandleArc::from(handle);
    handle.set_pack_cache(|| Box::new(StaticLinkedList::<64>::new(BASES)));
    Ok(handle)
}

/// Makes the failure of an object that is missing.
pub(super) fn missing(id: ObjectId) -> Failure {
    Failure::new(format!("{LACKS_OBJECT} {id}; run `git fsck` there"))
}

fn kind(kind: gix_object::Kind) -> ObjectKind {
    match kind {
        gix_object::Kind::Commit => ObjectKind::Commit,
        gix_object::Kind::Tree => ObjectKind::Tree,
        gix_object::Kind::Blob => ObjectKind::Blob,
        gix_object::Kind::Tag => ObjectKind::Tag,
    }
}

/// Turns an id into one of gix.
pub(super) fn theirs(id: ObjectId) -> gix_hash::ObjectId {
    gix_hash::ObjectId::from(*id.as_bytes())
}

/// Turns an id of gix into ours.
pub(super) fn ours(id: &gix_hash::oid) -> ObjectId {
    // Cannot panic: the store was opened as SHA-1.
    let mut bytes = [0; 20];
    bytes.copy_from_slice(id.as_bytes());
    ObjectId::from_bytes(bytes)
}

/// Turns an id of git2 into ours.
pub(super) fn from_git2(id: git2::Oid) -> ObjectId {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(id.as_bytes());
    ObjectId::from_bytes(bytes)
}
