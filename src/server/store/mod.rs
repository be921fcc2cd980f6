//! Stored crate files: in a folder, or in a bucket of an S3 server.
//!
//! Only verified files are stored, and readers verify them again, since disks and buckets lose bits.

mod bucket;
mod bucket_error;
mod folder;
mod lifecycle;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::{BoxStream, TryStreamExt as _};
use tokio::task::spawn_blocking;

use crate::config::{Network, Secrets, StoreUrl};
use crate::error::Result;
pub use bucket::Bucket;
pub use bucket_error::failure;
pub use folder::{Removed, Scratch, StoreFolder, StoredFile};
pub use lifecycle::{Lifecycle, LifecycleRule};

/// Where crate files are stored. Paths are those of [`crate::index::CrateFile::path`].
pub enum Store {
    /// A folder.
    Folder(StoreFolder),
    /// A bucket.
    Bucket(Bucket),
}

/// The bytes of a stored file.
pub enum StoredBytes {
    /// A file on disk, with a shared lock: it is not evicted while it is open.
    File(File),
    /// Bytes from the network, and how many there are.
    Stream(u64, BoxStream<'static, io::Result<Bytes>>),
}

/// Verified bytes to be stored.
pub enum Content<'a> {
    /// In memory.
    Bytes(Bytes),
    /// In a file, which may be moved into the store.
    File(&'a Path),
}

impl Store {
    /// Opens a store; nothing is sent to a bucket yet.
    ///
    /// # Errors
    /// `config` if the address or its credentials cannot be used.
    pub fn open(url: &StoreUrl, secrets: &Secrets, network: &Network) -> Result<Self> {
        match url {
            StoreUrl::Folder(path) => Ok(Self::Folder(StoreFolder::new(path.clone()))),
            StoreUrl::Bucket { bucket, prefix } => {
                Bucket::new(bucket, prefix, secrets, network).map(Self::Bucket)
            }
        }
    }

    /// Finds out whether a bucket can be used; a folder can, as far as is known here.
    ///
    /// # Errors
    /// `config`, `auth` or `permission` if a person has to act, else `network` or `server`.
    pub async fn probe(&self) -> Result<()> {
        match self {
            Self::Folder(_) => Ok(()),
            Self::Bucket(bucket) => bucket.probe().await.map_err(failure),
        }
    }

    /// Finds the lifecycle rules that remove or archive what is in this folder of a bucket; a folder of the machine has none.
    ///
    /// # Errors
    /// `network` or `server` if the bucket cannot be asked.
    pub async fn lifecycle(&self, folder: &str) -> Result<Lifecycle> {
        match self {
            Self::Folder(_) => Ok(Lifecycle::Known(Vec::new())),
            Self::Bucket(bucket) => bucket.lifecycle(folder).await,
        }
    }

    /// Opens a file for reading; `None` if it is not stored.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn get(&self, path: &str) -> io::Result<Option<StoredBytes>> {
        match self {
            Self::Folder(folder) => Ok(folder.get(path).await?.map(StoredBytes::File)),
            Self::Bucket(bucket) => bucket.get(path).await,
        }
    }

    /// Reads a small file; `None` if it is not stored.
    ///
    /// # Errors
    /// As [`Store::get`]; also if it has more than `most` bytes.
    pub async fn read(&self, path: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let too_long = || {
            let text = format!("{path} has more than {most} bytes");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        match self.get(path).await? {
            None => Ok(None),
            Some(StoredBytes::File(file)) => {
                let read = spawn_blocking(move || {
                    let mut bytes = Vec::new();
                    file.take(most + 1).read_to_end(&mut bytes)?;
                    Ok::<_, io::Error>(bytes)
                });
                let bytes = read.await.map_err(io::Error::other)??;
                match bytes.len() as u64 > most {
                    true => Err(too_long()),
                    false => Ok(Some(bytes)),
                }
            }
            Some(StoredBytes::Stream(size, _)) if size > most => Err(too_long()),
            Some(StoredBytes::Stream(_, mut stream)) => {
                let mut bytes = Vec::new();
                while let Some(piece) = stream.try_next().await? {
                    bytes.extend_from_slice(&piece);
                    if bytes.len() as u64 > most {
                        return Err(too_long());
                    }
                }
                Ok(Some(bytes))
            }
        }
    }

    /// Says whether a file is stored.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn has(&self, path: &str) -> io::Result<bool> {
        Ok(self.size(path).await?.is_some())
    }

