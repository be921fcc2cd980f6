//! What the program is told, and the mirror that it carries to.

use std::path::Path;

/// The program's configuration, as variables; nothing of the surrounding process counts.
#[derive(Debug, Clone, Default)]
pub struct Ferry(Vec<(String, String)>);

impl Ferry {
    /// Carries from one URL to the other; a failure is not tried again, so that no test pauses.
    pub fn new(upstream: impl Into<String>, mirror: impl Into<String>) -> Self {
        Self(Vec::new())
            .with("FERRY_UPSTREAM_URL", upstream)
            .with("FERRY_MIRROR_URL", mirror)
            .with("FERRY_MIRROR_DL", "https://crates.example/dl")
            .with("FERRY_MIRROR_API", "https://crates.example")
            .with("FERRY_NETWORK_RETRIES", "0")
    }

    /// Sets one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// Returns the variables, for a process.
    pub fn variables(&self) -> &[(String, String)] {
        &self.0
    }
}

/// Makes an empty bare repository that is as strict with pushes as the hosts are, and returns its path.
pub fn empty_mirror(repos: &Path, name: &str) -> std::path::PathBuf {
    let path = super::upstream::bare(repos, name);
    for (key, value) in [
        ("receive.fsckObjects", "true"),
        ("receive.denyNonFastForwards", "true"),
        ("receive.advertisePushOptions", "true"),
        ("http.receivepack", "true"),
    ] {
        super::repo::git(&path, &["config", key, value]);
    }
    path
}
