//! The local transport: a `git` process on a folder of this machine. The only use of a git binary.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::{Service, Stderr, Stream, idle};
use crate::error::{Error, Kind, Result};
use crate::git::transport::Limits;

/// Git's own list of variables that belong to one repository (`git rev-parse --local-env-vars`): of ours, not of the
/// one that is opened.
const REPOSITORY_VARIABLES: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Our secrets, which neither git nor the hooks of a repository have any business with.
const SECRET_VARIABLES: &[&str] = &[
    "CI_JOB_TOKEN",
    "FERRY_MIRROR_TOKEN",
    "FERRY_SMTP_PASSWORD",
    "FERRY_TRIGGER_TOKEN",
    "GITLAB_TRIGGER_TOKEN",
    "SSH_KEY_PASSPHRASE",
    "SSH_PRIVATE_KEY",
];

/// How long the end of the service's output waits for its last words: a hook's background process may hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A repository in a folder of this machine.
#[derive(Debug)]
pub struct LocalRemote {
    path: PathBuf,
    idle_timeout: Duration,
}

impl LocalRemote {
    /// Names the repository in the folder `path`.
    pub fn new(path: impl Into<PathBuf>, limits: &Limits) -> Self {
        Self {
            path: path.into(),
            idle_timeout: limits.idle_timeout,
        }
    }

    /// Starts a service; the next bytes read are its advertisement. `v2` asks for protocol version 2.
    ///
    /// The process is killed when the stream's reader is dropped.
    ///
    /// # Errors
    /// `config` where the folder or git is not there.
    pub async fn open(&self, service: Service, v2: bool) -> Result<Stream> {
        let path = self.folder().await?;
        tracing::debug!(path = %path.display(), service = service.name(), v2, "starting git");
        let mut child = command(&path, service, v2)
            .spawn()
            .map_err(|error| cannot_start(&path, service, error))?;
        let (Some(stdin), Some(stdout), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(cannot_start(
                &path,
                service,
                io::ErrorKind::BrokenPipe.into(),
            ));
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
        Ok(idle::stream(reader, stdin, stderr, self.idle_timeout))
    }

    async fn folder(&self) -> Result<PathBuf> {
        let unusable = |why: &str| {
            let path = self.path.display();
            Error::new(Kind::Config, format!("the repository {path} {why}"))
                .advise("Check the path; `git init --bare` makes an empty repository.")
        };
        match tokio::fs::metadata(&self.path).await {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(unusable("is not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(unusable("does not exist"));
            }
            Err(error) => return Err(unusable("cannot be looked at").because(error)),
        }
        // Absolute, so that a path that starts with a dash is no option to git.
        std::path::absolute(&self.path).map_err(|error| unusable("has no full path").because(error))
    }
}

fn command(path: &Path, service: Service, v2: bool) -> Command {
    let mut command = Command::new("git");
    command
        .arg(service.name().trim_start_matches("git-"))
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in REPOSITORY_VARIABLES.iter().chain(SECRET_VARIABLES) {
        command.env_remove(name);
    }
    if v2 {
        command.env("GIT_PROTOCOL", "version=2");
    } else {
        command.env_remove("GIT_PROTOCOL");
    }
    command
}

fn cannot_start(path: &Path, service: Service, error: io::Error) -> Error {
    let path = path.display();
    if error.kind() == io::ErrorKind::NotFound {
        let message = format!("cannot open {path}: the program git is not installed");
        return Error::new(Kind::Config, message)
            .advise("Install git, or reach the repository by ssh or https.");
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
    fn git_inherits_neither_our_secrets_nor_another_repository() {
        let command = command(Path::new("/srv/index.git"), Service::ReceivePack, true);
        let removed: Vec<_> = command
            .as_std()
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        for name in [
            "GIT_DIR",
            "GIT_INDEX_FILE",
            "SSH_PRIVATE_KEY",
            "FERRY_MIRROR_TOKEN",
        ] {
            assert!(removed.iter().any(|one| one == name), "{name}");
        }
    }

    #[test]
    fn a_missing_git_is_told_from_one_that_cannot_be_run() {
        let path = Path::new("/srv/index.git");
        let start = |kind: io::ErrorKind| cannot_start(path, Service::UploadPack, kind.into());
        let missing = start(io::ErrorKind::NotFound);
        assert_eq!(missing.kind(), Kind::Config);
        assert!(
            missing.to_string().ends_with("git is not installed"),
            "{missing}"
        );
        let forbidden = start(io::ErrorKind::PermissionDenied);
        assert_eq!(forbidden.causes(), ["permission denied"]);
    }
}
