//! Failures reach a person: through a real mail server, once, with all that helps and without any secret.

mod checking;
mod content;
mod flood;
mod obstacles;
mod secrecy;

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::support::exim::{Exim, Options};
use crate::support::scene::{Scene, Transport};
use mail_parser::{Message, MessageParser};
use serde_json::Value;

/// What GitLab says when a branch is protected.
const PROTECTED: &str =
    "GitLab: You are not allowed to push code to protected branches on this project.";

/// A mirror that is behind, and a mail server.
struct Post {
    scene: Scene,
    exim: Exim,
}

impl Post {
    /// None where the machine lacks the mail server.
    fn new() -> Option<Self> {
        Some(Self {
            exim: Exim::start(&Options::default())?,
            scene: Scene::over(Transport::Git, "merge")?,
        })
    }

    /// Makes the mirror refuse every push with these words.
    fn refuse(&self, words: &str) {
        let hook = self.hook();
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        std::fs::write(
            &hook,
            format!("#!/bin/sh\ncat >&2 <<'END'\n{words}\nEND\nexit 1\n"),
        )
        .unwrap();
        std::fs::set_permissions(&hook, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Makes the mirror take pushes again.
    fn accept(&self) {
        std::fs::remove_file(self.hook()).unwrap();
    }

    fn hook(&self) -> std::path::PathBuf {
        self.scene.mirror_path().join("hooks/pre-receive")
    }

    /// Runs the program with mail configured and these variables on top.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("crates-ferry"));
        command.current_dir(self.scene.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.envs(self.scene.ferry().variables().iter().cloned());
        command.envs(self.exim.variables());
        command.envs(variables.iter().copied());
        let output = command.args(arguments).output().unwrap();
        self.scene.upstream.settle();
        self.scene.mirror.settle();
        output
    }

    /// Runs `sync`; returns the exit code and the object on stdout.
    fn sync(&self, variables: &[(&str, &str)]) -> (i32, Value) {
        let output = self.run(&["--format", "json", "sync"], variables);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let object = serde_json::from_str(&stdout).expect("stdout is exactly one object");
        (output.status.code().unwrap(), object)
    }
}

/// A mail as its reader sees it.
struct Mail {
    subject: String,
    text: String,
    html: String,
    raw: String,
}

impl Mail {
    fn parse(raw: &str) -> Self {
        let parsed: Message = MessageParser::default().parse(raw).unwrap();
        Self {
            subject: parsed.subject().unwrap().to_owned(),
            text: parsed.body_text(0).unwrap().replace("\r\n", "\n"),
            html: parsed.body_html(0).unwrap().into_owned(),
            raw: raw.to_owned(),
        }
    }

    /// Returns the value of a header that is there once.
    fn header(&self, name: &str) -> String {
        let parsed: Message = MessageParser::default().parse(&self.raw).unwrap();
        let values: Vec<&str> = parsed
            .headers_raw()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect();
        let [value] = values[..] else {
            panic!("{name} is there {} times: {}", values.len(), self.raw);
        };
        value.to_owned()
    }
}

/// Returns all mails that arrived so far, of which there must be so many.
fn mails(exim: &Exim, count: usize) -> Vec<Mail> {
    let raw = exim.messages(count);
    assert_eq!(raw.len(), count, "{raw:#?}");
    raw.iter().map(|raw| Mail::parse(raw)).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
