//! Which crate files the store has, and what the catalog knows of them.
//!
//! The store is the truth; the catalog is reconciled with it. The database may wait for other processes, and the disk
//! for itself: both are asked on threads that may block, never on those that answer requests.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use super::bucket_files::BucketFiles;
use super::crate_lister::CrateLister;
use super::stored_paths::StoredPaths;
use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::index::CrateFile;
use crate::server::catalog::files::{Catalog, CatalogEntry};
use crate::server::store::{Store, StoreFolder, StoredFile, failure};

/// How long monitoring waits for the database, which another process may hold.
const TOTALS_WAIT: Duration = Duration::from_millis(500);

/// The store, with its catalog.
pub struct Inventory {
    store: Arc<Store>,
    /// The catalog of a folder; a bucket has none.
    catalog: Option<Arc<Catalog>>,
    /// What is known of the files of a bucket, for those who show it.
    pub(super) bucket_files: Arc<BucketFiles>,
    pub(super) crate_lister: Arc<CrateLister>,
    totals: Arc<Totals>,
}

/// The number of stored files and of their bytes, as they were last read.
#[derive(Default)]
struct Totals {
    last: Mutex<Option<(u64, u64)>>,
    is_reading: AtomicBool,
}

impl Totals {
    fn last(&self) -> std::sync::MutexGuard<'_, Option<(u64, u64)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inventory {
    /// Opens the store, and a folder's catalog with `catalog`.
    pub(super) fn open(
        config: &ServeConfig,
        catalog: impl FnOnce(&Path) -> Result<Catalog>,
    ) -> Result<Self> {
        let store = Store::open(&config.store(), &config.secrets, &config.network)?;
        let store = Arc::new(store);
        let bucket_files = Arc::default();
        let path = config.serve.data_dir.join("catalog.sqlite");
        let catalog = match &*store {
            Store::Folder(_) => Some(Arc::new(catalog(&path)?)),
            // Listing a bucket to reconcile a catalog costs requests, and buckets expire objects by themselves.
            Store::Bucket(_) => None,
        };
        Ok(Self {
            crate_lister: Arc::new(CrateLister::new(
                Arc::clone(&store),
                Arc::clone(&bucket_files),
            )),
            store,
            catalog,
            bucket_files,
            totals: Arc::default(),
        })
    }

    /// Returns the store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the catalog of a folder.
    pub fn catalog(&self) -> Option<&Arc<Catalog>> {
        self.catalog.as_ref()
    }

    /// Returns the folder and its catalog.
    ///
    /// # Errors
    /// `config` for a bucket.
    pub fn folder(&self) -> Result<(&StoreFolder, &Arc<Catalog>)> {
        match (&*self.store, &self.catalog) {
            (Store::Folder(folder), Some(catalog)) => Ok((folder, catalog)),
            _ => Err(Error::new(
                Kind::Config,
                "serve.store is a bucket, where crates-ferry neither evicts nor pins",
            )
            .advise("Give the bucket a lifecycle rule that expires objects.")),
        }
    }

    /// Removes what a killed process left in the store, and reconciles the catalog with it.
    pub(super) async fn recover(&self) {
        if let Store::Folder(folder) = &*self.store {
            if let Err(error) = folder.clean() {
                warn!("cannot clean {}: {error}", folder.path().display());
            }
            self.reconcile().await;
        }
    }

    /// Reconciles the catalog with a folder that others may fill, too.
    pub async fn reconcile(&self) {
        self.reconcile_once().await;
        // Reconciling may find the catalog damaged, and recreate it.
        self.reconcile_if_new().await;
    }

    /// Reconciles a catalog that was recreated.
    pub(super) async fn reconcile_if_new(&self) {
        if self.catalog().is_some_and(|catalog| catalog.take_is_new()) {
            self.reconcile_once().await;
        }
    }

