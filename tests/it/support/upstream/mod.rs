//! An upstream: a bare repository with the shape of the crates.io index, which grows commit by commit.

mod history;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use aws_lc_rs::digest::{SHA256, digest};

use super::repo::{git, git_command};

/// Makes an empty bare repository that serves what GitHub and GitLab serve, and returns its path.
pub fn bare(repos: &Path, name: &str) -> PathBuf {
    let path = repos.join(name);
    std::fs::create_dir_all(&path).unwrap();
    git(&path, &["init", "-q", "--bare", "-b", "master"]);
    git(&path, &["config", "uploadpack.allowFilter", "true"]);
    git(&path, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
    path
}

/// One commit to be made.
#[derive(Debug, Clone)]
pub struct Commit {
    subject: String,
    files: Vec<(String, Option<Vec<u8>>)>,
}

impl Commit {
    /// Begins a commit that changes nothing.
    pub fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            files: Vec::new(),
        }
    }

    /// Publishes versions of a crate: its file then holds these and no others.
    pub fn publish(name: &str, versions: &[IndexLine]) -> Self {
        let text: String = versions.iter().map(|line| line.text(name)).collect();
        Self::new(format!("Update crate `{name}`")).file(&index_path(name), text)
    }

    /// Writes a file.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), Some(content.into())));
        self
    }

    /// Removes a file.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.files.push((path.to_owned(), None));
        self
    }

    fn write(&self, seconds: i64, from: Option<&str>, out: &mut impl Write) {
        let (subject, length) = (&self.subject, self.subject.len());
        let head = format!(
            "commit refs/heads/master\ncommitter bors <bors@upstream.example> {seconds} +0000\n\
             data {length}\n{subject}\n"
        );
        out.write_all(head.as_bytes()).unwrap();
        if let Some(from) = from {
            writeln!(out, "from {from}").unwrap();
        }
        for (path, content) in &self.files {
            match content {
                None => writeln!(out, "D {path}").unwrap(),
                Some(content) => {
                    write!(out, "M 100644 inline {path}\ndata {}\n", content.len()).unwrap();
                    out.write_all(content).unwrap();
                    writeln!(out).unwrap();
                }
            }
        }
        writeln!(out).unwrap();
    }
}

/// One version of a crate, as a line of the index.
#[derive(Debug, Clone)]
pub struct IndexLine {
    version: String,
    deps: Vec<(String, String)>,
}

impl IndexLine {
    /// A version without dependencies.
    pub fn new(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            deps: Vec::new(),
        }
    }

    /// Adds a dependency.
    #[must_use]
    pub fn dep(mut self, name: &str, requirement: &str) -> Self {
        self.deps.push((name.to_owned(), requirement.to_owned()));
        self
    }

    /// Returns the line, as the file of the crate `name` holds it.
    pub fn text(&self, name: &str) -> String {
        let deps: Vec<serde_json::Value> = self
            .deps
            .iter()
            .map(|(name, req)| {
                serde_json::json!({
                    "name": name, "req": req, "features": [], "optional": false, "default_features": true,
                    "target": null, "kind": "normal"
                })
            })
            .collect();
        // As incompressible as a real one.
        let named = format!("{name} {}", self.version);
        let cksum = hex::encode(digest(&SHA256, named.as_bytes()));
        let line = serde_json::json!({
            "name": name, "vers": self.version, "deps": deps, "cksum": cksum,
            "features": {}, "yanked": false
        });
        format!("{line}\n")
    }
}

/// Returns where the index keeps a crate.
pub fn index_path(name: &str) -> String {
    match name.len() {
        1 => format!("1/{name}"),
        2 => format!("2/{name}"),
        3 => format!("3/{}/{name}", &name[..1]),
        _ => format!("{}/{}/{name}", &name[..2], &name[2..4]),
    }
}

