//! Crate files at rest: in a folder, or in a bucket of an S3 server.
//!
//! What is kept was verified before. Whoever reads it verifies it again, since disks and buckets forget: what comes from a
//! bucket each time, a file of a folder once an hour.

mod bucket;
mod folder;

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::config::{Network, Secrets, StoreUrl};
use crate::error::Result;
pub use bucket::Bucket;
pub use folder::{Removed, Scratch, StoreFolder, StoredFile};

/// Where crate files are kept. Paths are those of [`crate::index::CrateFile::path`].
pub enum Store {
    /// A folder.
    Folder(StoreFolder),
    /// A bucket.
    Bucket(Bucket),
}

/// A kept file, as it can be read.
pub enum StoredBytes {
    /// A file on disk, locked so that nobody removes it meanwhile.
    File(File),
    /// Bytes from the network, with their number.
    Stream(u64, BoxStream<'static, io::Result<Bytes>>),
}

/// Verified bytes that are to be kept.
pub enum Content<'a> {
    /// In memory.
    Bytes(Bytes),
    /// In a file that may be moved away.
    File(&'a Path),
}

impl Store {
    /// Opens a store; a bucket is not asked yet.
    ///
    /// # Errors
    /// `config` where the address or its credentials cannot be used.
    pub fn open(url: &StoreUrl, secrets: &Secrets, network: &Network) -> Result<Self> {
        match url {
            StoreUrl::Folder(path) => Ok(Self::Folder(StoreFolder::new(path.clone()))),
            StoreUrl::Bucket { bucket, prefix } => {
                Bucket::new(bucket, prefix, secrets, network).map(Self::Bucket)
            }
        }
    }

    /// Finds a file.
    ///
    /// # Errors
    /// As the disk or the server says, but for a file that is not there.
    pub async fn get(&self, path: &str) -> io::Result<Option<StoredBytes>> {
        match self {
            Self::Folder(folder) => Ok(folder.get(path).await?.map(StoredBytes::File)),
            Self::Bucket(bucket) => bucket.get(path).await,
        }
    }

    /// Says whether a file is there.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn has(&self, path: &str) -> io::Result<bool> {
        Ok(self.size(path).await?.is_some())
    }

    /// Returns the size of a file, in bytes, where it is there.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub async fn size(&self, path: &str) -> io::Result<Option<u64>> {
        match self {
            Self::Folder(folder) => {
                let about = folder.place(path).metadata();
                let about = about.ok().filter(std::fs::Metadata::is_file);
                Ok(about.map(|about| about.len()))
            }
            Self::Bucket(bucket) => bucket.size(path).await,
        }
    }

    /// Keeps a file, whole or not at all.
    ///
    /// # Errors
    /// As the disk or the server says.
    pub async fn put(&self, path: &str, content: Content<'_>) -> io::Result<()> {
        match self {
            Self::Folder(folder) => folder.put(path, content).await,
            Self::Bucket(bucket) => bucket.put(path, content).await,
        }
    }

    /// Removes a file that turned out to be damaged.
    ///
    /// # Errors
    /// As the disk or the server says.
    pub async fn remove(&self, path: &str) -> io::Result<()> {
        match self {
            Self::Folder(folder) => folder.remove(path).map(drop),
            Self::Bucket(bucket) => bucket.remove(path).await,
        }
    }

    /// Returns the paths and sizes of all files.
    ///
    /// # Errors
    /// As the disk or the server says.
    pub async fn list(&self) -> io::Result<Vec<StoredFile>> {
        match self {
            Self::Folder(folder) => folder.list().await,
            Self::Bucket(bucket) => bucket.list().await,
        }
    }
}
