//! Takes a file in from far away, from the store's bucket or from upstream, and verifies it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tempfile::NamedTempFile;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::error;

use super::flight::Stage;
use super::{CrateFiles, Held, SMALL, Unavailable};
use crate::index::{Checksum, CrateFile};
use crate::store::{Content, Kept};

/// No crate file is larger: what goes on and on is none.
const LARGEST: u64 = 1 << 30;

/// How many bytes those who wait are told of at a time.
const STEP: u64 = 64 << 10;

/// Bytes from far away.
pub(super) struct Incoming {
    /// How many there are, where the other side said it.
    pub(super) total: Option<u64>,
    pub(super) stream: BoxStream<'static, Result<Bytes, Unavailable>>,
}

/// A file that was taken in and is right.
struct Received {
    held: Held,
    /// Where it is on disk, if it was too large for memory.
    scratch: Option<NamedTempFile>,
}

impl CrateFiles {
    /// Finds a file in the store; one that is damaged is dropped.
    pub(super) async fn find_kept(&self, file: &CrateFile) -> io::Result<Option<Held>> {
        match self.read_kept(file).await? {
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
        let is_damaged = matches!(self.read_kept(file).await?, Reading::Damaged);
        if is_damaged && drop_damaged {
            self.drop_damaged(file).await?;
        }
        Ok(!is_damaged)
    }

    async fn read_kept(&self, file: &CrateFile) -> io::Result<Reading> {
        match self.store.get(&file.path()).await? {
            None => Ok(Reading::Absent),
            Some(Kept::File(kept)) => {
                let about = kept.metadata()?;
                let reading = verify(kept, file.checksum).await?;
                if matches!(reading, Reading::Right(_)) {
                    self.verified.remember(file.checksum, &about);
                }
                Ok(reading)
            }
            Some(Kept::Stream(size, stream)) => {
                let failed = |e: io::Error| Unavailable::Upstream(format!("the bucket: {e}"));
                let stream = stream.map(move |piece| piece.map_err(failed)).boxed();
                let total = Some(size);
                // Nobody sees it before it is verified: where it is damaged, upstream's is served.
                let (nobody, _) = watch::channel(Stage::Looking);
                let incoming = Incoming { total, stream };
                match self.receive(file, incoming, &nobody).await {
                    Ok(received) => Ok(Reading::Right(received.held)),
                    Err(Unavailable::Mismatch { .. }) => Ok(Reading::Damaged),
                    Err(other) => Err(io::Error::other(other)),
                }
            }
        }
    }

    async fn drop_damaged(&self, file: &CrateFile) -> io::Result<()> {
        let path = file.path();
        self.counts.damaged();
        error!("{file}: the kept file is damaged and is dropped");
        self.store.remove(&path).await?;
        self.forget(&path).await;
        Ok(())
    }

    /// Fetches a file, serves it to all who wait, and keeps it.
    pub(super) async fn fetch_and_keep(
        &self,
        file: &CrateFile,
        stage: &watch::Sender<Stage>,
    ) -> Result<(), Unavailable> {
        let upstream = self.upstream.as_ref().ok_or(Unavailable::NotHeld)?;
        let (incoming, _place) = upstream.fetch(file).await?;
        let received = self.receive(file, incoming, stage).await?;
        self.counts.fetched(received.held.size());
        self.remember(file, &received.held);
        stage.send_replace(Stage::Held(received.held.clone(), true));
        self.keep_received(file, received).await;
        Ok(())
    }

    /// Keeps a file that is right; one that cannot be kept was served all the same.
    async fn keep_received(&self, file: &CrateFile, received: Received) {
        let path = file.path();
        let content = match (&received.held, &received.scratch) {
            (Held::Memory(bytes), _) => Content::Bytes(bytes.clone()),
            (Held::File(..), Some(scratch)) => Content::File(scratch.path()),
            (Held::File(..), None) => return,
        };
        if let Err(error) = self.store.put(&path, content).await {
            self.counts.unkept();
            error!("{file}: cannot be kept: {error}");
            return;
        }
        self.take_in(file).await;
    }

    /// Reads to the end and compares the checksum. What is large goes to a scratch file, from which it can be read while it
    /// comes, but for the last piece.
    async fn receive(
        &self,
        file: &CrateFile,
        mut incoming: Incoming,
        stage: &watch::Sender<Stage>,
    ) -> Result<Received, Unavailable> {
        let mut hash = Context::new(&SHA256);
        let mut small = BytesMut::new();
        let mut large: Option<Large> = None;
        while let Some(piece) = incoming.stream.next().await {
            let piece = piece?;
            hash.update(&piece);
            match &mut large {
                Some(large) => large.add(piece, stage).await?,
                None if small.len() + piece.len() <= SMALL => small.extend_from_slice(&piece),
                None => {
                    let begun = self.scratch.file().map_err(disk)?;
                    let mut begun = Large::new(begun, incoming.total)?;
                    begun.add(small.split().freeze(), stage).await?;
                    begun.add(piece, stage).await?;
                    large = Some(begun);
                }
            }
        }
        let found = finish(hash);
        if found != file.checksum {
            let wanted = file.checksum;
            return Err(Unavailable::Mismatch { wanted, found });
        }
        Ok(match large {
            None => Received {
                held: Held::Memory(small.freeze()),
                scratch: None,
            },
            Some(large) => Received {
                held: Held::File(large.reader, large.written),
                scratch: Some(large.scratch),
            },
        })
    }
}

/// A file that is too large for memory.
struct Large {
    scratch: NamedTempFile,
    reader: Arc<File>,
    total: Option<u64>,
    written: u64,
    /// How much of it those who wait were told of last.
    told: u64,
}

impl Large {
    fn new(scratch: NamedTempFile, total: Option<u64>) -> Result<Self, Unavailable> {
        let reader = scratch.reopen().map_err(disk)?;
        Ok(Self {
            reader: Arc::new(reader),
            scratch,
            total,
            written: 0,
            told: 0,
        })
    }

    /// Writes a piece, and releases those before it.
    async fn add(&mut self, piece: Bytes, stage: &watch::Sender<Stage>) -> Result<(), Unavailable> {
        let released = self.written;
        self.written += piece.len() as u64;
        if self.written > LARGEST {
            let text = format!("it sends more than {LARGEST} bytes");
            return Err(Unavailable::Upstream(text));
        }
        let file = self.scratch.as_file().try_clone().map_err(disk)?;
        let writing = spawn_blocking(move || file.write_all_at(&piece, released));
        let written = writing.await.map_err(io::Error::other);
        written.and_then(|written| written).map_err(disk)?;
        if released < self.told + STEP {
            return Ok(());
        }
        self.told = released;
        stage.send_replace(Stage::Coming {
            file: Arc::clone(&self.reader),
            total: self.total,
            released,
        });
        Ok(())
    }
}

/// What the store has of a file.
enum Reading {
    Absent,
    Damaged,
    Right(Held),
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
            (finish(hash), Held::Memory(bytes.freeze()))
        } else {
            (checksum_of(&file)?, Held::File(Arc::new(file), size))
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

fn finish(hash: Context) -> Checksum {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    Checksum::from_bytes(bytes)
}

fn disk(error: io::Error) -> Unavailable {
    Unavailable::Disk(error.to_string())
}