    async fn reconcile_once(&self) {
        let (Store::Folder(folder), Some(catalog)) = (&*self.store, &self.catalog) else {
            return;
        };
        let (folder, catalog) = (folder.clone(), Arc::clone(catalog));
        let done = match self.store.list().await {
            Ok(files) => blocking(move || reconcile(&folder, &catalog, files)).await,
            Err(error) => Err(Error::new(Kind::Config, "cannot list the store").because(error)),
        };
        warn_of(done);
    }

    /// Returns a number that changes whenever files come or go, in whatever process; `None` for a bucket, or if the
    /// database cannot be read.
    pub async fn version(&self) -> Option<u64> {
        let catalog = Arc::clone(self.catalog.as_ref()?);
        blocking(move || catalog.version()).await.ok()
    }

    /// Returns the number of stored files and of their bytes; those of before if the database is busy, and `None` for a
    /// bucket.
    pub async fn totals(&self) -> Option<(u64, u64)> {
        let catalog = Arc::clone(self.catalog.as_ref()?);
        let totals = Arc::clone(&self.totals);
        // One at a time: each would keep a thread for as long as another process holds the database.
        if !totals.is_reading.swap(true, Ordering::Relaxed) {
            let reading = blocking(move || {
                let read = catalog.total();
                totals.is_reading.store(false, Ordering::Relaxed);
                *totals.last() = Some(read?);
                Ok(())
            });
            // Late or failed, it leaves the totals of before.
            let _ = timeout(TOTALS_WAIT, reading).await;
        }
        *self.totals.last()
    }

    /// Lists the stored files, as the catalog knows them or as the bucket lists them.
    ///
    /// # Errors
    /// If the store or its catalog cannot be read.
    pub async fn entries(&self) -> Result<Vec<CatalogEntry>> {
        let Some(catalog) = &self.catalog else {
            let mut entries = Vec::new();
            let entry = |file: StoredFile| CatalogEntry {
                size: file.size,
                checksum: None,
                used: crate::server::catalog::files::seconds(file.modified),
                is_pinned: false,
                path: file.path,
            };
            self.list_bucket(|file| entries.push(entry(file))).await?;
            return Ok(entries);
        };
        let read = || {
            let catalog = Arc::clone(catalog);
            blocking(move || catalog.entries())
        };
        let entries = read().await?;
        match catalog.take_is_new() {
            true => {
                self.reconcile_once().await;
                read().await
            }
            false => Ok(entries),
        }
    }

    /// Returns the paths of the stored files, as the catalog knows them or as the bucket lists them.
    ///
    /// # Errors
    /// If the store or its catalog cannot be read.
    pub async fn paths(&self) -> Result<HashSet<String>> {
        let Some(catalog) = self.catalog.clone() else {
            let mut paths = HashSet::new();
            let each = |file: StoredFile| {
                paths.insert(file.path);
            };
            self.list_bucket(each).await?;
            return Ok(paths);
        };
        blocking(move || catalog.paths()).await
    }

    /// Returns the paths of the stored files, in a form that takes little memory: a bucket may have millions.
    ///
    /// # Errors
    /// As [`Inventory::paths`].
    pub async fn stored_paths(&self) -> Result<StoredPaths> {
        let mut paths = StoredPaths::default();
        match self.catalog {
            Some(_) => {
                let stored = self.paths().await?;
                stored.iter().for_each(|path| paths.insert(path));
            }
            None => self.list_bucket(|file| paths.insert(&file.path)).await?,
        }
        Ok(paths)
    }

    /// Lists a bucket, and remembers what it has, whoever asked.
    async fn list_bucket(&self, mut each: impl FnMut(StoredFile)) -> Result<()> {
        let Store::Bucket(bucket) = &*self.store else {
            return Ok(());
        };
        let began = Instant::now();
        let listed = bucket.list_each(|file| {
            self.bucket_files.saw(&file.path, file.size, began);
            each(file);
        });
        let listed = listed.await;
        listed.map_err(|error| failure(error).on("cannot list the bucket"))?;
        self.bucket_files.listed_all(began);
        Ok(())
    }