/// The repository; its branch is `master`.
#[derive(Debug)]
pub struct Upstream {
    path: PathBuf,
    seconds: i64,
}

impl Upstream {
    /// Makes the repository `name` in the folder `repos`, with a first commit of `config.json`.
    pub fn create(repos: &Path, name: &str) -> Self {
        let mut upstream = Self {
            path: bare(repos, name),
            seconds: 1_600_000_000,
        };
        let config = r#"{"dl": "https://upstream.example/dl", "api": "https://upstream.example"}"#;
        upstream.commit([Commit::new("Initial commit").file("config.json", config)]);
        upstream
    }

    /// Goes on with a repository that is there already.
    pub fn open(repos: &Path, name: &str) -> Self {
        let path = repos.join(name);
        let last = git(&path, &["log", "-1", "--format=%ct", "master"]);
        Self {
            seconds: last.parse().unwrap(),
            path,
        }
    }

    /// Makes commits, a minute apart each.
    pub fn commit(&mut self, commits: impl IntoIterator<Item = Commit>) {
        self.seconds = import(&self.path, self.seconds, 60, commits);
    }

    /// Makes commits that are all of the same second as the last one.
    pub fn commit_at_once(&mut self, commits: impl IntoIterator<Item = Commit>) {
        self.seconds = import(&self.path, self.seconds, 0, commits);
    }

    /// Publishes as many new crates with random-looking content, in one commit each.
    pub fn publish_many(&mut self, prefix: &str, count: usize) {
        let commit = |number| {
            let version = format!("0.{number}.0");
            Commit::publish(&format!("{prefix}{number}"), &[IndexLine::new(&version)])
        };
        self.commit((0..count).map(commit));
    }

    /// Collapses the history as crates.io does: a parentless commit with the same tree whose message names the old head,
    /// which stays on a snapshot branch.
    pub fn squash(&mut self) {
        let head = self.tip().unwrap();
        let branch = format!("snapshot-2026-01-{:02}", self.snapshots().len() + 1);
        let message = format!(
            "Collapse index into one commit\n\nPrevious HEAD was {head}, now on the `{branch}` branch\n"
        );
        git(&self.path, &["branch", &branch, &head]);
        self.replace_with_root(&message);
    }

    /// Returns the tip of `master`; none before the first commit.
    pub fn tip(&self) -> Option<String> {
        tip(&self.path)
    }

    /// Returns the repository's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes commits on top of a repository's `master`, as a person would who pushes to a mirror.
pub fn commit_to(repo: &Path, commits: impl IntoIterator<Item = Commit>) {
    let last = git(repo, &["log", "-1", "--format=%ct", "--branches=master"]);
    import(repo, last.parse().unwrap_or(1_600_000_000), 60, commits);
}

/// Makes a person's commits that are all of the same second as the last one there.
pub fn commit_to_at_once(repo: &Path, commits: impl IntoIterator<Item = Commit>) {
    let last = git(repo, &["log", "-1", "--format=%ct", "master"]);
    import(repo, last.parse().unwrap(), 0, commits);
}

/// Makes commits so many seconds apart each, and returns the last one's time.
fn import(
    repo: &Path,
    mut seconds: i64,
    apart: i64,
    commits: impl IntoIterator<Item = Commit>,
) -> i64 {
    let mut import = git_command(repo)
        .args(["fast-import", "--quiet", "--force"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufWriter::new(import.stdin.take().unwrap());
    let mut from = tip(repo);
    for commit in commits {
        seconds += apart;
        commit.write(seconds, from.take().as_deref(), &mut out);
    }
    out.flush().unwrap();
    drop(out);
    assert!(import.wait().unwrap().success());
    seconds
}

fn tip(repo: &Path) -> Option<String> {
    let mut command = git_command(repo);
    let output = command
        .args(["rev-parse", "-q", "--verify", "master"])
        .output()
        .unwrap();
    let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    (!id.is_empty()).then_some(id)
}
