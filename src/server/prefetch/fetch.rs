//! Fetches single files, and checks at the end that they are still stored.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::sleep;
use tracing::info;

use super::retry_policy::{Failures, RetryPolicy};
use crate::error::Result;
use crate::index::CrateFile;
use crate::server::crate_files::{CrateFiles, Unavailable};

/// How each file is fetched.
pub(super) struct Fetch {
    pub(super) files: Arc<CrateFiles>,
    pub(super) retry_policy: RetryPolicy,
    pub(super) pin: bool,
    /// Reads and hashes stored files, instead of trusting the catalog.
    pub(super) verify: bool,
}

/// The outcome for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// It was fetched.
    Fetched,
    /// It was stored before.
    Stored,
    /// It is not stored, and why.
    Missing(String),
}

impl Fetch {
    /// Fetches a file unless it is stored. A pin comes first, so that the file is not evicted in between.
    pub(super) async fn one(&self, file: &CrateFile) -> Result<End> {
        if !self.pin {
            return Ok(self.ensure_stored(file).await);
        }
        let was_pinned = self.files.inventory().pin(file).await?;
        let end = self.ensure_stored(file).await;
        // A pin from before is not ours to remove.
        if matches!(end, End::Missing(_)) && !was_pinned {
            self.files.inventory().unpin(file).await?;
        }
        Ok(end)
    }

    async fn ensure_stored(&self, file: &CrateFile) -> End {
        if !self.verify {
            match self.files.inventory().is_stored(file).await {
                Ok(true) => return End::Stored,
                Ok(false) => {}
                Err(error) => return End::Missing(format!("cannot read the store: {error}")),
            }
        }
        match self.retry(file).await {
            Ok(true) => End::Fetched,
            Ok(false) => End::Stored,
            Err(why) => End::Missing(why.last_word()),
        }
    }

    /// Fetches a file unless it is stored, and retries; says whether it was fetched.
    async fn retry(&self, file: &CrateFile) -> Result<bool, Unavailable> {
        let mut failures = Failures::default();
        loop {
            let why = match self.files.ensure_stored(file).await {
                Ok(is_fetched) => {
                    self.retry_policy.succeeded();
                    return Ok(is_fetched);
                }
                Err(why) => why,
            };
            let Some(wait) = self.retry_policy.wait(&why, &mut failures) else {
                return Err(why);
            };
            // Why was logged where it failed.
            info!("{file}: retrying in {} s", wait.as_secs());
            sleep(wait).await;
        }
    }

    /// Reports stored files that are gone again as missing: a server that runs meanwhile may have evicted them.
    pub(super) async fn check_again(&self, ends: &mut [(CrateFile, End)]) -> Result<()> {
        let stored = ends
            .iter()
            .filter(|(_, end)| !matches!(end, End::Missing(_)));
        let stored = stored.map(|(file, _)| file.clone()).collect();
        let gone = self.files.inventory().absent(stored).await?;
        let gone: HashSet<String> = gone.iter().map(CrateFile::path).collect();
        for (file, end) in ends {
            if gone.contains(&file.path()) {
                *end = End::Missing(
                    "it was evicted again; --pin protects a file from eviction".to_owned(),
                );
            }
        }
        Ok(())
    }
}