    /// Returns the size of a file, in bytes; `None` if it is not stored.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn size(&self, path: &str) -> io::Result<Option<u64>> {
        match self {
            Self::Folder(folder) => folder.size(path).await,
            Self::Bucket(bucket) => bucket.size(path).await,
        }
    }

    /// Returns when a file was written; `None` if it is not stored.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn modified(&self, path: &str) -> io::Result<Option<SystemTime>> {
        match self {
            Self::Folder(folder) => folder.modified(path).await,
            Self::Bucket(bucket) => bucket.modified(path).await,
        }
    }

    /// Stores a file, whole or not at all.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn put(&self, path: &str, content: Content<'_>) -> io::Result<()> {
        match self {
            Self::Folder(folder) => folder.put(path, content).await,
            Self::Bucket(bucket) => bucket.put(path, content).await,
        }
    }

    /// Creates a file, unless there is one already, which stays as it is.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn create(&self, path: &str, bytes: Bytes) -> io::Result<()> {
        self.create_new(path, bytes).await.map(drop)
    }

    /// Creates a file, unless there is one already, and says whether it did. Of all who create it at the same time one does.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn create_new(&self, path: &str, bytes: Bytes) -> io::Result<bool> {
        match self {
            Self::Folder(folder) => folder.create_new(path, bytes, folder::FOR_ALL).await,
            Self::Bucket(bucket) => bucket.create_new(path, bytes).await,
        }
    }

    /// Creates a file as [`Store::create`] does, which in a folder only its owner may read.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn create_secret(&self, path: &str, bytes: Bytes) -> io::Result<()> {
        let created = match self {
            Self::Folder(folder) => folder.create_new(path, bytes, folder::FOR_OWNER).await,
            Self::Bucket(bucket) => bucket.create_new(path, bytes).await,
        };
        created.map(drop)
    }

    /// Lists the files below a folder from this name on, in no order, by their paths from there.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn names_from(&self, folder: &str, first: &str) -> io::Result<Vec<String>> {
        match self {
            Self::Folder(store) => store.names_from(folder, first).await,
            Self::Bucket(bucket) => bucket.names_from(folder, first).await,
        }
    }

    /// Removes a file that is damaged; one of a folder stays while it is being read, and the one that is fetched in its
    /// place is renamed over it.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn remove(&self, path: &str) -> io::Result<Removed> {
        match self {
            Self::Folder(folder) => folder.remove_later(path).await,
            Self::Bucket(bucket) => bucket.remove(path).await.map(|()| Removed::Gone),
        }
    }

    /// Moves a file within the store; does nothing if it is not there.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn set_aside(&self, path: &str, to: &str) -> io::Result<()> {
        match self {
            Self::Folder(folder) => folder.set_aside(path, to).await,
            Self::Bucket(bucket) => bucket.set_aside(path, to).await,
        }
    }

    /// Lists all files, whatever they are.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn every_file(&self) -> io::Result<Vec<StoredFile>> {
        match self {
            Self::Folder(folder) => folder.every_file().await,
            Self::Bucket(bucket) => bucket.list().await,
        }
    }

    /// Lists all crate files.
    ///
    /// # Errors
    /// If the disk or the server fails.
    pub async fn list(&self) -> io::Result<Vec<StoredFile>> {
        match self {
            Self::Folder(folder) => folder.list().await,
            Self::Bucket(bucket) => bucket.list().await,
        }
    }
}
