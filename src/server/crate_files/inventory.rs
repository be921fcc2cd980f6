//! What is kept, and what the catalog is told of it. The database may wait for other processes: it is asked off the threads
//! that answer.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tracing::warn;

use super::{CrateFiles, Unavailable};
use crate::error::{Error, Kind, Result};
use crate::index::CrateFile;
use crate::server::catalog::{Catalog, CatalogEntry};
use crate::server::store::{Store, StoreFolder, StoredFile};

impl CrateFiles {
    /// Removes what a killed process left in the store, and makes the catalog agree with it.
    pub(super) async fn take_stock(&self) {
        if let Store::Folder(folder) = &self.store {
            if let Err(error) = folder.clean() {
                warn!("{} cannot be cleaned: {error}", folder.path().display());
            }
            self.look_around().await;
        }
    }

    /// Takes stock where the catalog was begun anew.
    pub(super) async fn take_new_stock(&self) {
        if self.catalog().is_some_and(|catalog| catalog.wants_stock()) {
            self.agree().await;
        }
    }

    /// Makes the catalog agree with a folder that others may fill.
    pub async fn look_around(&self) {
        self.agree().await;
        // The catalog's damage may show on the way.
        self.take_new_stock().await;
    }

    /// Returns a number that changes whenever files come or go, in whatever process; `None` for a bucket, or where the
    /// database refuses.
    pub async fn version(&self) -> Option<u64> {
        let catalog = Arc::clone(self.catalog.as_ref()?);
        blocking(move || catalog.version()).await.ok()
    }

    async fn agree(&self) {
        let (Store::Folder(folder), Some(catalog)) = (&self.store, &self.catalog) else {
            return;
        };
        let (folder, catalog) = (folder.clone(), Arc::clone(catalog));
        let agreed = match self.store.list().await {
            Ok(files) => blocking(move || agree(&folder, &catalog, files)).await,
            Err(error) => {
                Err(Error::new(Kind::Config, "the store cannot be listed").because(error))
            }
        };
        if let Err(error) = agreed {
            warn!("{}", error.chain());
        }
    }

    /// Lists what is kept, as the catalog knows it or as the bucket says; files of a catalog that is begun anew are found.
    ///
    /// # Errors
    /// As the store and its catalog can be read.
    pub async fn entries(&self) -> Result<Vec<CatalogEntry>> {
        let Some(catalog) = &self.catalog else {
            return listed(self.store.list().await);
        };
        let read = || {
            let catalog = Arc::clone(catalog);
            blocking(move || catalog.entries())
        };
        let entries = read().await?;
        match catalog.wants_stock() {
            true => {
                self.agree().await;
                read().await
            }
            false => Ok(entries),
        }
    }

    /// Returns the paths of what is kept, as the catalog knows them or as the bucket says.
    ///
    /// # Errors
    /// As the store and its catalog can be read.
    pub async fn paths(&self) -> Result<HashSet<String>> {
        match &self.catalog {
            Some(catalog) => {
                let catalog = Arc::clone(catalog);
                blocking(move || catalog.paths()).await
            }
            None => {
                let files = self.entries().await?.into_iter();
                Ok(files.map(|entry| entry.path).collect())
            }
        }
    }

    /// Says whether a file is kept, as far as that can be known without reading it.
    ///
    /// # Errors
    /// As the store says.
    pub async fn is_kept(&self, file: &CrateFile) -> io::Result<bool> {
        if let Some(catalog) = &self.catalog {
            let (catalog, path) = (Arc::clone(catalog), file.path());
            let known = blocking(move || catalog.checksum(&path)).await;
            // Whatever is there, it has to be looked at.
            if known.is_ok_and(|known| known != Some(file.checksum)) {
                return Ok(false);
            }
        }
        self.store.has(&file.path()).await
    }

    /// Sees to it that a file is kept; says whether it had to be fetched.
    ///
    /// # Errors
    /// Why it cannot be had, or not be kept.
    pub async fn keep(self: &Arc<Self>, file: &CrateFile) -> Result<bool, Unavailable> {
        let is_fetched = self.flight(file).end().await?;
        match self.store.has(&file.path()).await {
            Ok(true) if is_fetched => Ok(true),
            Ok(true) => {
                // It was read through: that is worth knowing.
                self.take_in(file).await;
                Ok(false)
            }
            Ok(false) => Err(Unavailable::Disk("it could not be kept".to_owned())),
            Err(error) => Err(Unavailable::Disk(error.to_string())),
        }
    }

