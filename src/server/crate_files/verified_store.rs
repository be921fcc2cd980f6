//! Crate files in the store: read and verified, or put there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::error;

use super::receive::{Incoming, Received, finish};
use super::single_flight::Stage;
use super::{CrateFiles, SMALL, Unavailable, VerifiedFile};
use crate::index::{Checksum, CrateFile};
use crate::server::store::{Content, Store, StoredBytes};

/// How long a bucket may be silent while a client waits: upstream has the file too.
const SILENCE: Duration = Duration::from_secs(5);

/// As long as the limits of the bucket's client allow.
const PATIENT: Duration = Duration::MAX;

/// What the store has of a file.
enum Reading {
    Absent,
    Damaged,
    Right(VerifiedFile),
}

impl CrateFiles {
    /// Finds a file in the store; one that is damaged is dropped. A bucket in trouble is not asked.
    pub(super) async fn find_kept(
        &self,
        file: &CrateFile,
    ) -> Result<Option<VerifiedFile>, Unavailable> {
        self.check_bucket()?;
        let found = self.read_or_drop(file).await;
        self.note_bucket(&found);
        found.map_err(|error| {
            error!("{file}: the store cannot be read: {error}");
            Unavailable::Store(error.to_string())
        })
    }

    async fn read_or_drop(&self, file: &CrateFile) -> io::Result<Option<VerifiedFile>> {
        match self.read_kept(file, SILENCE).await? {
            Reading::Right(held) => Ok(Some(held)),
            Reading::Absent => {
                self.forget(&file.path()).await;
                Ok(None)
            }
            Reading::Damaged => {
                self.drop_damaged(file).await?;
                Ok(None)
            }
        }
    }

    /// Reads a kept file through and says whether it is right; a damaged one is dropped if that is wanted.
    ///
    /// # Errors
    /// As the disk or the bucket says.
    pub async fn is_right(&self, file: &CrateFile, drop_damaged: bool) -> io::Result<bool> {
        let is_damaged = matches!(self.read_kept(file, PATIENT).await?, Reading::Damaged);
        if is_damaged && drop_damaged {
            self.drop_damaged(file).await?;
        }
        Ok(!is_damaged)
    }

    /// Returns the size of a kept file, in bytes, as far as that can be known without reading it.
    pub(super) async fn kept_size(&self, file: &CrateFile) -> Result<Option<u64>, Unavailable> {
        self.check_bucket()?;
        let path = file.path();
        let size = timeout(SILENCE, self.store.size(&path)).await;
        let size = size.unwrap_or_else(|_| Err(silent(SILENCE)));
        self.note_bucket(&size);
        size.map_err(|error| Unavailable::Store(error.to_string()))
    }

    /// Reads a file through. One of a bucket that is too large for memory is downloaded whole, to a scratch file, for each
    /// search: only then is it known to be right.
    async fn read_kept(&self, file: &CrateFile, silence: Duration) -> io::Result<Reading> {
        let path = file.path();
        let found = timeout(silence, self.store.get(&path)).await;
        match found.unwrap_or_else(|_| Err(silent(silence)))? {
            None => Ok(Reading::Absent),
            Some(StoredBytes::File(kept)) => {
                let (about, now) = (kept.metadata()?, Instant::now());
                let reading = verify(kept, file.checksum).await?;
                if matches!(reading, Reading::Right(_)) {
                    self.verified.remember(file.checksum, &about, now);
                }
                Ok(reading)
            }
            Some(StoredBytes::Stream(size, stream)) => {
                // Nobody sees it before it is verified: where it is damaged, upstream's is served.
                let (nobody, _) = watch::channel(Stage::Looking);
                let incoming = Incoming {
                    total: Some(size),
                    stream: bounded(stream, silence),
                };
                match self.receive(file, incoming, &nobody).await {
                    Ok(received) => Ok(Reading::Right(received.held)),
                    Err(Unavailable::Mismatch { .. }) => Ok(Reading::Damaged),
                    Err(Unavailable::Store(why)) => Err(io::Error::other(why)),
                    Err(other) => Err(io::Error::other(other)),
                }
            }
        }
    }

