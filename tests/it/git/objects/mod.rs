//! Commits and trees against the real git: what it writes is read here, what is made here it holds sound.

mod commits;
mod trees;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::repo::git_command;
use crate::support::upstream::bare;
use tempfile::TempDir;

fn repository() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let repo = bare(folder.path(), "some.git");
    (folder, repo)
}

/// Runs git with bytes on its input, and returns the bytes of its output.
fn feed(repo: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = git_command(repo)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

fn line(output: Vec<u8>) -> String {
    String::from_utf8(output).unwrap().trim().to_owned()
}

/// Lets git write an object as it is, and returns its id.
fn write(repo: &Path, kind: &str, content: &[u8]) -> String {
    line(feed(
        repo,
        &["hash-object", "-t", kind, "-w", "--stdin"],
        content,
    ))
}

fn read(repo: &Path, kind: &str, id: &str) -> Vec<u8> {
    feed(repo, &["cat-file", kind, id], b"")
}
