//! The local transport: a repository in a folder of this machine, served by this process.
//!
//! Nothing but the pipe tells such a repository from one behind a network: the client speaks the same protocol with
//! `upload-pack` and `receive-pack` here as anywhere. No git program is needed, except for repositories that libgit2 cannot
//! read.

mod commits;
mod connectivity;
mod create;
mod environment;
mod fsck;
mod hidden_refs;
mod hooks;
mod leftovers;
mod negotiation;
mod objects;
mod pack_inventory;
mod pack_output;
mod pipe;
mod process;
mod push_request;
mod quarantine;
mod reachable;
mod receive_pack;
mod repository;
mod upload_pack;

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, DuplexStream, ReadBuf, ReadHalf};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::create::create_bare;
use self::pipe::{Failure, Input, Output};
use self::repository::Obstacle;
use super::{Limits, Service, Side, Stderr, Stream, idle};
use crate::error::{Error, Kind, Result};

/// How many bytes are buffered in each direction, as in a pipe of Linux.
const PIPE: usize = 64 * 1024;

/// How long a client that hangs up on a push waits for the service to remove its quarantine.
const TIDYING: Duration = Duration::from_secs(5);

/// A repository in a folder of this machine.
#[derive(Debug)]
pub struct LocalRemote {
    path: PathBuf,
    side: Side,
    idle_timeout: Duration,
}

impl LocalRemote {
    /// Names the repository in the folder `path`.
    pub fn new(path: impl Into<PathBuf>, limits: &Limits) -> Self {
        Self {
            path: path.into(),
            side: Side::default(),
            idle_timeout: limits.idle_timeout,
        }
    }

    /// Says which repository of the configuration it is.
    #[must_use]
    pub fn on(self, side: Side) -> Self {
        Self { side, ..self }
    }

    /// Starts a service; the next bytes read are its advertisement. `upload-pack` speaks version 2 of the protocol.
    ///
    /// The service ends when the stream's reader is dropped.
    ///
    /// # Errors
    /// `config` where the folder is not there, is no repository, or is one that cannot be read; `permission` for a push to one
    /// that cannot be written to.
    pub async fn open(&self, service: Service) -> Result<Stream> {
        let path = self.folder().await?;
        tracing::debug!(path = %path.display(), service = service.name(), "opening a folder");
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let hung_up = CancellationToken::new();
        let (opened, is_open) = oneshot::channel();
        let (ending, ended) = mpsc::channel();
        let stderr = Stderr::default();
        let start = Start {
            path: path.clone(),
            side: self.side,
            service,
            pipe: theirs,
            runtime: Handle::current(),
            hung_up: hung_up.clone(),
            stderr: stderr.clone(),
            opened,
            ending,
        };
        // A thread of its own: it waits for the client, and a server's few threads for blocking work may all be taken.
        std::thread::Builder::new()
            .name(service.name().to_owned())
            .spawn(|| start.run())
            .map_err(|error| unusable(self.side, &path, "cannot be served").because(error))?;
        match is_open.await {
            Ok(Ok(())) => {}
            Ok(Err(Obstacle::Refused(error))) => return Err(error),
            // The thread has ended: git gets a pipe of its own, and the client notices no difference.
            Ok(Err(Obstacle::NeedsGit(why))) => {
                return process::open(&path, service, self.idle_timeout, &why);
            }
            Err(_) => return Err(unusable(self.side, &path, "cannot be opened")),
        }
        let (reader, writer) = tokio::io::split(ours);
        let answer = Answer {
            reader,
            _end: End {
                hung_up: Some(hung_up.drop_guard()),
                // `upload-pack` leaves nothing behind, so nobody waits for it.
                ended: (service == Service::ReceivePack).then_some(ended),
            },
        };
        Ok(idle::stream(answer, writer, stderr, self.idle_timeout))
    }

    async fn folder(&self) -> Result<PathBuf> {
        let unusable = |why: &str| unusable(self.side, &self.path, why);
        match tokio::fs::metadata(&self.path).await {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(unusable("is not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(unusable("does not exist"));
            }
            Err(error) => return Err(unusable("cannot be accessed").because(error)),
        }
        // Absolute, so that git never takes a path that starts with a dash for an option.
        std::path::absolute(&self.path).map_err(|error| unusable("has no full path").because(error))
    }
}

fn unusable(side: Side, path: &std::path::Path, why: &str) -> Error {
    let path = path.display();
    Error::new(Kind::Config, format!("the repository {path} {why}")).advise(side.no_repository())
}

/// What a service's thread is given.
struct Start {
    path: PathBuf,
    side: Side,
    service: Service,
    pipe: DuplexStream,
    runtime: Handle,
    hung_up: CancellationToken,
    stderr: Stderr,
    opened: oneshot::Sender<std::result::Result<(), Obstacle>>,
    /// Dropped at the service's end.
    ending: mpsc::Sender<()>,
}

impl Start {
    fn run(self) {
        let Self {
            path,
            side,
            service,
            pipe,
            runtime,
            hung_up,
            stderr,
            opened,
            ending: _ending,
        } = self;
        let repository = match repository::open(&path, side, service) {
            Ok(repository) => repository,
            Err(obstacle) => {
                // The caller may have gone away.
                let _ = opened.send(Err(obstacle));
                return;
            }
        };
        if opened.send(Ok(())).is_err() {
            return;
        }
        let (input, output) = pipe::halves(pipe, runtime, hung_up);
        if let Err(Failure::Refused(why)) = serve(service, &repository, input, &output) {
            tracing::debug!(path = %path.display(), service = service.name(), "ends: {why}");
            // Where no packet could carry the reason, the client finds it as it would find a process's error output.
            stderr.push(why.as_bytes());
        }
    }
}

fn serve(
    service: Service,
    repository: &git2::Repository,
    input: Input,
    output: &Output,
) -> pipe::Result<()> {
    match service {
        Service::UploadPack => upload_pack::serve(repository, input, output),
        Service::ReceivePack => receive_pack::serve(repository, input, output),
    }
}

/// What the service sends; dropping it hangs up.
struct Answer {
    reader: ReadHalf<DuplexStream>,
    _end: End,
}

impl AsyncRead for Answer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

/// Ends a service.
struct End {
    hung_up: Option<DropGuard>,
    /// Disconnects when the service has ended; `None` for a service that leaves nothing behind.
    ended: Option<mpsc::Receiver<()>>,
}

impl Drop for End {
    fn drop(&mut self) {
        // In this order: the service waits for the client, and would do so until the timeout if it did not learn first
        // that the client is gone.
        drop(self.hung_up.take());
        if let Some(ended) = &self.ended {
            // Blocks, so that a push that was cut off leaves no quarantine even where this process ends right
            // afterwards. After a whole push the service has mostly ended already, and this returns at once.
            let _ = ended.recv_timeout(TIDYING);
        }
    }
}