    async fn drop_damaged(&self, file: &CrateFile) -> io::Result<()> {
        let path = file.path();
        self.counts.damaged();
        error!("{file}: the kept file is damaged and is dropped");
        let removed = timeout(SILENCE, self.store.remove(&path)).await;
        removed.unwrap_or_else(|_| Err(silent(SILENCE)))?;
        self.forget(&path).await;
        Ok(())
    }

    /// Keeps a file that is right; one that cannot be kept was served all the same.
    pub(super) async fn keep_received(&self, file: &CrateFile, received: Received) {
        let path = file.path();
        let content = match (&received.held, &received.scratch) {
            (VerifiedFile::Memory(bytes), _) => Content::Bytes(bytes.clone()),
            (VerifiedFile::File(..), Some(scratch)) => Content::File(scratch.path()),
            (VerifiedFile::File(..), None) => return,
        };
        let put = match self.check_bucket() {
            Ok(()) => {
                let put = self.store.put(&path, content).await;
                self.note_bucket(&put);
                put.map_err(|error| error.to_string())
            }
            Err(why) => Err(why.to_string()),
        };
        if let Err(error) = put {
            self.counts.unkept();
            error!("{file}: cannot be kept: {error}");
            return;
        }
        self.take_in(file).await;
    }

    /// Leaves a bucket alone that is in trouble.
    fn check_bucket(&self) -> Result<(), Unavailable> {
        match self.bucket.pause() {
            Some(seconds) => {
                let text = format!("the bucket fails; it is asked again in {seconds} s");
                Err(Unavailable::Store(text))
            }
            None => Ok(()),
        }
    }

    fn note_bucket<T>(&self, end: &io::Result<T>) {
        match (&self.store, end) {
            (Store::Folder(_), _) => {}
            (Store::Bucket(_), Ok(_)) => self.bucket.succeeded(),
            (Store::Bucket(_), Err(_)) => self.bucket.failed(None),
        }
    }
}

/// Ends a bucket's stream that falls silent.
fn bounded(
    stream: BoxStream<'static, io::Result<Bytes>>,
    silence: Duration,
) -> BoxStream<'static, Result<Bytes, Unavailable>> {
    let stream = try_unfold(stream, move |mut stream| async move {
        let piece = timeout(silence, stream.next()).await;
        let piece = piece.unwrap_or_else(|_| Some(Err(silent(silence))));
        Ok(piece.transpose()?.map(|piece| (piece, stream)))
    });
    let failed = |error: io::Error| Unavailable::Store(error.to_string());
    stream.map(move |piece| piece.map_err(failed)).boxed()
}

fn silent(silence: Duration) -> io::Error {
    let limit = humantime::format_duration(silence);
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the bucket says nothing for {limit}"),
    )
}

/// Reads a file of the folder through; a small one stays in memory.
async fn verify(file: File, wanted: Checksum) -> io::Result<Reading> {
    let verifying = spawn_blocking(move || {
        let size = file.metadata()?.len();
        let (found, held) = if size <= SMALL as u64 {
            let mut bytes = BytesMut::zeroed(size as usize);
            file.read_exact_at(&mut bytes, 0)?;
            let mut hash = Context::new(&SHA256);
            hash.update(&bytes);
            (finish(hash), VerifiedFile::Memory(bytes.freeze()))
        } else {
            (
                checksum_of(&file)?,
                VerifiedFile::File(Arc::new(file), size),
            )
        };
        Ok(match found == wanted {
            true => Reading::Right(held),
            false => Reading::Damaged,
        })
    });
    verifying.await.map_err(io::Error::other)?
}

/// Hashes a file from its beginning.
fn checksum_of(file: &File) -> io::Result<Checksum> {
    let mut hash = Context::new(&SHA256);
    let mut piece = vec![0; 256 << 10];
    let mut at = 0;
    loop {
        match file.read_at(&mut piece, at)? {
            0 => return Ok(finish(hash)),
            read => {
                hash.update(&piece[..read]);
                at += read as u64;
            }
        }
    }
}
