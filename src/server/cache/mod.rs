//! `cache`: shows and changes by hand what crate files are kept.

mod list;
mod removal;
mod verify;

use std::sync::Arc;

use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::index::{CrateSpec, stored_at};
use crate::progress::Progress;
use crate::server::catalog::{CatalogEntry, Limits};
use crate::server::crate_files::CrateFiles;
pub use list::{Listing, Statistics};
pub use removal::{Failed, Pinning, Removal};
pub use verify::Verification;

/// What to evict.
#[derive(Debug, Clone, Default)]
pub struct Eviction {
    /// These crates or versions; without any, what the limits say.
    pub crates: Vec<CrateSpec>,
    /// Limits in place of the configured ones.
    pub limits: Limits,
    /// Only shows what would go.
    pub dry_run: bool,
}

/// Lists the kept files.
///
/// # Errors
/// As the store and its catalog can be read.
pub async fn ls(config: &ServeConfig, crates: &[CrateSpec]) -> Result<Listing> {
    let files = CrateFiles::read_only(config).await?;
    let (mut entries, mut pinned_missing) =
        (files.inventory().entries().await?, pinned_missing(&files)?);
    entries.retain(|entry| is_meant(entry, crates));
    pinned_missing.retain(|entry| is_meant(entry, crates));
    Ok(Listing::new(&entries, &pinned_missing))
}

/// Adds up the kept files.
///
/// # Errors
/// As [`ls`].
pub async fn stat(config: &ServeConfig) -> Result<Statistics> {
    let files = CrateFiles::read_only(config).await?;
    let (entries, pinned_missing) = (files.inventory().entries().await?, pinned_missing(&files)?);
    Ok(Statistics::of(&entries, pinned_missing.len(), config))
}

/// Evicts what the limits say, or what is named; what is pinned or being read stays.
///
/// # Errors
/// As [`ls`]; `config` for a bucket; `usage` where nothing says what is to go.
pub async fn evict(config: &ServeConfig, eviction: &Eviction) -> Result<Removal> {
    let files = open(config, eviction.dry_run).await?;
    files.inventory().folder()?;
    if !eviction.crates.is_empty() {
        return evict_named(&files, eviction).await;
    }
    let limits = limits(config, eviction)?;
    match eviction.dry_run {
        true => Ok(Removal::planned(files.evictor().plan(limits)?)),
        false => Ok(Removal::done(files.evictor().evict_over(limits)?)),
    }
}

async fn evict_named(files: &CrateFiles, eviction: &Eviction) -> Result<Removal> {
    let mut entries = files.inventory().entries().await?;
    entries.retain(|entry| is_meant(entry, &eviction.crates));
    let (pinned, mut leaving): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.is_pinned);
    leaving.sort_by_key(|entry| entry.used);
    let removal = match eviction.dry_run {
        true => Removal::planned(leaving),
        false => Removal::done(files.evictor().evict(leaving)?),
    };
    Ok(removal.beside(pinned.len()))
}

fn limits(config: &ServeConfig, eviction: &Eviction) -> Result<Limits> {
    let limits = Limits {
        size: eviction.limits.size.or(config.serve.max_size),
        idle: eviction.limits.idle.or(config.serve.max_idle),
    };
    if limits.size.is_none() && limits.idle.is_none() {
        return Err(Error::new(Kind::Usage, "nothing says what is to go").advise(
            "Give --max-size or --max-idle, set serve.max_size or serve.max_idle, or name crates.",
        ));
    }
    Ok(limits)
}

/// Pins kept files, or lets them go, also those that are not there.
///
/// # Errors
/// As [`evict`]; `usage` where none of the files is kept.
pub async fn pin(
    config: &ServeConfig,
    crates: &[CrateSpec],
    is_pinned: bool,
    dry_run: bool,
) -> Result<Pinning> {
    let files = open(config, dry_run).await?;
    let (_, catalog) = files.inventory().folder()?;
    let mut entries = files.inventory().entries().await?;
    entries.extend(catalog.pinned_missing()?);
    let missing = |spec: &&CrateSpec| {
        !entries
            .iter()
            .any(|entry| is_meant(entry, std::slice::from_ref(spec)))
    };
    if let Some(spec) = crates.iter().find(missing) {
        return Err(Error::new(Kind::Usage, format!("no crate file of {spec} is kept"))
            .advise("`crates-ferry cache ls` lists what is kept; `crates-ferry prefetch --pin` fetches and pins."));
    }
    let changed: Vec<CatalogEntry> = entries
        .into_iter()
        .filter(|entry| entry.is_pinned != is_pinned && is_meant(entry, crates))
        .collect();
    for entry in changed.iter().filter(|_| !dry_run) {
        match is_pinned {
            true => drop(catalog.pin(&entry.path)?),
            false => catalog.unpin(&entry.path)?,
        }
    }
    Ok(Pinning::new(changed, is_pinned, dry_run))
}

/// Reads every kept file and drops those that are damaged.
///
/// # Errors
/// As [`ls`].
pub async fn verify(
    config: &ServeConfig,
    dry_run: bool,
    progress: &Progress,
) -> Result<Verification> {
    let files = open(config, dry_run).await?;
    verify::run(config, &files, dry_run, progress).await
}

/// Opens the store; for a dry run only to look at it.
async fn open(config: &ServeConfig, dry_run: bool) -> Result<Arc<CrateFiles>> {
    match dry_run {
        true => CrateFiles::read_only(config).await,
        false => CrateFiles::open(config).await,
    }
}

/// Returns the pinned files that are not there.
fn pinned_missing(files: &CrateFiles) -> Result<Vec<CatalogEntry>> {
    let pinned_missing = files
        .inventory()
        .catalog()
        .map(|catalog| catalog.pinned_missing());
    pinned_missing.transpose().map(Option::unwrap_or_default)
}

fn is_meant(entry: &CatalogEntry, crates: &[CrateSpec]) -> bool {
    let Some((name, version)) = stored_at(&entry.path) else {
        return false;
    };
    crates.is_empty() || crates.iter().any(|spec| spec.means(&name, &version))
}