    /// Says whether a file is stored, as far as that can be known without reading it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn is_stored(&self, file: &CrateFile) -> io::Result<bool> {
        if let Some(catalog) = &self.catalog {
            let (catalog, path) = (Arc::clone(catalog), file.path());
            let known = blocking(move || catalog.checksum(&path)).await;
            // A file whose checksum is unknown or another one has to be read.
            if known.is_ok_and(|known| known != Some(file.checksum)) {
                return Ok(false);
            }
        }
        self.store.has(&file.path()).await
    }

    /// Returns those of the files that the folder does not have; a bucket is trusted.
    ///
    /// # Errors
    /// `server` if the system cannot start a thread.
    pub async fn absent(&self, mut files: Vec<CrateFile>) -> Result<Vec<CrateFile>> {
        let Store::Folder(folder) = &*self.store else {
            return Ok(Vec::new());
        };
        let folder = folder.clone();
        blocking(move || {
            files.retain(|file| folder.lacks(&file.path()));
            Ok(files)
        })
        .await
    }

    /// Pins a file, whether it is stored or is to come; says whether it was pinned before.
    ///
    /// # Errors
    /// `config` for a bucket, `server` if the database cannot be written.
    pub async fn pin(&self, file: &CrateFile) -> Result<bool> {
        let (_, catalog) = self.owned_folder()?;
        let path = file.path();
        blocking(move || catalog.pin(&path)).await
    }

    /// Unpins a file.
    ///
    /// # Errors
    /// As [`Inventory::pin`].
    pub async fn unpin(&self, file: &CrateFile) -> Result<()> {
        let (_, catalog) = self.owned_folder()?;
        let path = file.path();
        blocking(move || catalog.unpin(&path)).await
    }

    /// Records, in memory, that a file was used now.
    pub(super) fn touch(&self, path: String) {
        if let Some(catalog) = &self.catalog {
            catalog.touch(path);
        }
    }

    /// Records that a bucket has a file of so many bytes; a folder's catalog is told of files by [`Inventory::record`].
    pub(super) fn saw(&self, path: &str, size: u64) {
        if let Store::Bucket(_) = &*self.store {
            self.bucket_files.saw(path, size, Instant::now());
        }
    }

    /// Records a file of so many bytes that is in the store and verified.
    pub(super) async fn record(&self, file: &CrateFile, size: u64) {
        let Ok((folder, catalog)) = self.owned_folder() else {
            return self.saw(&file.path(), size);
        };
        let (path, checksum) = (file.path(), file.checksum);
        let recorded = blocking(move || match folder.about(&path) {
            Ok(Some(stored)) => catalog.add(&stored, checksum),
            Ok(None) => Ok(()),
            Err(error) => Err(Error::new(Kind::Server, path).because(error)),
        });
        // What cannot be recorded now is found when the catalog is reconciled next.
        warn_of(recorded.await);
    }

    /// Removes from the catalog a file that is gone, but keeps its pin; does nothing if the disk is not mounted.
    pub async fn forget(&self, path: &str) {
        let Ok((folder, catalog)) = self.owned_folder() else {
            return self.bucket_files.missed(path);
        };
        let path = path.to_owned();
        let forgotten = blocking(move || match folder.is_empty() {
            true => Ok(()),
            false => catalog.remove(&path),
        });
        warn_of(forgotten.await);
    }

    fn owned_folder(&self) -> Result<(StoreFolder, Arc<Catalog>)> {
        let (folder, catalog) = self.folder()?;
        Ok((folder.clone(), Arc::clone(catalog)))
    }
}

