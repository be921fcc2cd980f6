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

/// How often a hook that says nothing is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long the words of a hook are waited for that has ended: a process that it left behind may hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a hook is told besides its arguments.
pub(super) struct Hooks<'a> {
    repository: &'a Repository,
    options: &'a [String],
    /// Where what it says goes; nowhere without a sideband.
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

    /// Runs a hook; one that is not there agrees. With objects that are still in quarantine it ends when the client does.
    pub(super) fn run(
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
            .env("GIT_DIR", ".")
            .envs(self.push_options())
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().map_err(cannot_run)?)
            .stderr(writer)
            // So that it can be ended with what it started.
            .process_group(0);
        if let Some(incoming) = incoming {
            command.envs(quarantine(incoming));
        }
        let mut child = command.spawn().map_err(cannot_run)?;
        // It holds the pipe's other end.
        drop(command);
        if let Some(mut stdin) = child.stdin.take() {
            // A hook need not read what it is told.
            std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        }
        let relayed = self.relay(reader, &mut child, incoming.is_some());
        if relayed.is_err() && incoming.is_some() {
            end(&mut child);
        }
        relayed?;
        let status = child.wait().map_err(cannot_run)?;
        tracing::debug!("the hook {name} ended with {status}");
        Ok(status.success())
    }

    /// Returns a hook's program; none where there is none that can be run.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let configured = self
            .repository
            .config()
            .and_then(|config| config.get_path("core.hookspath"));
        let folder = match configured {
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

    /// Passes on what a hook says until it has ended.
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
        loop {
            match said.recv_timeout(LOOK) {
                Ok(words) if self.has_sideband => self.output.band(2, &words)?,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    if self.has_sideband {
                        self.output.keep_alive()?;
                    } else if may_end {
                        self.output.check()?;
                    }
                    if ended.is_none() && matches!(child.try_wait(), Ok(Some(_))) {
                        ended = Some(Instant::now());
                    }
                    if ended.is_some_and(|since| since.elapsed() > LAST_WORDS) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn quarantine(incoming: Incoming<'_>) -> [(&'static str, OsString); 3] {
    let Incoming { folder, objects } = incoming;
    [
        ("GIT_QUARANTINE_PATH", folder.into()),
        ("GIT_OBJECT_DIRECTORY", folder.into()),
        ("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(objects)),
    ]
}

/// The variable is a list with colons between; a path with one stands in quotes (`git`, "ENVIRONMENT VARIABLES").
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
        // It may have ended by itself.
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
