//! A mirror as its host has it: what people commit to it, and whether it is what it should be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ferry::empty_mirror;
use super::repo::{git, git_command};
use super::upstream::{Commit, Upstream, commit_to};

/// A bare repository that is pushed to; its branch is `master`.
///
/// Upstream's objects never come into it but by a push, so that what a push forgot is missed.
#[derive(Debug)]
pub struct Mirror {
    path: PathBuf,
}

impl Mirror {
    /// Makes an empty mirror, as strict as the hosts are; it is tidied up only when a test says so, not in the background.
    pub fn empty(repos: &Path, name: &str) -> Self {
        let path = empty_mirror(repos, name);
        git(&path, &["config", "receive.autogc", "false"]);
        Self { path }
    }

    /// Returns the repository's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets a value of the repository's configuration.
    pub fn configure(&self, key: &str, value: &str) -> &Self {
        git(&self.path, &["config", key, value]);
        self
    }

    /// Returns the branch's tip.
    pub fn tip(&self) -> String {
        self.id("master")
    }

    /// Returns what a revision stands for.
    pub fn id(&self, revision: &str) -> String {
        git(&self.path, &["rev-parse", "--verify", revision])
    }

    /// Returns the content of a file; none where it is not there.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let blob = format!("master:{path}");
        let output = git_command(&self.path)
            .args(["cat-file", "blob", &blob])
            .output()
            .unwrap();
        output.status.success().then_some(output.stdout)
    }

    /// Returns the message of a commit.
    pub fn message(&self, revision: &str) -> String {
        git(&self.path, &["log", "-1", "--format=%B", revision])
    }

    /// Returns the subjects of all commits that the branch leads to.
    pub fn subjects(&self) -> Vec<String> {
        let listed = git(&self.path, &["log", "--format=%s", "master"]);
        listed.lines().map(ToOwned::to_owned).collect()
    }

    /// Counts the parents of a commit.
    pub fn parents(&self, revision: &str) -> usize {
        let line = git(&self.path, &["rev-list", "--parents", "-1", revision]);
        line.split(' ').count() - 1
    }

    /// Counts all objects, needed or not.
    pub fn objects(&self) -> usize {
        let told = git(&self.path, &["count-objects", "-v"]);
        let number = |key: &str| -> usize {
            let line = told
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap();
            line.trim().parse().unwrap()
        };
        number("count:") + number("in-pack:")
    }

    /// Commits as a person does.
    pub fn commit(&mut self, commits: impl IntoIterator<Item = Commit>) -> &mut Self {
        commit_to(&self.path, commits);
        self
    }

    /// Writes a file in a person's commit.
    pub fn write(&mut self, path: &str, content: &str) -> &mut Self {
        self.commit([Commit::new(format!("Write {path}")).file(path, content)])
    }

    /// Undoes the last commit as `git revert -m 1` does, its message being copied.
    pub fn revert_tip(&mut self) -> &mut Self {
        let message = format!("Revert \"{}\"", self.message("master"));
        let revert = git(
            &self.path,
            &[
                "commit-tree",
                "-p",
                "master",
                "-m",
                &message,
                "master~^{tree}",
            ],
        );
        git(&self.path, &["update-ref", "refs/heads/master", &revert]);
        self
    }

    /// Merges a commit of upstream's as a person does: in a clone, which is then pushed.
    pub fn merge(&mut self, upstream: &Upstream, revision: &str) -> &mut Self {
        let desk = tempfile::tempdir().unwrap();
        let (here, there) = (
            self.path.to_str().unwrap(),
            upstream.path().to_str().unwrap(),
        );
        git(desk.path(), &["init", "-q", "--bare", "-b", "master"]);
        git(desk.path(), &["fetch", "-q", here, "master:master"]);
        git(desk.path(), &["fetch", "-q", there, &upstream.id(revision)]);
        let tree = git(
            desk.path(),
            &["merge-tree", "--write-tree", "master", "FETCH_HEAD"],
        );
        let parents = ["-p", "master", "-p", "FETCH_HEAD"];
        let message = ["-m", "Merge upstream by hand"];
        let commit = [&["commit-tree"][..], &parents, &message, &[&tree]].concat();
        let merge = git(desk.path(), &commit);
        git(
            desk.path(),
            &["push", "-q", here, &format!("{merge}:refs/heads/master")],
        );
        self
    }

    /// Pushes upstream's branch as it is, as a plain copy is made.
    pub fn copy_of(&mut self, upstream: &Upstream) -> &mut Self {
        let here = self.path.to_str().unwrap();
        git(upstream.path(), &["push", "-q", here, "master:master"]);
        self
    }

    /// Cleans up as the host does now and then.
    pub fn collect_garbage(&self) {
        git(&self.path, &["gc", "-q", "--prune=now"]);
    }

    /// Asserts that the mirror's files are upstream's but on the paths of the overlay, and that each of those differs.
    ///
    /// A path that ends in `/` stands for everything below it.
    pub fn assert_is_upstream_plus_overlay(&self, upstream: &Path, overlay: &[impl AsRef<str>]) {
        let overlay: Vec<&str> = overlay.iter().map(AsRef::as_ref).collect();
        let covers = |listed: &str, path: &str| {
            listed == path || listed.ends_with('/') && path.starts_with(listed)
        };
        let differing = differing(&files(&self.path), &files(upstream));
        for path in &differing {
            assert!(
                overlay.iter().any(|listed| covers(listed, path)),
                "{path} differs and is not in {overlay:?}"
            );
        }
        for listed in &overlay {
            assert!(
                differing.iter().any(|path| covers(listed, path)),
                "{listed} does not differ"
            );
        }
    }

    /// Asserts that the mirror holds all that its branch leads to, and nothing that is malformed.
    pub fn assert_fsck_clean(&self) {
        let said = git(
            &self.path,
            &[
                "fsck",
                "--full",
                "--strict",
                "--no-dangling",
                "--no-progress",
            ],
        );
        assert_eq!(said, "");
    }

    /// Asserts that the branch leads to a commit.
    pub fn assert_ancestor(&self, old: &str) {
        let output = git_command(&self.path)
            .args(["merge-base", "--is-ancestor", old, "master"])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{old} is no longer in the mirror's history"
        );
    }
}

/// Returns every file of the branch: its mode and id by its path.
fn files(repo: &Path) -> BTreeMap<String, String> {
    let listed = git(repo, &["ls-tree", "-r", "-z", "master"]);
    let entries = listed
        .split('\0')
        .filter_map(|entry| entry.split_once('\t'));
    entries
        .map(|(what, path)| (path.to_owned(), what.to_owned()))
        .collect()
}

fn differing(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> Vec<String> {
    let mut paths: Vec<String> = ours
        .iter()
        .filter(|(path, what)| theirs.get(*path) != Some(*what))
        .map(|(path, _)| path.clone())
        .collect();
    paths.extend(
        theirs
            .keys()
            .filter(|path| !ours.contains_key(*path))
            .cloned(),
    );
    paths
}
