//! Runs the image as little trusted as it may be, with docker's own client.

use std::process::{Command, Output, Stdio};

use crate::support::ferry::Ferry;
use crate::support::skip::skip;

/// What a container is given: no disk, no rights, little memory.
pub(crate) const RESTRICTED: [&str; 7] = [
    "--read-only",
    "--cap-drop",
    "ALL",
    "--user",
    "10001",
    "--memory",
    "64m",
];

/// The image that is tried, and the one that it was made from.
pub(crate) struct Image {
    /// Its name.
    pub(crate) name: String,
    /// Its base's name.
    pub(crate) base: String,
}

impl Image {
    /// Returns what `ci/check-image` has built, or says that the test is skipped.
    pub(crate) fn built() -> Option<Self> {
        let variable = |name| {
            let value = std::env::var(name).ok();
            if value.is_none() {
                skip(&format!(
                    "{name} is not set; ci/check-image builds the image and sets it"
                ));
            }
            value
        };
        Some(Self {
            name: variable("FERRY_IMAGE")?,
            base: variable("FERRY_BASE_IMAGE")?,
        })
    }

    /// Runs the program under the restrictions until it ends.
    pub(crate) fn ferry(&self, ferry: &Ferry, arguments: &[&str]) -> Output {
        self.run(&RESTRICTED, ferry, arguments)
    }

    /// Runs the image with docker's options until it ends.
    pub(crate) fn run(&self, options: &[&str], ferry: &Ferry, arguments: &[&str]) -> Output {
        let mut command = self.command(&["run", "--rm"], options, ferry, arguments);
        command.output().unwrap()
    }

    /// Runs a command of a shell instead of the program, and returns what it prints.
    pub(crate) fn shell(&self, options: &[&str], script: &str) -> String {
        let options = [options, &["--entrypoint", ""]].concat();
        let output = self.run(&options, &Ferry::default(), &["sh", "-c", script]);
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    }

    /// Starts the program and returns while it runs.
    pub(crate) fn start(&self, options: &[&str], ferry: &Ferry, arguments: &[&str]) -> Container {
        let mut command = self.command(&["run", "--detach"], options, ferry, arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Container {
            id: text(&output.stdout),
        }
    }

    /// Values are given by the client's own environment, so that no secret is on a command line.
    fn command(&self, run: &[&str], options: &[&str], ferry: &Ferry, rest: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(run).args(["--network", "host"]).args(options);
        for (name, value) in ferry.variables() {
            command.env(name, value).args(["--env", name]);
        }
        command.arg(&self.name).args(rest).stdin(Stdio::null());
        command
    }
}

/// A container; it is ended and removed with the value.
pub(crate) struct Container {
    id: String,
}

impl Container {
    /// Asks it to end as `docker stop` does, which kills it after ten seconds.
    pub(crate) fn stop(&self) {
        docker(&["stop", &self.id]);
    }

    /// Waits until it has ended and returns the exit code.
    pub(crate) fn wait(&self) -> i32 {
        docker(&["wait", &self.id]).parse().unwrap()
    }

    /// Lists what it changed in its files.
    pub(crate) fn changes(&self) -> String {
        docker(&["diff", &self.id])
    }

    /// Returns what it wrote to stderr and stdout.
    pub(crate) fn log(&self) -> String {
        let output = Command::new("docker").args(["logs", &self.id]).output();
        let output = output.unwrap();
        text(&output.stderr) + &text(&output.stdout)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "--force", &self.id])
            .output();
    }
}

/// Runs docker and returns what it prints.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout)
}

/// Returns a stream's text without the last line break.
pub(crate) fn text(stream: &[u8]) -> String {
    String::from_utf8_lossy(stream).trim_end().to_owned()
}
