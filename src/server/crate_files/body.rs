//! The body of a crate file on its way to a client.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _, try_unfold};
use tokio::sync::watch;

use super::stage::Stage;
use super::verified_file::{VerifiedFile, read_at};

/// How many bytes of a file on disk are read at a time: larger pieces are not faster.
const PIECE: u64 = 64 << 10;
/// How many bytes of a file in flight are read at a time: crowds wait for those.
const SMALL_PIECE: u64 = 16 << 10;
/// The smallest piece.
const LEAST_PIECE: u64 = 4 << 10;
/// How many bytes all pieces together may be, as long as none is smaller than the least.
const PIECES: u64 = 8 << 20;

/// How many bodies are being read from disk. One number for the process, whose memory it is about.
static READERS: AtomicU64 = AtomicU64::new(0);

/// A body that is being read: a client that takes nothing of it holds one piece.
struct Reader {
    /// Doubles with each piece: who takes nothing of a body holds the least, however few bodies there were when it began.
    next: u64,
}

impl Reader {
    fn begin() -> Self {
        READERS.fetch_add(1, Ordering::Relaxed);
        Self { next: LEAST_PIECE }
    }

    /// Returns how many bytes to read next. The more bodies there are the fewer, so that memory has a bound whatever
    /// their clients do.
    fn piece(&mut self) -> u64 {
        let most = piece_among(READERS.load(Ordering::Relaxed));
        let piece = self.next.min(most);
        self.next = (piece * 2).min(PIECE);
        piece
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        READERS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn piece_among(readers: u64) -> u64 {
    (PIECES / readers.max(1)).clamp(LEAST_PIECE, PIECE)
}

/// The bytes of a crate file.
pub enum Body {
    /// In memory.
    Whole(Bytes),
    /// In a verified file of this size, in bytes.
    File(Arc<File>, u64),
    /// Still being fetched.
    InFlight(InFlight),
}

/// A file that is being fetched: its last bytes are sent only once its checksum is right.
pub struct InFlight {
    file: Arc<File>,
    total: u64,
    stage: watch::Receiver<Stage>,
}

impl From<VerifiedFile> for Body {
    fn from(file: VerifiedFile) -> Self {
        match file {
            VerifiedFile::Memory(bytes) => Self::Whole(bytes),
            VerifiedFile::Disk(file, size) => Self::File(file, size),
        }
    }
}

impl Body {
    /// Returns how many bytes there are.
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
            Self::InFlight(body) => body.total,
        }
    }

    /// Returns the bytes piece by piece; an error ends a file that turned out wrong.
    pub fn into_stream(self) -> BoxStream<'static, io::Result<Bytes>> {
        match self {
            Self::Whole(bytes) => futures_util::stream::once(async { Ok(bytes) }).boxed(),
            Self::File(file, size) => try_unfold((Reader::begin(), 0), move |(mut reader, at)| {
                let file = Arc::clone(&file);
                async move {
                    if at == size {
                        return Ok(None);
                    }
                    // At most a piece, so that the cast loses nothing.
                    let length = (size - at).min(reader.piece()) as usize;
                    let piece = read_at(&file, at, length).await?;
                    let next = at + piece.len() as u64;
                    Ok(Some((piece, (reader, next))))
                }
            })
            .boxed(),
            Self::InFlight(body) => {
                let begin = (Reader::begin(), body, 0);
                try_unfold(begin, |(mut reader, mut body, at)| async move {
                    let released = body.released_beyond(at).await?;
                    if released == at {
                        return Ok(None);
                    }
                    let length = (released - at).min(SMALL_PIECE).min(reader.piece()) as usize;
                    let piece = read_at(&body.file, at, length).await?;
                    let next = at + piece.len() as u64;
                    Ok(Some((piece, (reader, body, next))))
                })
                .boxed()
            }
        }
    }
}

impl InFlight {
    pub(super) fn new(file: Arc<File>, total: u64, stage: watch::Receiver<Stage>) -> Self {
        Self { file, total, stage }
    }

