//! What befalls an upstream's history besides new commits: squashes, their traces, side branches, force pushes.

use super::super::repo::{git, git_command};
use std::path::Path;

use super::{Commit, IndexLine, Upstream, bare, index_path};

impl Upstream {
    /// Makes the empty repository `name` in the folder `repos`.
    pub fn empty(repos: &Path, name: &str) -> Self {
        Self {
            path: bare(repos, name),
            seconds: 1_600_000_000,
        }
    }

    /// Fetches branches from another repository or a bundle.
    pub fn fetch(&mut self, from: &Path, branches: &[&str]) -> &mut Self {
        let from = from.to_str().unwrap();
        git(&self.path, &[&["fetch", "-q", from], branches].concat());
        self
    }

    /// Publishes a version of a crate; its file then holds that one alone.
    pub fn publish(&mut self, name: &str, version: &str) -> &mut Self {
        self.commit([Commit::publish(name, &[IndexLine::new(version)])]);
        self
    }

    /// Deletes a crate.
    pub fn delete(&mut self, name: &str) -> &mut Self {
        self.commit([Commit::new(format!("Delete crate `{name}`")).without(&index_path(name))]);
        self
    }

    /// Writes a file in a commit of its own.
    pub fn write(&mut self, path: &str, content: impl Into<Vec<u8>>) -> &mut Self {
        self.commit([Commit::new(format!("Write {path}")).file(path, content)]);
        self
    }

    /// Removes a file in a commit of its own.
    pub fn remove(&mut self, path: &str) -> &mut Self {
        self.commit([Commit::new(format!("Remove {path}")).without(path)]);
        self
    }

    /// Lists the branches that hold histories from before a squash.
    pub fn snapshots(&self) -> Vec<String> {
        let names = git(
            &self.path,
            &[
                "for-each-ref",
                "--format=%(refname)",
                "refs/heads/snapshot-*",
            ],
        );
        names.lines().map(ToOwned::to_owned).collect()
    }

    /// Removes the snapshot branches, and everything that they alone held.
    pub fn drop_snapshots_and_prune(&mut self) -> &mut Self {
        for name in self.snapshots() {
            git(&self.path, &["update-ref", "-d", &name]);
        }
        self.prune()
    }

    /// Removes what no branch holds.
    pub fn prune(&mut self) -> &mut Self {
        git(&self.path, &["repack", "-a", "-d", "-q"]);
        git(&self.path, &["prune", "--expire=now"]);
        self
    }

    /// Starts a branch of one commit at the tip, which stays where it is.
    pub fn fork(&mut self, branch: &str, commit: Commit) -> &mut Self {
        let tip = self.id("master");
        self.commit([commit]);
        git(&self.path, &["branch", branch, "master"]);
        self.move_to(&tip)
    }

    /// Starts a branch of one parentless commit, which has nothing to do with the index.
    pub fn fork_root(&mut self, branch: &str) -> &mut Self {
        let tip = self.id("master");
        self.start_over();
        git(&self.path, &["branch", branch, "master"]);
        self.move_to(&tip)
    }

    /// Lets this repository see another one's objects, as the forks of one project do on a host.
    pub fn share_objects_of(&mut self, other: &Path) -> &mut Self {
        let objects = format!("{}\n", other.join("objects").display());
        std::fs::write(self.path.join("objects/info/alternates"), objects).unwrap();
        self
    }

    /// Merges a branch, and removes it.
    pub fn merge_fork(&mut self, branch: &str) -> &mut Self {
        let tree = git(
            &self.path,
            &[
                "merge-tree",
                "--write-tree",
                "--allow-unrelated-histories",
                "master",
                branch,
            ],
        );
        let merge = self.commit_tree(
            &["-p", "master", "-p", branch, &tree],
            &format!("Merge branch '{branch}'"),
        );
        git(&self.path, &["branch", "-D", "-q", branch]);
        self.move_to(&merge)
    }

    /// Moves the branch to any commit, as a force push does.
    pub fn move_to(&mut self, id: &str) -> &mut Self {
        git(&self.path, &["update-ref", "refs/heads/master", id]);
        self
    }

    /// Moves the branch back by so many commits.
    pub fn rewind(&mut self, commits: usize) -> &mut Self {
        let id = self.id(&format!("master~{commits}"));
        self.move_to(&id)
    }

    /// Replaces the history by a parentless commit of the same tree, with a message of one's own.
    pub fn replace_with_root(&mut self, message: &str) -> &mut Self {
        let tree = self.id("master^{tree}");
        let root = self.commit_tree(&[&tree], message);
        self.move_to(&root)
    }

    /// Replaces the history by an orphan commit of one file, which has nothing to do with it.
    pub fn start_over(&mut self) -> &mut Self {
        git(&self.path, &["update-ref", "-d", "refs/heads/master"]);
        self.write("other/project", "nothing in common\n")
    }

    /// Returns what a revision stands for.
    pub fn id(&self, revision: &str) -> String {
        git(&self.path, &["rev-parse", "--verify", revision])
    }

    fn commit_tree(&mut self, arguments: &[&str], message: &str) -> String {
        self.seconds += 60;
        let date = format!("{} +0000", self.seconds);
        let output = git_command(&self.path)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date)
            .args(["commit-tree", "-m", message])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
