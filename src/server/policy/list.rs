//! `list`: all versions that are on hold or denied.

use std::fmt;

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::Applied;
use super::row::{Row, lines};
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::server::decisions::Decisions;

/// All versions that are on hold or denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// These, by crate and version.
    pub versions: Vec<Row>,
}

/// Lists what is on hold or denied: reads all of the index.
///
/// # Errors
/// `config` if there is no policy; else if the index cannot be read.
pub async fn list(config: &ServeConfig) -> Result<Listing> {
    let applied = Applied::read(config).await?;
    let deciding = spawn_blocking(move || {
        Decisions::of(
            &applied.policy,
            applied.seen,
            &applied.snapshot,
            applied.now,
        )
    });
    let panicked =
        |error| Error::new(Kind::Server, "the thread that reads the index failed").because(error);
    let decisions = deciding.await.map_err(panicked)??;
    let mut versions = Vec::new();
    for (name, decided) in decisions.crates() {
        let changed = decided.outcome.changed();
        versions.extend(changed.map(|(version, decided)| Row::new(name, version, decided)));
    }
    Ok(Listing { versions })
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lines(&self.versions))
    }
}
