//! Packs against the real git: what it packs is read here, what is made here it indexes.

mod damage;
mod rewriter;
mod scanner;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::LazyLock;

use crate::support::repo::{git, git_command};
use crate::support::upstream::{Commit, bare, commit_to};
use tempfile::TempDir;

/// A repository whose objects make long chains of deltas, and some that do not.
fn repository() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let repo = bare(folder.path(), "some.git");
    let root = git(
        &repo,
        &["commit-tree", "-m", "root", &git(&repo, &["mktree"])],
    );
    git(&repo, &["update-ref", "refs/heads/master", &root]);
    let line = |number: u32| format!("line {number} of {}\n", number.wrapping_mul(2_654_435_761));
    let growing = |count| {
        let text: String = (0..count * 7).map(line).collect();
        Commit::new(format!("Grow to {count}"))
            .file("grows", text)
            .file(&format!("d/{}/new", count % 5), line(count))
    };
    commit_to(&repo, (0..60).map(growing));
    let large: Vec<u8> = (0..200_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    commit_to(
        &repo,
        [Commit::new("Large and empty")
            .file("large", large)
            .file("empty", "")],
    );
    git(&repo, &["tag", "-a", "-m", "a tag", "v1", "master"]);
    folder
}

/// Runs git with bytes on its input.
fn feed(repo: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = git_command(repo)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What git refuses it does not read to the end.
    child.stdin.take().unwrap().write_all(input).ok();
    child.wait_with_output().unwrap()
}

/// Packs all of a repository.
fn packed(repo: &Path, arguments: &[&str]) -> Vec<u8> {
    let all = [
        &["pack-objects", "--all", "--revs", "--stdout", "-q"],
        arguments,
    ]
    .concat();
    let output = feed(repo, &all, b"");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Lists what git says of all objects of a repository: kind and content by id.
fn contents(repo: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
    let output = feed(repo, &["cat-file", "--batch-all-objects", "--batch"], b"");
    let mut left = &output.stdout[..];
    let mut found = BTreeMap::new();
    while !left.is_empty() {
        let end = left.iter().position(|byte| *byte == b'\n').unwrap();
        let head = std::str::from_utf8(&left[..end]).unwrap();
        let words: Vec<&str> = head.split(' ').collect();
        let size: usize = words[2].parse().unwrap();
        let content = left[end + 1..][..size].to_vec();
        left = &left[end + 1 + size + 1..];
        found.insert(words[0].to_owned(), (words[1].to_owned(), content));
    }
    found
}

/// Returns a small pack.
fn small() -> &'static [u8] {
    static PACK: LazyLock<Vec<u8>> = LazyLock::new(make_small);
    &PACK
}

fn make_small() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let repo = bare(folder.path(), "small.git");
    let commits = ["one", "two"].map(|text| Commit::new(text).file("file", text));
    let root = git(
        &repo,
        &["commit-tree", "-m", "root", &git(&repo, &["mktree"])],
    );
    git(&repo, &["update-ref", "refs/heads/master", &root]);
    commit_to(&repo, commits);
    packed(&repo, &["--delta-base-offset"])
}
