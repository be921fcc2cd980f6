//! Where a dump comes from: a file, or an address of the web, from which it is received while it is read.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::spawn_blocking;

use super::download::Download;
use super::pieces::{Piece, Pieces};
use super::staging::Staged;
use super::{DumpError, stage};
use crate::config::{DumpSource, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;

/// How many pieces are received ahead of the reader.
const AHEAD: usize = 16;
/// How much of a file is read at once.
const PIECE: usize = 256 << 10;

/// Which dump a source has, as it says itself: by that one is known that was imported before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// An address's `ETag`, or a file's size and time.
    pub tag: Option<String>,
    /// An address's `Last-Modified`.
    pub modified: Option<String>,
}

impl Version {
    /// Says whether there is anything to know it by.
    pub fn is_known(&self) -> bool {
        self.tag.is_some() || self.modified.is_some()
    }
}

/// A dump that was fetched and read.
#[derive(Debug)]
pub struct Fetched {
    /// Its tables.
    pub staged: Staged,
    /// Which one it is.
    pub version: Version,
}

/// Receives a dump and reads it, at the same time; `None` where the source still has the one that is known. Its tables are staged
/// below `data_dir`, as [`stage`] does.
///
/// # Errors
/// `network` or `server` where it cannot be received, or is none; `config` where a file cannot be read, or is none, or the disk
/// cannot be written.
pub async fn fetch(
    config: &ServeConfig,
    source: &DumpSource,
    known: &Version,
    data_dir: Option<PathBuf>,
    progress: &Arc<Progress>,
) -> Result<Option<Fetched>> {
    progress.phase(&format!("fetching the dump from {source}"));
    let opened = match source {
        DumpSource::File(path) => {
            let failed = |error: io::Error| {
                let path = path.display();
                let text = format!("cannot read the dump {path}");
                Error::new(Kind::Config, text)
                    .because(error)
                    .advise("Name the file db-dump.tar.gz, which crates.io offers, or its address.")
            };
            Opened::file(File::open(path).await.map_err(failed)?)
                .await
                .map_err(failed)?
        }
        DumpSource::Address(url) => match Download::begin(config, url, known).await? {
            Some(download) => Opened {
                length: download.length(),
                version: download.version().clone(),
                body: Body::Response(Box::new(download)),
            },
            None => return Ok(None),
        },
    };
    if known.is_known() && opened.version == *known {
        return Ok(None);
    }
    let version = opened.version.clone();
    let (sender, pieces) = mpsc::channel(AHEAD);
    let reader = Pieces::new(pieces, opened.length, progress);
    let table = reader.table();
    let reading = spawn_blocking(move || {
        stage(reader, data_dir.as_deref(), |name| {
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            name.clone_into(&mut table);
        })
    });
    opened.send(sender).await;
    let panicked =
        |error| Error::new(Kind::Server, "the thread that reads the dump failed").because(error);
    match reading.await.map_err(panicked)? {
        Ok(staged) => Ok(Some(Fetched { staged, version })),
        Err(DumpError::Failed(error)) => Err(error),
        Err(DumpError::Broken(what)) => Err(broken(source, &what)),
    }
}

fn broken(source: &DumpSource, what: &str) -> Error {
    // An address may have another one tomorrow.
    let (kind, advice) = match source {
        DumpSource::File(_) => (
            Kind::Config,
            "Nothing was changed. Pass crates.io's db-dump.tar.gz, or a complete copy of it.",
        ),
        DumpSource::Address(_) => (
            Kind::Server,
            "Nothing was changed. Open the address to see what the host sends, which may be the page of a proxy; name that of crates.io's \
             db-dump.tar.gz.",
        ),
    };
    let text = format!("{source} is no database dump of crates.io, or damaged: {what}");
    Error::new(kind, text).advise(advice)
}

/// A source that is open.
struct Opened {
    body: Body,
    length: Option<u64>,
    version: Version,
}

enum Body {
    File(File),
    Response(Box<Download>),
}

impl Opened {
    async fn file(file: File) -> io::Result<Self> {
        let about = file.metadata().await?;
        if about.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let time = about.modified().unwrap_or(UNIX_EPOCH);
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            body: Body::File(file),
            length: Some(about.len()),
            version: Version {
                tag: Some(format!("{} bytes, {} ns", about.len(), time.as_nanos())),
                modified: None,
            },
        })
    }

    /// Sends all of it to the reader, and at the end that it is the end.
    async fn send(mut self, sender: Sender<Piece>) {
        loop {
            // Where the reader ends first, it fails: nothing else is waited for.
            let piece = tokio::select! {
                piece = self.body.next() => piece,
                () = sender.closed() => return,
            };
            let is_last = !matches!(&piece, Ok(Some(_)));
            if sender.send(piece.transpose()).await.is_err() || is_last {
                return;
            }
        }
    }
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::File(file) => {
                let mut piece = Vec::with_capacity(PIECE);
                let read = file.take(PIECE as u64).read_to_end(&mut piece).await;
                let failed = |error| {
                    Error::new(
                        Kind::Server,
                        "the file of the dump cannot be read to its end",
                    )
                    .because(error)
                    .advise("Check the disk or the share that it is on, or import another copy.")
                };
                let read = read.map_err(failed)?;
                Ok((read > 0).then(|| piece.into()))
            }
            Self::Response(download) => download.next().await,
        }
    }
}