/// Makes the catalog agree with the files of a folder.
fn reconcile(folder: &StoreFolder, catalog: &Catalog, files: Vec<StoredFile>) -> Result<()> {
    // Cleared first: a catalog that is recreated while it is reconciled is marked as new again.
    catalog.take_is_new();
    let (known, _) = catalog.total()?;
    // An empty folder is trusted only if the catalog is empty, too: its disk may not be mounted.
    if files.is_empty() && known > 0 {
        let (path, known) = (folder.path().display(), counted(known, "crate file"));
        warn!(
            "{path} holds none of the {known} in the catalog: is it mounted? The catalog stays as it is"
        );
        return Ok(());
    }
    catalog.reconcile_with(files, |path| !folder.lacks(path))
}

fn warn_of(done: Result<()>) {
    if let Err(error) = done {
        warn!("{}", error.chain());
    }
}

/// Does work that may wait for the disk, on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let broken = |error| Error::new(Kind::Server, "work on the catalog was aborted").because(error);
    spawn_blocking(work).await.map_err(broken)?
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use tempfile::TempDir;

    use super::*;
    use crate::config::{Environment, Flags};
    use crate::index::{Checksum, CrateName, CrateVersion};
    use crate::server::store::Content;

    pub(crate) fn foo(version: &str) -> CrateFile {
        CrateFile {
            name: CrateName::new("foo").unwrap(),
            version: CrateVersion::new(version).unwrap(),
            checksum: Checksum::from_bytes([7; 32]),
        }
    }

    /// Opens the inventory of a folder below a new one.
    pub(crate) fn inventory() -> (Arc<Inventory>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = [("FERRY_SERVE_DATA_DIR", folder.path().to_str().unwrap())];
        let environment = Environment::from_pairs(data_dir);
        let config = ServeConfig::load(&Flags::default(), &environment).unwrap();
        let inventory = Inventory::open(&config, Catalog::open).unwrap();
        (Arc::new(inventory), folder)
    }

    pub(crate) async fn put(inventory: &Inventory, file: &CrateFile, bytes: &'static [u8]) {
        let content = Content::Bytes(bytes.into());
        inventory.store().put(&file.path(), content).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_came_by_other_ways_is_listed_once_the_catalog_is_reconciled() {
        let (inventory, _folder) = inventory();
        put(&inventory, &foo("1.0.0"), b"12345").await;
        assert_eq!(inventory.entries().await.unwrap(), []);
        let before = inventory.version().await;
        inventory.reconcile().await;
        assert_ne!(inventory.version().await, before);
        assert_eq!(inventory.entries().await.unwrap()[0].size, 5);
        let paths = inventory.paths().await.unwrap();
        assert_eq!(paths, [foo("1.0.0").path()].into());
        // Its bytes were never read: it does not count as stored.
        assert!(!inventory.is_stored(&foo("1.0.0")).await.unwrap());
        inventory.record(&foo("1.0.0"), 5).await;
        assert!(inventory.is_stored(&foo("1.0.0")).await.unwrap());
    }

    #[tokio::test]
    async fn nothing_is_forgotten_of_a_disk_that_is_not_mounted() {
        let (inventory, _folder) = inventory();
        put(&inventory, &foo("1.0.0"), b"12345").await;
        inventory.record(&foo("1.0.0"), 5).await;
        let (store, _) = inventory.folder().unwrap();
        std::fs::remove_dir_all(store.path()).unwrap();
        inventory.reconcile().await;
        inventory.forget(&foo("1.0.0").path()).await;
        assert_eq!(inventory.entries().await.unwrap().len(), 1);
        let absent = inventory.absent(vec![foo("1.0.0")]).await.unwrap();
        assert_eq!(absent, [foo("1.0.0")]);
    }

    #[tokio::test]
    async fn a_pin_may_come_before_its_file() {
        let (inventory, _folder) = inventory();
        assert!(!inventory.pin(&foo("1.0.0")).await.unwrap());
        put(&inventory, &foo("1.0.0"), b"12345").await;
        inventory.record(&foo("1.0.0"), 5).await;
        assert!(inventory.pin(&foo("1.0.0")).await.unwrap());
        inventory.unpin(&foo("1.0.0")).await.unwrap();
        assert!(!inventory.entries().await.unwrap()[0].is_pinned);
    }
}
