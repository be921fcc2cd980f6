//! The crate files of private crates. They are no cache: nothing else has them, so that nothing evicts, expires or moves them.
//!
//! ```text
//! ac/me/acme-core/acme-core-1.0.0/SHA256.crate
//! ```
//!
//! The key of a file holds its checksum: two versions of the same number that are published at the same time do not meet, and the
//! line of the index says which one counts.

use std::io;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use tokio::task::spawn_blocking;

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::index::{Checksum, CrateFile, CrateName, CrateVersion};
use crate::server::disk_error::unwritable;
use crate::server::owner_only;
use crate::server::store::{Content, Removed, Store, StoredBytes, failure};

/// How a file's name ends.
const ENDING: &str = ".crate";

/// The store of private crate files.
pub struct PrivateFiles {
    store: Store,
    place: String,
}

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its path in the store.
    pub path: String,
    /// Which version it is of, if its path says so.
    pub file: Option<CrateFile>,
    /// When it was written.
    pub modified: SystemTime,
}

/// Why a file cannot be read.
#[derive(Debug)]
pub enum Unread {
    /// It is not there.
    Absent,
    /// Its bytes are not those that the index vouches for.
    Damaged,
    /// The disk or the server failed.
    Failed(Error),
}

impl PrivateFiles {
    /// Opens the store; nothing is asked yet.
    ///
    /// # Errors
    /// `config` if the address or its credentials cannot be used.
    pub fn open(config: &ServeConfig) -> Result<Self> {
        let url = config.private_store();
        let store = Store::open(&url, &config.secrets, &config.network)?;
        Ok(Self {
            store,
            place: url.to_string(),
        })
    }

    /// Returns where it is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Stores a file. One that is there already is written again: it may be about to be swept, which its new date prevents.
    ///
    /// # Errors
    /// `config`, `auth`, `permission`, `network` or `server`, as the disk or the bucket fails.
    pub async fn put(&self, file: &CrateFile, bytes: Bytes) -> Result<()> {
        let path = path_of(file);
        let is_there = self
            .store
            .has(&path)
            .await
            .map_err(|error| self.failed(error))?;
        if let Store::Folder(folder) = &self.store {
            owner_only::folder(folder.path()).map_err(|error| self.failed(error))?;
        }
        let stored = match is_there {
            false => self.store.create(&path, bytes).await,
            true => self.store.put(&path, Content::Bytes(bytes)).await,
        };
        stored.map_err(|error| self.failed(error))
    }

    /// Says whether a file is stored.
    ///
    /// # Errors
    /// As [`PrivateFiles::put`].
    pub async fn has(&self, file: &CrateFile) -> Result<bool> {
        let has = self.store.has(&path_of(file)).await;
        has.map_err(|error| self.failed(error))
    }

    /// Returns the size of a file, in bytes; `None` if it is not stored.
    ///
    /// # Errors
    /// As [`PrivateFiles::put`].
    pub async fn size(&self, file: &CrateFile) -> Result<Option<u64>> {
        let size = self.store.size(&path_of(file)).await;
        size.map_err(|error| self.failed(error))
    }

    /// Reads a file, and checks it against its checksum.
    ///
    /// # Errors
    /// Why there are no bytes that the index vouches for.
    pub async fn get(&self, file: &CrateFile) -> Result<Bytes, Unread> {
        let read = self.read(file).await;
        let bytes = read.map_err(|error| Unread::Failed(self.failed(error)))?;
        let bytes = bytes.ok_or(Unread::Absent)?;
        match checksum_of(&bytes) == file.checksum {
            true => Ok(bytes),
            false => Err(Unread::Damaged),
        }
    }

    async fn read(&self, file: &CrateFile) -> io::Result<Option<Bytes>> {
        let found = self.store.get(&path_of(file)).await?;
        Ok(match found {
            None => None,
            Some(StoredBytes::File(mut file)) => {
                let read = move || {
                    let mut bytes = Vec::new();
                    io::Read::read_to_end(&mut file, &mut bytes)?;
                    io::Result::Ok(bytes)
                };
                Some(
                    spawn_blocking(read)
                        .await
                        .map_err(io::Error::other)??
                        .into(),
                )
            }
            Some(StoredBytes::Stream(_, pieces)) => {
                let all = BytesMut::new();
                let all = pieces.try_fold(all, async |mut all, piece| {
                    all.extend_from_slice(&piece);
                    Ok(all)
                });
                Some(all.await?.freeze())
            }
        })
    }

    /// Lists all files.
    ///
    /// # Errors
    /// As [`PrivateFiles::put`].
    pub async fn list(&self) -> Result<Vec<Stored>> {
        let listed = self.store.every_file().await;
        let listed = listed.map_err(|error| self.failed(error))?.into_iter();
        let stored = listed.map(|found| Stored {
            file: file_at(&found.path),
            path: found.path,
            modified: found.modified,
        });
        Ok(stored.collect())
    }

    /// Removes a file that is still as old as it was when it was listed; says whether it is gone.
    ///
    /// # Errors
    /// As [`PrivateFiles::put`].
    pub async fn remove_if_older(&self, path: &str, than: SystemTime) -> Result<bool> {
        let modified = self.store.modified(path).await;
        let modified = modified.map_err(|error| self.failed(error))?;
        if modified.is_none_or(|modified| modified > than) {
            return Ok(false);
        }
        let removed = self.store.remove(path).await;
        let removed = removed.map_err(|error| self.failed(error))?;
        Ok(removed != Removed::InUse)
    }

    fn failed(&self, error: io::Error) -> Error {
        match &self.store {
            Store::Folder(folder) => unwritable(folder.path(), error),
            Store::Bucket(_) => {
                let failed = failure(error);
                match failed.kind() {
                    Kind::Config => failed.on("private.store"),
                    _ => failed,
                }
            }
        }
    }
}

/// Computes the checksum of a crate file.
pub fn checksum_of(bytes: &[u8]) -> Checksum {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    Checksum::from_bytes(sum)
}

/// Returns the path of a file in the store.
fn path_of(file: &CrateFile) -> String {
    let CrateFile {
        name,
        version,
        checksum,
    } = file;
    format!("{}/{name}-{version}/{checksum}{ENDING}", name.index_path())
}

/// Reads which file a path is of.
fn file_at(path: &str) -> Option<CrateFile> {
    let (folder, name) = path.rsplit_once('/')?;
    let checksum = name.strip_suffix(ENDING)?.parse().ok()?;
    let (index_path, version) = folder.rsplit_once('/')?;
    let length = index_path.rsplit('/').next()?.len();
    let file = CrateFile {
        name: CrateName::new(version.get(..length)?).ok()?,
        version: CrateVersion::new(version.get(length..)?.strip_prefix('-')?).ok()?,
        checksum,
    };
    (path_of(&file) == path).then_some(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_path_says_which_file_it_is_of() {
        for (name, version) in [("Acme-1", "1.0.0-rc.1+b"), ("a", "0.1.0"), ("abc", "1.0.0")] {
            let file = CrateFile {
                name: CrateName::new(name).unwrap(),
                version: CrateVersion::new(version).unwrap(),
                checksum: checksum_of(name.as_bytes()),
            };
            let path = path_of(&file);
            assert_eq!(file_at(&path), Some(file));
            assert_eq!(file_at(&path.replace(".crate", "")), None);
            assert_eq!(file_at(&format!("x/{path}")), None);
            // Not taken for a crate file of the mirror.
            assert_eq!(crate::index::stored_at(&path), None);
        }
    }
}
