//! The object database of the copy. Uses gix-odb.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use gix_object::Find as _;
use gix_odb::store::init::{Options, Slots};

use crate::error::{Error, Kind, Result};
use crate::git::ObjectId;
use crate::git::indexing_budget::OBJECT_LIMIT;
use crate::server::shortage::is_shortage;

/// How many packs there may be at the same time: far more than compaction lets there be.
const SLOTS: u16 = 1024;

/// Reads objects on one thread.
pub(super) type Handle = gix_odb::HandleArc;

/// Reads objects on any thread.
#[derive(Clone)]
pub(super) struct Objects {
    folder: Arc<Path>,
    store: Arc<ArcSwap<Store>>,
}

/// An open database; its handles are pooled, since each caches the packs that it has opened.
struct Store {
    store: Arc<gix_odb::Store>,
    idle: Mutex<Vec<Handle>>,
}

impl Objects {
    /// Opens the `objects` folder of a repository.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let store = Store::open(folder)?;
        Ok(Self {
            folder: folder.into(),
            store: Arc::new(ArcSwap::from_pointee(store)),
        })
    }

    /// Returns a reader for one thread.
    pub(super) fn handle(&self) -> Handle {
        self.store.load().handle()
    }

    /// Returns a reader that unloads no pack: the offsets of objects in packs stay valid, as copying their deltas
    /// requires.
    pub(super) fn stable_handle(&self) -> Handle {
        let mut handle = self.store.load().store.to_handle_arc();
        handle.prevent_pack_unload();
        handle.into()
    }

    /// Reads an object's content.
    ///
    /// # Errors
    /// `server` if it is missing or damaged, or for want of files or memory: [`is_shortage`] tells them apart.
    pub(super) fn read(&self, id: ObjectId) -> Result<Vec<u8>> {
        self.store.load().read(id).or_else(|error| {
            if is_shortage(&error) {
                return Err(error);
            }
            if let Some(shortage) = self.shortage() {
                return Err(cannot_read(id).because(shortage));
            }
            // gix-odb takes an index that it could not open for one that is not there, from then on. So the packs are
            // looked for anew.
            let store = Store::open(&self.folder)?;
            let content = store.read(id)?;
            self.store.store(Arc::new(store));
            Ok(content)
        })
    }

    /// Returns the shortage that prevents the packs from being opened. gix-odb does not tell an index that it cannot open
    /// from one that is not there.
    pub(super) fn shortage(&self) -> Option<io::Error> {
        self.open_all().err().filter(|error| is_shortage(error))
    }

    /// Opens each file of the packs.
    fn open_all(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.join("pack"))? {
            File::open(entry?.path())?;
        }
        Ok(())
    }
}

impl Store {
    fn open(folder: &Path) -> Result<Self> {
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
            idle: Mutex::default(),
        })
    }

    fn handle(&self) -> Handle {
        self.store.to_cache_arc()
    }

    fn read(&self, id: ObjectId) -> Result<Vec<u8>> {
        // As many handles as ever read at the same time: the threads that may block bound that.
        let handle = self.idle().pop().unwrap_or_else(|| self.handle());
        let mut content = Vec::new();
        let name = gix_hash::ObjectId::from(*id.as_bytes());
        let found = handle.try_find(&name, &mut content);
        let found = found
            .map(|object| object.is_some())
            .map_err(|error| cannot_read(id).because(error))?;
        // Only here: a handle whose read failed is not used again.
        self.idle().push(handle);
        match found {
            true => Ok(content),
            false => Err(cannot_read(id)),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Handle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cannot_read(id: ObjectId) -> Error {
    let text = format!("cannot read the object {id} of the copy of the index");
    Error::new(Kind::Server, text)
}