    /// Pins a file, whether it is there or is to come; says whether it was pinned before.
    ///
    /// # Errors
    /// `config` for a bucket, `server` where the database refuses.
    pub async fn pin(&self, file: &CrateFile) -> Result<bool> {
        let (_, catalog) = self.shared_folder()?;
        let path = file.path();
        blocking(move || catalog.pin(&path)).await
    }

    /// Lets a pinned file go.
    ///
    /// # Errors
    /// As [`CrateFiles::pin`].
    pub async fn unpin(&self, file: &CrateFile) -> Result<()> {
        let (_, catalog) = self.shared_folder()?;
        let path = file.path();
        blocking(move || catalog.unpin(&path)).await
    }

    /// Returns those of the files that the folder does not hold; a bucket is believed.
    ///
    /// # Errors
    /// `server` where the system refuses.
    pub async fn absent(&self, mut files: Vec<CrateFile>) -> Result<Vec<CrateFile>> {
        let Store::Folder(folder) = &self.store else {
            return Ok(Vec::new());
        };
        let folder = folder.clone();
        blocking(move || {
            files.retain(|file| !folder.place(&file.path()).is_file());
            Ok(files)
        })
        .await
    }

    /// Forgets a file that is gone, but for its pin; nothing of a disk that is not mounted.
    pub async fn forget(&self, path: &str) {
        let Ok((folder, catalog)) = self.shared_folder() else {
            return;
        };
        let path = path.to_owned();
        let forgotten = blocking(move || match folder.is_empty() {
            true => Ok(()),
            false => catalog.remove(&path),
        });
        warn_of(forgotten.await);
    }

    /// Takes in a file that is in the store and right.
    pub(super) async fn take_in(&self, file: &CrateFile) {
        let Ok((folder, catalog)) = self.shared_folder() else {
            return;
        };
        let (path, checksum) = (file.path(), file.checksum);
        let taken = blocking(move || match folder.about(&path) {
            Ok(Some(kept)) => catalog.add(&kept, checksum),
            Ok(None) => Ok(()),
            Err(error) => Err(Error::new(Kind::Server, path).because(error)),
        });
        // The next start finds it.
        warn_of(taken.await);
    }

    fn shared_folder(&self) -> Result<(StoreFolder, Arc<Catalog>)> {
        let (folder, _) = self.folder()?;
        match &self.catalog {
            Some(catalog) => Ok((folder.clone(), Arc::clone(catalog))),
            None => Err(Error::new(Kind::Config, "a bucket has no catalog")),
        }
    }
}

/// An empty folder is believed only where nothing is known of it: its disk may not be mounted.
fn agree(folder: &StoreFolder, catalog: &Catalog, files: Vec<StoredFile>) -> Result<()> {
    // What is kept from here on is known anyway.
    catalog.wants_stock();
    let (known, _) = catalog.total()?;
    if files.is_empty() && known > 0 {
        let path = folder.path().display();
        warn!(
            "{path} holds none of the {known} crate files that are known: is it mounted? None is forgotten"
        );
        return Ok(());
    }
    catalog.agree_with(files, |path| folder.place(path).is_file())
}

fn listed(files: io::Result<Vec<StoredFile>>) -> Result<Vec<CatalogEntry>> {
    let files = files
        .map_err(|error| Error::new(Kind::Network, "the bucket cannot be listed").because(error))?;
    let entry = |file: StoredFile| CatalogEntry {
        size: file.size,
        checksum: None,
        used: crate::server::catalog::seconds(file.modified),
        is_pinned: false,
        path: file.path,
    };
    Ok(files.into_iter().map(entry).collect())
}

fn warn_of(done: Result<()>) {
    if let Err(error) = done {
        warn!("{}", error.chain());
    }
}

/// Does work that may wait for the disk, on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let broken = |error| Error::new(Kind::Server, "the catalog's work broke off").because(error);
    spawn_blocking(work).await.map_err(broken)?
}
