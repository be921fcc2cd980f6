//! The object database of the copy. Uses gix-odb.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use gix_object::Find as _;
use gix_odb::store::init::{Options, Slots};

use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;

/// How many packs there may be at the same time: far more than compaction lets there be.
const SLOTS: u16 = 1024;

/// The most memory for one object, in bytes. The largest files of the index have some MB. gix-pack bounds by the same
/// number what it notes of all objects of a pack, which allows for a million.
pub(super) const OBJECT_LIMIT: usize = 64 << 20;

/// Reads objects on one thread.
pub(super) type Handle = gix_odb::HandleArc;

/// Reads objects on any thread; handles are pooled, since each caches the packs that it has opened.
#[derive(Clone)]
pub(super) struct Objects {
    store: Arc<gix_odb::Store>,
    idle: Arc<Mutex<Vec<Handle>>>,
}

impl Objects {
    /// Opens the `objects` folder of a repository.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let options = Options {
            slots: Slots::Given(SLOTS),
            use_multi_pack_index: false,
            alloc_limit_bytes: Some(OBJECT_LIMIT),
            ..Options::default()
        };
        let no_replacements = &mut std::iter::empty();
        let store = gix_odb::Store::at_opts(
            folder.to_owned(),
            gix_hash::Kind::Sha1,
            no_replacements,
            options,
        )
        .map_err(|error| {
            Error::new(Kind::Config, format!("cannot open {}", folder.display())).because(error)
        })?;
        Ok(Self {
            store: Arc::new(store),
            idle: Arc::default(),
        })
    }

    /// Returns a reader for one thread.
    pub(super) fn handle(&self) -> Handle {
        self.store.to_cache_arc()
    }

    /// Returns a reader that unloads no pack: the offsets of objects in packs stay valid, as copying their deltas
    /// requires.
    pub(super) fn stable_handle(&self) -> Handle {
        let mut handle = self.store.to_handle_arc();
        handle.prevent_pack_unload();
        handle.into()
    }

    /// Reads an object's content.
    ///
    /// # Errors
    /// `server` if it is missing or damaged.
    pub(super) fn read(&self, id: ObjectId) -> Result<Vec<u8>> {
        // As many handles as ever read at the same time: the threads that may block bound that.
        let handle = self.idle().pop().unwrap_or_else(|| self.handle());
        let mut content = Vec::new();
        let name = gix_hash::ObjectId::from(*id.as_bytes());
        let found = handle.try_find(&name, &mut content);
        let missing = || {
            Error::new(
                Kind::Server,
                format!("cannot read the object {id} of the copy of the index"),
            )
        };
        let found = found
            .map(|object| object.is_some())
            .map_err(|error| missing().because(error))?;
        // Only here: a handle whose read failed is not used again.
        self.idle().push(handle);
        match found {
            true => Ok(content),
            false => Err(missing()),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Handle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
