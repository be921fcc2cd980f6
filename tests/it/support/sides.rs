//! An upstream, an empty mirror, and the git daemon before both.

use std::path::Path;

use tempfile::TempDir;

use super::daemon::GitDaemon;
use super::ferry::Ferry;
use super::mirror::Mirror;
use super::upstream::Upstream;

/// Both repositories; the mirror is empty until `init`.
pub struct World {
    /// What is carried.
    pub upstream: Upstream,
    /// Where to.
    pub mirror: Mirror,
    /// What the program is told.
    pub ferry: Ferry,
    /// The daemon of both.
    pub daemon: GitDaemon,
    folder: TempDir,
}

impl World {
    /// Makes an upstream of a config.json and an empty mirror.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::create(folder.path(), "upstream.git");
        Self::around(folder, upstream)
    }

    /// Makes an empty mirror of the upstream `upstream.git` in this folder.
    pub fn around(folder: TempDir, upstream: Upstream) -> Self {
        let daemon = GitDaemon::start(folder.path());
        let url = |name: &str| format!("git://127.0.0.1:{}/{name}", daemon.port());
        Self {
            upstream,
            mirror: Mirror::empty(folder.path(), "mirror.git"),
            ferry: Ferry::new(url("upstream.git"), url("mirror.git")),
            daemon,
            folder,
        }
    }

    /// Sets one more variable.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.ferry = self.ferry.clone().with(name, value);
        self
    }

    /// Returns the folder in which both repositories lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