    /// Waits until more than `at` bytes may be sent, and returns how many; `at` itself if that is all.
    async fn released_beyond(&mut self, at: u64) -> io::Result<u64> {
        let is_more = |stage: &Stage| match stage {
            Stage::InFlight { released, .. } => *released > at,
            _ => true,
        };
        let stage = self.stage.wait_for(is_more).await;
        let stage = stage.map_err(|_| io::Error::other("the fetch was aborted"))?;
        match &*stage {
            Stage::InFlight { file, released, .. } if Arc::ptr_eq(file, &self.file) => {
                Ok(*released)
            }
            Stage::Ready {
                file: VerifiedFile::Disk(file, size),
                ..
            } if Arc::ptr_eq(file, &self.file) => Ok(*size),
            Stage::Failed(why) => Err(io::Error::other(why.clone())),
            // Another fetch has begun: what was sent so far does not belong to its file.
            _ => Err(io::Error::other("the fetch was restarted")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::TryStreamExt as _;

    use super::super::unavailable::Unavailable;
    use super::*;

    fn file(content: &[u8]) -> Arc<File> {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), content).unwrap();
        Arc::new(path.reopen().unwrap())
    }

    async fn all(body: Body) -> io::Result<Vec<u8>> {
        let pieces: Vec<Bytes> = body.into_stream().try_collect().await?;
        Ok(pieces.concat())
    }

    fn in_flight(file: &Arc<File>, total: u64, released: u64) -> Stage {
        let file = Arc::clone(file);
        Stage::InFlight {
            file,
            total,
            released,
        }
    }

    #[test]
    fn the_more_bodies_are_read_the_smaller_their_pieces() {
        assert_eq!(piece_among(0), PIECE);
        assert_eq!(piece_among(128), PIECE);
        assert_eq!(piece_among(1024), 8 << 10);
        assert_eq!(piece_among(u64::MAX), LEAST_PIECE);
    }

    #[tokio::test]
    async fn the_pieces_of_a_body_grow_as_they_are_taken() {
        let body = Body::from(VerifiedFile::Disk(file(&[7; 1 << 20]), 1 << 20));
        let pieces: Vec<Bytes> = body.into_stream().try_collect().await.unwrap();
        let sizes: Vec<u64> = pieces.iter().map(|piece| piece.len() as u64).collect();
        assert_eq!(sizes[..3], [LEAST_PIECE, 2 * LEAST_PIECE, 4 * LEAST_PIECE]);
        assert_eq!(sizes[5], PIECE);
    }

    #[tokio::test]
    async fn a_file_on_disk_is_sent_whole_whatever_its_size() {
        for size in [0, 1, PIECE, PIECE + 1] {
            let content = vec![7; size as usize];
            let body = Body::from(VerifiedFile::Disk(file(&content), size));
            assert_eq!(body.size(), size);
            assert_eq!(all(body).await.unwrap(), content);
        }
    }

    #[tokio::test]
    async fn a_file_in_flight_is_sent_to_its_end_only_once_it_is_verified() {
        let content = vec![7; 100_000];
        let file = file(&content);
        let (stage, waiting) = watch::channel(in_flight(&file, 100_000, 50_000));
        let body = Body::InFlight(InFlight::new(Arc::clone(&file), 100_000, waiting));
        let mut stream = body.into_stream();
        let mut sent = 0;
        while sent < 50_000 {
            sent += stream.next().await.unwrap().unwrap().len();
        }
        assert_eq!(sent, 50_000);
        let fetched = true;
        let file = VerifiedFile::Disk(file, 100_000);
        stage.send_replace(Stage::Ready { file, fetched });
        let rest: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!(rest.concat().len(), 50_000);
    }

    #[tokio::test]
    async fn a_file_that_turns_out_wrong_or_is_another_one_is_cut_short() {
        let (one, other) = (file(&[7; 10]), file(&[8; 10]));
        let wrong = Stage::Failed(Unavailable::Upstream("cut".to_owned()));
        for end in [wrong, in_flight(&other, 10, 9)] {
            let (_stage, waiting) = watch::channel(end);
            let body = Body::InFlight(InFlight::new(Arc::clone(&one), 10, waiting));
            assert!(all(body).await.is_err());
        }
    }
}
