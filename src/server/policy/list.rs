//! `list`: all versions that are on hold or denied, and the rules that were made by command.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use tokio::task::spawn_blocking;

use super::Applied;
use super::RuleRow;
use super::row::{Row, lines};
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::index::{CrateName, Published};
use crate::server::decisions::Decisions;
use crate::shown::one_line;

/// All versions that are on hold or denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// These, by crate and version.
    pub versions: Vec<Row>,
    /// The rules that were made by command and have not ended.
    pub commanded: Vec<RuleRow>,
}

/// Lists what is on hold or denied: reads all of the index.
///
/// # Errors
/// `config` if there is no policy; else if the index cannot be read.
pub async fn list(config: &ServeConfig) -> Result<Listing> {
    let applied = Applied::read(config).await?;
    let rules = applied.policy.by_command().rules();
    let commanded = rules.filter(|said| said.rule.stands_at(applied.now));
    let commanded = commanded.map(RuleRow::of).collect();
    let listing = spawn_blocking(move || read(&applied));
    let panicked =
        |error| Error::new(Kind::Server, "the thread that reads the index failed").because(error);
    let versions = listing.await.map_err(panicked)??;
    Ok(Listing {
        versions,
        commanded,
    })
}

fn read(applied: &Applied) -> Result<Vec<Row>> {
    let seen = Arc::clone(&applied.seen);
    let decisions = Decisions::of(&applied.policy, seen, &applied.snapshot, applied.now)?;
    let mut rows = Vec::new();
    for (name, file) in decisions.crates() {
        let Ok(name) = CrateName::new(name) else {
            continue;
        };
        // Once more for the few that are changed: what is decided keeps neither the spelling of names nor what is yanked.
        let content = applied.content(&name)?;
        let lines = content.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(Published::read);
        let lines: HashMap<_, _> = lines.map(|line| (line.version.to_string(), line)).collect();
        for (version, decided) in file.outcome.changed() {
            if let Some(line) = lines.get(version) {
                let row = Row::new(&line.name, version, decided, line.is_yanked);
                rows.push(row.advised(&file.outcome));
            }
        }
    }
    for name in applied.seen.with_withdrawals() {
        if let Ok(name) = CrateName::new(name) {
            let content = applied.content(&name)?;
            let gone = applied.gone(name.as_str(), &content).into_iter();
            rows.extend(
                gone.map(|(version, decided)| Row::new(name.as_str(), &version, &decided, false)),
            );
        }
    }
    Ok(rows)
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lines(&self.versions))?;
        for (place, rule) in self.commanded.iter().enumerate() {
            let separator = if place > 0 || !self.versions.is_empty() {
                "\n"
            } else {
                ""
            };
            write!(f, "{separator}policy {}", one_line(&rule.to_string()))?;
        }
        Ok(())
    }
}
