//! Fetches single files, and looks at the end which are there.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::sleep;
use tracing::info;

use super::retry_policy::{Failures, RetryPolicy};
use crate::error::Result;
use crate::index::CrateFile;
use crate::server::crate_files::{CrateFiles, Unavailable};

/// What is done for each file.
pub(super) struct Fetch {
    pub(super) files: Arc<CrateFiles>,
    pub(super) retry_policy: RetryPolicy,
    pub(super) pin: bool,
    /// Reads what is kept, instead of believing the catalog.
    pub(super) verify: bool,
}

/// What a file's fetch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Fetched,
    Held,
    Missing(String),
}

impl Fetch {
    /// Sees to it that a file is kept. It is pinned before: nobody can evict it in between.
    pub(super) async fn one(&self, file: &CrateFile) -> Result<End> {
        if !self.pin {
            return Ok(self.keep(file).await);
        }
        let was_pinned = self.files.inventory().pin(file).await?;
        let end = self.keep(file).await;
        if matches!(end, End::Missing(_)) && !was_pinned {
            self.files.inventory().unpin(file).await?;
        }
        Ok(end)
    }

    async fn keep(&self, file: &CrateFile) -> End {
        if !self.verify {
            match self.files.inventory().is_stored(file).await {
                Ok(true) => return End::Held,
                Ok(false) => {}
                Err(error) => return End::Missing(format!("the store cannot be read: {error}")),
            }
        }
        match self.patiently(file).await {
            Ok(true) => End::Fetched,
            Ok(false) => End::Held,
            Err(why) => End::Missing(why.to_string()),
        }
    }

    /// Keeps a file, and tries again where the failure may pass; says whether it had to be fetched.
    async fn patiently(&self, file: &CrateFile) -> Result<bool, Unavailable> {
        let mut failures = Failures::default();
        loop {
            let why = match self.files.ensure_stored(file).await {
                Ok(is_fetched) => {
                    self.retry_policy.renew();
                    return Ok(is_fetched);
                }
                Err(why) => why,
            };
            let Some(wait) = self.retry_policy.wait(&why, &mut failures) else {
                return Err(why);
            };
            info!("{file}: {why}; tried again in {} s", wait.as_secs());
            sleep(wait).await;
        }
    }

    /// Looks again at what was kept: what is not there now is missing.
    pub(super) async fn look_again(&self, ends: &mut [(CrateFile, End)]) -> Result<()> {
        let kept = ends
            .iter()
            .filter(|(_, end)| !matches!(end, End::Missing(_)));
        let kept = kept.map(|(file, _)| file.clone()).collect();
        let gone = self.files.inventory().absent(kept).await?;
        let gone: HashSet<String> = gone.iter().map(CrateFile::path).collect();
        for (file, end) in ends {
            if gone.contains(&file.path()) {
                *end = End::Missing(
                    "it was kept, and is gone again; --pin keeps a file from eviction".to_owned(),
                );
            }
        }
        Ok(())
    }
}
