//! Runs `init` and `sync` of the library, in this process.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crates_ferry::config::{Config, Environment, Flags};
use crates_ferry::error::Result;
use crates_ferry::mirror::Context;
use crates_ferry::mirror::report::Report;
use crates_ferry::mirror::{init, sync};
use crates_ferry::progress::Progress;

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

    /// Runs `init`.
    pub fn init(&self) -> Result<Report> {
        self.run(async |config, around| init::run(config, around).await)
    }

    /// Runs `sync`.
    pub fn sync(&self) -> Result<Report> {
        self.sync_with(&sync::Options::default())
    }

    /// Runs `sync` with options.
    pub fn sync_with(&self, options: &sync::Options) -> Result<Report> {
        self.run(async |config, around| sync::run(config, options, around).await)
    }

    fn run(
        &self,
        command: impl AsyncFnOnce(&Config, Context<'_>) -> Result<Report>,
    ) -> Result<Report> {
        let environment = Environment::from_pairs(self.0.clone());
        let config = Config::load(&Flags::default(), &environment)?;
        let progress = Progress::default();
        let around = Context {
            clock,
            progress: &progress,
        };
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(command(&config, around))
    }
}

/// The time of all tests: a day in 2026, after every commit of a fixture.
fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_780_000_000)
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
