//! Hands a repository that libgit2 cannot read to the git program.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::{environment, idle};
use crate::error::{Error, Kind, Result};
use crate::transport::{Service, Stderr, Stream};

/// How long the end of the output waits for that of the error output, which a hook's background process may hold open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Starts a service of the git program; `why` says what it is needed for.
///
/// The process is killed when the stream's reader is dropped.
///
/// # Errors
/// `config` where there is no git program.
pub(super) fn open(
    path: &Path,
    service: Service,
    idle_timeout: Duration,
    why: &str,
) -> Result<Stream> {
    tracing::debug!(path = %path.display(), service = service.name(), "starting git: the repository {why}");
    let mut child = command(path, service)
        .spawn()
        .map_err(|error| cannot_start(path, service, why, error))?;
    let (Some(stdin), Some(stdout), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        let broken = io::ErrorKind::BrokenPipe.into();
        return Err(cannot_start(path, service, why, broken));
    };
    let stderr = Stderr::default();
    let collected = tokio::spawn(collect(errors, stderr.clone()));
    let reader = Output {
        stdout,
        last_words: Some(Box::pin(async move {
            // Whatever became of the collecting task, what it collected is in `stderr`.
            let _ = timeout(LAST_WORDS, collected).await;
        })),
        _child: child,
    };
    Ok(idle::stream(reader, stdin, stderr, idle_timeout))
}

fn command(path: &Path, service: Service) -> Command {
    let mut command = std::process::Command::new("git");
    environment::restrict(&mut command);
    if service == Service::UploadPack {
        command.env("GIT_PROTOCOL", "version=2");
    }
    let mut command = Command::from(command);
    command
        .arg(service.name().trim_start_matches("git-"))
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn cannot_start(path: &Path, service: Service, why: &str, error: io::Error) -> Error {
    let path = path.display();
    // The folder is there, as `LocalRemote::open` has seen, so it is the program that was not found.
    if error.kind() == io::ErrorKind::NotFound {
        let message = format!(
            "cannot open {path}: it {why}, and the program git, which could, is not installed"
        );
        return Error::new(Kind::Config, message).advise(
            "Install git, reach the repository by ssh or https, or make it a plain one with `git clone --bare`.",
        );
    }
    let message = format!("cannot start {} on {path}", service.name());
    Error::new(Kind::Config, message).because(error)
}

async fn collect(mut errors: ChildStderr, stderr: Stderr) {
    let mut buffer = [0; 1024];
    while let Ok(n @ 1..) = errors.read(&mut buffer).await {
        stderr.push(&buffer[..n]);
    }
}

/// The service's output; its end comes after the service's last words, so that these can explain it.
struct Output {
    stdout: ChildStdout,
    last_words: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _child: Child,
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stdout).poll_read(cx, buf))?;
        if buf.filled().len() == before
            && buf.remaining() > 0
            && let Some(last_words) = &mut self.last_words
        {
            ready!(last_words.as_mut().poll(cx));
            self.last_words = None;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_git_is_told_from_one_that_cannot_be_run() {
        let path = Path::new("/srv/index.git");
        let why = "keeps its refs in a reftable, which libgit2 cannot read";
        let start = |kind: io::ErrorKind| cannot_start(path, Service::UploadPack, why, kind.into());
        let missing = start(io::ErrorKind::NotFound);
        assert_eq!(missing.kind(), Kind::Config);
        let said = missing.to_string();
        assert!(
            said.contains("reftable") && said.ends_with("is not installed"),
            "{said}"
        );
        let forbidden = start(io::ErrorKind::PermissionDenied);
        assert_eq!(forbidden.causes(), ["permission denied"]);
    }
}
