//! Runs a repository's hooks, and passes on what they say (`githooks`).

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use git2::Repository;
use rustix::fs::Access;
use rustix::process::{Pid, Signal, kill_process_group};

use super::environment;
use super::pipe::{Failure, Output, Result};

/// How often a silent hook is checked for its end, and the client for being there.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait for the last output of a hook that has ended: its background processes may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a hook is told besides its arguments.
pub(super) struct Hooks<'a> {
    repository: &'a Repository,
    options: &'a [String],
    /// Where the hook's output goes; without a sideband it is dropped.
    output: &'a Output,
    has_sideband: bool,
}

/// Objects that are not yet the repository's.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a> {
    /// The quarantine.
    pub(super) folder: &'a Path,
    /// The repository's own objects.
    pub(super) objects: &'a Path,
}

impl<'a> Hooks<'a> {
    /// Prepares the hooks of a push with these push options.
    pub(super) fn new(
        repository: &'a Repository,
        options: &'a [String],
        output: &'a Output,
        has_sideband: bool,
    ) -> Self {
        Self {
            repository,
            options,
            output,
            has_sideband,
        }
    }

    /// Runs a hook, and says whether it agrees: a missing one does, one that cannot be run does not. While objects are in
    /// quarantine, a client that hangs up ends the hook, too.
    pub(super) fn run(
        &self,
        name: &str,
        arguments: &[&str],
        input: String,
        incoming: Option<Incoming<'_>>,
    ) -> Result<bool> {
        match self.try_run(name, arguments, input, incoming) {
            // As in git: the push goes on to its report, for other refs may move, or have moved.
            Err(Failure::Refused(why)) => {
                tracing::warn!("{why}");
                if self.has_sideband {
                    self.output.band(2, format!("error: {why}\n").as_bytes())?;
                }
                Ok(false)
            }
            ended => ended,
        }
    }

    fn try_run(
        &self,
        name: &str,
        arguments: &[&str],
        input: String,
        incoming: Option<Incoming<'_>>,
    ) -> Result<bool> {
        let Some(program) = self.find(name) else {
            return Ok(true);
        };
        let cannot_run =
            |error| Failure::because(format_args!("cannot run the hook {name}"), error);
        let (reader, writer) = io::pipe().map_err(cannot_run)?;
        let mut command = Command::new(program);
        environment::restrict(&mut command);
        command
            .args(arguments)
            .current_dir(self.repository.path())
            // The hooks of a push run in `$GIT_DIR`, which is exported (githooks).
            .env("GIT_DIR", ".")
            .envs(self.push_options())
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().map_err(cannot_run)?)
            .stderr(writer)
            // A group of its own, so that it can be killed with all that it started.
            .process_group(0);
        if let Some(incoming) = incoming {
            command.envs(quarantine(incoming));
        }
        let mut child = command.spawn().map_err(cannot_run)?;
        // `command` holds the pipe's writing end: the reader would never see its end.
        drop(command);
        if let Some(mut stdin) = child.stdin.take() {
            // On a thread, and its error ignored: a hook need not read its input, and a full pipe would block us.
            std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        }
        // Once the refs have moved, `post-receive` and its like run to their end, whoever hangs up.
        if let Err(gone) = self.relay(reader, &mut child, incoming.is_some()) {
            end(&mut child);
            return Err(gone);
        }
        let status = child.wait().map_err(cannot_run)?;
        tracing::debug!("the hook {name} ended with {status}");
        Ok(status.success())
    }

    /// Returns a hook's program, if there is one that can be run.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let configured = self
            .repository
            .config()
            .and_then(|config| config.get_path("core.hookspath"));
        let folder = match configured {
            // A relative one is relative to where the hook runs (git-config, `core.hooksPath`); `join` leaves an
            // absolute one as it is.
            Ok(folder) => self.repository.path().join(folder),
            Err(_) => self.repository.commondir().join("hooks"),
        };
        let program = std::path::absolute(folder.join(name)).ok()?;
        let is_there = program.is_file();
        let is_program = is_there && rustix::fs::access(&program, Access::EXEC_OK).is_ok();
        if is_there && !is_program {
            tracing::warn!(hook = %program.display(), "the hook was ignored: it is not executable");
        }
        is_program.then_some(program)
    }

    fn push_options(&self) -> Vec<(String, String)> {
        if self.options.is_empty() {
            return Vec::new();
        }
        let mut variables = vec![(
            "GIT_PUSH_OPTION_COUNT".to_owned(),
            self.options.len().to_string(),
        )];
        for (number, option) in self.options.iter().enumerate() {
            variables.push((format!("GIT_PUSH_OPTION_{number}"), option.clone()));
        }
        variables
    }

    /// Passes on a hook's output until the hook has ended; fails if the client is gone and the hook `may_end` with it.
    fn relay(&self, mut reader: io::PipeReader, child: &mut Child, may_end: bool) -> Result<()> {
        let (words, said) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                if words.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut ended: Option<Instant> = None;
        let mut is_heard = self.has_sideband;
        loop {
            let sent = match said.recv_timeout(LOOK) {
                Ok(words) if is_heard => self.output.band(2, &words),
                Ok(_) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    if ended.is_none() && matches!(child.try_wait(), Ok(Some(_))) {
                        ended = Some(Instant::now());
                    }
                    if ended.is_some_and(|since| since.elapsed() > LAST_WORDS) {
                        return Ok(());
                    }
                    match is_heard {
                        true => self.output.keep_alive(),
                        // Without a sideband no keepalive can be sent, but a hook in quarantine must still not outlive
                        // its client.
                        false => self.output.check(),
                    }
                }
            };
            if let Err(gone) = sent {
                if may_end {
                    return Err(gone);
                }
                // Its output is still read: a pipe without a reader would end it.
                is_heard = false;
            }
        }
    }
}

fn quarantine(incoming: Incoming<'_>) -> [(&'static str, OsString); 3] {
    let Incoming { folder, objects } = incoming;
    [
        // With this variable git refuses to move refs, which a hook must not do while the objects may still be dropped.
        ("GIT_QUARANTINE_PATH", folder.into()),
        ("GIT_OBJECT_DIRECTORY", folder.into()),
        ("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(objects)),
    ]
}

/// Quotes a path for a list that colons separate, if it has one itself (`git`, "ENVIRONMENT VARIABLES").
fn quoted(path: &Path) -> OsString {
    match path.to_str() {
        Some(text) if text.contains(':') || text.starts_with('"') => {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            format!("\"{escaped}\"").into()
        }
        _ => path.into(),
    }
}

fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // Fails if it has ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_colon_is_one_path() {
        assert_eq!(quoted(Path::new("/srv/a")), "/srv/a");
        assert_eq!(quoted(Path::new("/srv/a:b\"c")), "\"/srv/a:b\\\"c\"");
    }
}
