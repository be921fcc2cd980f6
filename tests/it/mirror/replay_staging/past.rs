//! The bundle taken apart: what was upstream's history, in which order, and what can be proven of its squashes.

use std::path::{Path, PathBuf};

use crate::support::repo::git;
use crate::support::upstream::bare;

/// One history, from its root to what the next root replaced.
pub(crate) struct Era {
    pub(crate) commits: Vec<String>,
    /// Where crates.io keeps it after the next squash.
    pub(crate) snapshot: String,
}

/// All of the service's history.
pub(crate) struct Past {
    pub(crate) source: PathBuf,
    pub(crate) eras: Vec<Era>,
}

impl Past {
    /// Takes the bundle apart. Two of its snapshot branches are one history.
    pub(crate) fn unpack(bundle: &Path, folder: &Path) -> Self {
        let source = bare(folder, "source.git");
        git(
            &source,
            &[
                "fetch",
                "-q",
                bundle.to_str().unwrap(),
                "refs/heads/*:refs/heads/*",
            ],
        );
        let listed = git(
            &source,
            &[
                "for-each-ref",
                "--format=%(refname)",
                "refs/heads/snapshot-*",
            ],
        );
        let mut eras: Vec<Era> = Vec::new();
        for branch in listed.lines().chain(["refs/heads/master"]) {
            let commits = git(
                &source,
                &["rev-list", "--reverse", "--first-parent", branch],
            );
            let commits: Vec<String> = commits.lines().map(ToOwned::to_owned).collect();
            if eras.last().is_none_or(|era| era.commits != commits) {
                let snapshot = branch.to_owned();
                eras.push(Era { commits, snapshot });
            }
        }
        assert_eq!(eras.len(), 9);
        Self { source, eras }
    }

    /// Lists all commits in the order in which they were upstream's tip, each with the number of its era.
    pub(crate) fn moments(&self) -> Vec<(usize, &str)> {
        let eras = self.eras.iter().enumerate();
        eras.flat_map(|(number, era)| era.commits.iter().map(move |id| (number, id.as_str())))
            .collect()
    }

    fn tree(&self, commit: &str) -> String {
        git(&self.source, &["rev-parse", &format!("{commit}^{{tree}}")])
    }

    /// Says whether it can be shown that the squashes between two moments changed nothing but the history: each new root
    /// has the tree of the head before it, and upstream shows the way from there.
    pub(crate) fn is_provable(&self, base: (usize, &str), era: usize, is_hidden: bool) -> bool {
        let held = self.tree(base.1);
        for number in (base.0 + 1..=era).rev() {
            let root = self.tree(&self.eras[number].commits[0]);
            if root == held {
                return true;
            }
            let head = self.eras[number - 1].commits.last().unwrap();
            if is_hidden || self.tree(head) != root {
                return false;
            }
        }
        true
    }
}
