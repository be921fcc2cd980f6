//! The body of a crate file on its way to a client.

use std::fs::File;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use tokio::sync::watch;

use super::single_flight::Stage;
use super::{VerifiedFile, disk};

/// How many bytes are read at a time of what is kept: more take no less time.
const PIECE: u64 = 64 << 10;
/// How many of what is being fetched, which crowds wait for: a thousand clients take 16 MiB.
const SMALL_PIECE: u64 = 16 << 10;

/// The bytes of a crate file.
pub enum Body {
    /// In memory.
    Whole(Bytes),
    /// In a file of that size, verified.
    File(Arc<File>, u64),
    /// Being fetched.
    Coming(Coming),
}

/// A file that is being fetched: its last bytes come only when its checksum is right.
pub struct Coming {
    file: Arc<File>,
    total: u64,
    stage: watch::Receiver<Stage>,
}

impl Body {
    /// Returns how many bytes there are.
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
            Self::Coming(coming) => coming.total,
        }
    }

    /// Returns the bytes piece by piece; an error is the end of a file that turned out wrong.
    pub fn into_stream(self) -> BoxStream<'static, io::Result<Bytes>> {
        match self {
            Self::Whole(bytes) => futures_util::stream::once(async { Ok(bytes) }).boxed(),
            Self::File(file, size) => try_unfold(0, move |at| {
                let file = Arc::clone(&file);
                async move {
                    if at == size {
                        return Ok(None);
                    }
                    let piece = disk::read(&file, at, (size - at).min(PIECE) as usize).await?;
                    let next = at + piece.len() as u64;
                    Ok(Some((piece, next)))
                }
            })
            .boxed(),
            Self::Coming(coming) => try_unfold((coming, 0), |(mut coming, at)| async move {
                let released = coming.released_beyond(at).await?;
                if released == at {
                    return Ok(None);
                }
                let piece =
                    disk::read(&coming.file, at, (released - at).min(SMALL_PIECE) as usize).await?;
                let next = at + piece.len() as u64;
                Ok(Some((piece, (coming, next))))
            })
            .boxed(),
        }
    }
}

impl Coming {
    pub(super) fn new(file: Arc<File>, total: u64, stage: watch::Receiver<Stage>) -> Self {
        Self { file, total, stage }
    }

    /// Waits until more than `at` bytes may be sent, and returns how many; `at` itself where that is all.
    async fn released_beyond(&mut self, at: u64) -> io::Result<u64> {
        let is_more = |stage: &Stage| match stage {
            Stage::Coming { released, .. } => *released > at,
            _ => true,
        };
        let stage = self.stage.wait_for(is_more).await;
        let stage = stage.map_err(|_| io::Error::other("the search broke off"))?;
        match &*stage {
            Stage::Coming { file, released, .. } if Arc::ptr_eq(file, &self.file) => Ok(*released),
            Stage::Held(VerifiedFile::File(file, size), _) if Arc::ptr_eq(file, &self.file) => {
                Ok(*size)
            }
            Stage::Failed(why) => Err(io::Error::other(why.clone())),
            // Another file has begun: what was sent of this one does not belong to it.
            _ => Err(io::Error::other("the search began anew")),
        }
    }
}
