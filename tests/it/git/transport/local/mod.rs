//! The local transport: its services, held against the real git, which speaks with them through a port.

mod killed;
mod packs;
mod pushes;
mod repositories;
mod services;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::support::local_server::LocalServer;
use crate::support::repo::{git, git_command};
use tempfile::TempDir;

/// A history with all that a tree can hold, written by `git fast-import`.
struct History {
    script: Vec<u8>,
    state: u64,
    seconds: i64,
    mark: u32,
    /// The branches that are there already.
    branches: Vec<String>,
    /// Those to which this script has added.
    continued: Vec<String>,
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            script: Vec::new(),
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1,
            seconds: 1_600_000_000,
            mark: 0,
            branches: Vec::new(),
            continued: Vec::new(),
        }
    }

    fn number(&mut self, below: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % below
    }

    /// Appends commits on a branch, some of them merges of the branch `other`.
    fn commits(&mut self, branch: &str, other: Option<&str>, count: usize) {
        for _ in 0..count {
            self.mark += 1;
            self.seconds += self.number(100) as i64;
            let (mark, seconds) = (self.mark, self.seconds);
            self.line(&format!("commit refs/heads/{branch}\nmark :{mark}"));
            self.line(&format!("committer a <a@b.example> {seconds} +0000"));
            self.data(&format!("Change {mark}\n"));
            if !self.continued.iter().any(|one| one == branch) {
                self.continued.push(branch.to_owned());
                if self.branches.iter().any(|one| one == branch) {
                    self.line(&format!("from refs/heads/{branch}^0"));
                }
            }
            if let Some(other) = other.filter(|_| self.number(6) == 0) {
                let other = self.reference(other);
                self.line(&format!("merge {other}"));
            }
            for _ in 0..=self.number(3) {
                self.change();
            }
            self.line("");
        }
    }

    fn change(&mut self) {
        let path = match self.number(4) {
            0 => format!("f{}", self.number(5)),
            1 => format!("d{}/f{}", self.number(4), self.number(5)),
            2 => format!(
                "d{}/e{}/f{}",
                self.number(2),
                self.number(3),
                self.number(9)
            ),
            _ => format!("d.{}/f", self.number(3)),
        };
        match self.number(12) {
            0 => self.line(&format!("D {path}")),
            1 => {
                self.line(&format!("M 120000 inline {path}"));
                self.data("target");
            }
            2 => self.line(&format!("M 160000 {:040x} {path}", self.state)),
            3 => {
                // The same content again and again: objects that come back.
                let content = format!("state {}\n", self.number(3));
                self.line(&format!("M 100755 inline {path}"));
                self.data(&content);
            }
            _ => {
                let lines = 1 + self.number(40);
                let mut content = String::new();
                for line in 0..lines {
                    let shown = if self.number(20) == 0 {
                        self.number(1000)
                    } else {
                        line
                    };
                    content += &format!("line {line} of this file says {shown}\n");
                }
                self.line(&format!("M 100644 inline {path}"));
                self.data(&content);
            }
        }
    }

    /// Names a branch: as the script has made it, or as it is there.
    fn reference(&self, branch: &str) -> String {
        match self.continued.iter().any(|one| one == branch) {
            true => format!("refs/heads/{branch}"),
            false => format!("refs/heads/{branch}^0"),
        }
    }

    fn tag(&mut self, name: &str, of: &str) {
        let of = self.reference(of);
        self.line(&format!(
            "tag {name}\nfrom {of}\ntagger a <a@b.example> 1600000000 +0000"
        ));
        self.data("A tag\n");
    }

    fn line(&mut self, line: &str) {
        self.script.extend_from_slice(line.as_bytes());
        self.script.push(b'\n');
    }

    fn data(&mut self, content: &str) {
        self.line(&format!("data {}", content.len()));
        self.line(content);
    }

    fn import(&mut self, repo: &Path) {
        let mut import = git_command(repo)
            .args(["fast-import", "--quiet", "--force"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        import
            .stdin
            .take()
            .unwrap()
            .write_all(&self.script)
            .unwrap();
        assert!(import.wait().unwrap().success());
        self.script.clear();
        self.branches.append(&mut self.continued);
    }
}

/// A repository that is served, and a place for others beside it.
struct Stage {
    folder: TempDir,
    server: LocalServer,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = LocalServer::start(folder.path());
        let stage = Self { folder, server };
        stage.init("served.git");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn served(&self) -> PathBuf {
        self.path("served.git")
    }

    fn url(&self) -> String {
        format!("git://127.0.0.1:{}/served.git", self.server.port())
    }

    fn init(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        git(
            self.folder.path(),
            &["init", "-q", "--bare", "-b", "master", name],
        );
        path
    }

    fn clone(&self, name: &str, options: &[&str]) -> PathBuf {
        let path = self.path(name);
        let url = self.url();
        let arguments = [
            &["clone", "-q", "--bare"][..],
            options,
            &[&url, path.to_str().unwrap()],
        ]
        .concat();
        git(self.folder.path(), &arguments);
        path
    }

    fn try_push(&self, from: &Path, arguments: &[&str]) -> Output {
        let url = self.url();
        let mut push = git_command(from);
        push.arg("push")
            .args(&arguments[..arguments.len() - 1])
            .arg(&url);
        push.arg(arguments.last().unwrap()).output().unwrap()
    }

    /// Pushes where that must fail and leave nothing behind; returns what git says.
    fn refused_push(&self, from: &Path, arguments: &[&str]) -> String {
        let before = self.state();
        let output = self.try_push(from, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{said}");
        assert_eq!(self.state(), before, "{said}");
        said
    }

    /// Returns all files of the served repository that a push may change.
    fn state(&self) -> Vec<(PathBuf, u64)> {
        let mut folders = vec![self.served()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let entry = entry.unwrap();
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => files.push((entry.path(), entry.metadata().unwrap().len())),
                }
            }
        }
        files.retain(|(path, _)| !path.starts_with(self.served().join("hooks")));
        files.sort_unstable();
        files
    }

    fn hook(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.served().join("hooks").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

fn objects(repo: &Path, arguments: &[&str]) -> String {
    let listed = git(
        repo,
        &[
            &["rev-list", "--objects", "--no-object-names"][..],
            arguments,
        ]
        .concat(),
    );
    let mut ids: Vec<_> = listed.lines().collect();
    ids.sort_unstable();
    ids.join("\n")
}

fn fsck(repo: &Path) {
    git(
        repo,
        &[
            "fsck",
            "--full",
            "--strict",
            "--no-dangling",
            "--no-progress",
        ],
    );
}
