//! `cache`: lists, evicts, pins and verifies stored crate files.

mod list;
mod removal;
mod verify;

use std::sync::Arc;

use crate::config::{ServeConfig, StoreUrl};
use crate::error::{Error, Kind, Result};
use crate::index::{CrateSpec, stored_at};
use crate::progress::Progress;
use crate::server::catalog::files::{CatalogEntry, Limits};
use crate::server::crate_files::CrateFiles;
pub use list::{Listing, Statistics};
pub use removal::{Failed, Pinning, Removal};
pub use verify::Verification;

/// What to evict.
#[derive(Debug, Clone, Default)]
pub struct Eviction {
    /// These crates or versions; without any, what exceeds the limits.
    pub crates: Vec<CrateSpec>,
    /// Limits in place of the configured ones.
    pub limits: Limits,
    /// Only shows what would be evicted.
    pub dry_run: bool,
}

/// Lists the stored files.
///
/// # Errors
/// `config` for a directory that does not exist; if the store or its catalog cannot be read.
pub async fn ls(config: &ServeConfig, crates: &[CrateSpec]) -> Result<Listing> {
    let files = open(config, true).await?;
    let (mut entries, mut pinned_missing) =
        (files.inventory().entries().await?, pinned_missing(&files)?);
    entries.retain(|entry| is_named(entry, crates));
    pinned_missing.retain(|entry| is_named(entry, crates));
    Ok(Listing::new(&entries, &pinned_missing))
}

/// Returns the totals of the stored files.
///
/// # Errors
/// As [`ls`].
pub async fn stat(config: &ServeConfig) -> Result<Statistics> {
    let files = open(config, true).await?;
    let (entries, pinned_missing) = (files.inventory().entries().await?, pinned_missing(&files)?);
    Ok(Statistics::of(&entries, pinned_missing.len(), config))
}

/// Evicts the named files, or those that exceed the limits; what is pinned or being read stays.
///
/// # Errors
/// As [`ls`]; `config` for a bucket; `usage` without files and limits.
pub async fn evict(config: &ServeConfig, eviction: &Eviction) -> Result<Removal> {
    let files = open(config, eviction.dry_run).await?;
    // Before anything is listed: a bucket is refused at once.
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
    entries.retain(|entry| is_named(entry, &eviction.crates));
    let (pinned, mut chosen): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.is_pinned);
    chosen.sort_by_key(|entry| entry.used);
    let removal = match eviction.dry_run {
        true => Removal::planned(chosen),
        false => Removal::done(files.evictor().evict(chosen)?),
    };
    Ok(removal.with_pinned(pinned.len()))
}

fn limits(config: &ServeConfig, eviction: &Eviction) -> Result<Limits> {
    let limits = Limits {
        size: eviction.limits.size.or(config.serve.max_size),
        idle: eviction.limits.idle.or(config.serve.max_idle),
    };
    if limits.size.is_none() && limits.idle.is_none() {
        return Err(Error::new(Kind::Usage, "no crate files and no limits were named").advise(
            "Give `--max-size` or `--max-idle`, set `serve.max_size` or `serve.max_idle`, or name crates.",
        ));
    }
    Ok(limits)
}

/// Pins or unpins stored files, and unpins those that are not stored.
///
/// # Errors
/// As [`evict`]; `usage` if a crate has no stored file.
pub async fn pin(
    config: &ServeConfig,
    crates: &[CrateSpec],
    is_pinned: bool,
    dry_run: bool,
) -> Result<Pinning> {
    let files = open(config, dry_run).await?;
    let (_, catalog) = files.inventory().folder()?;
    let mut entries = files.inventory().entries().await?;
    // Pins without a file can be removed, too.
    entries.extend(catalog.pinned_missing()?);
    let missing = |spec: &&CrateSpec| {
        !entries
            .iter()
            .any(|entry| is_named(entry, std::slice::from_ref(spec)))
    };
    if let Some(spec) = crates.iter().find(missing) {
        return Err(Error::new(Kind::Usage, format!("no crate file of {spec} is stored"))
            .advise("Run `crates-ferry cache ls` to list stored files, or `crates-ferry prefetch --pin` to fetch and pin."));
    }
    entries.retain(|entry| is_named(entry, crates));
    let named = entries.len();
    entries.retain(|entry| entry.is_pinned != is_pinned);
    let changed = entries;
    for entry in changed.iter().filter(|_| !dry_run) {
        match is_pinned {
            true => drop(catalog.pin(&entry.path)?),
            false => catalog.unpin(&entry.path)?,
        }
    }
    let already = named - changed.len();
    Ok(Pinning::new(changed, already, is_pinned, dry_run))
}

/// Reads and hashes every stored file, and removes those that are damaged.
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

/// Opens the store; for a dry run only for reading.
async fn open(config: &ServeConfig, dry_run: bool) -> Result<Arc<CrateFiles>> {
    check_directories(config)?;
    match dry_run {
        true => CrateFiles::read_only(config).await,
        false => CrateFiles::open(config).await,
    }
}

/// Refuses directories that are not there: a mistyped one would look like an empty store, and be created.
fn check_directories(config: &ServeConfig) -> Result<()> {
    // Without `serve.store` it is in `serve.data_dir`, where the first file to be stored makes it.
    let (key, directory) = match &config.serve.store {
        // A bucket has no catalog in `serve.data_dir`.
        Some(StoreUrl::Bucket { .. }) => return Ok(()),
        Some(StoreUrl::Folder(folder)) if !folder.is_dir() => ("serve.store", folder),
        _ if !config.serve.data_dir.is_dir() => ("serve.data_dir", &config.serve.data_dir),
        _ => return Ok(()),
    };
    let message = format!("the directory {} does not exist", directory.display());
    let error = Error::new(Kind::Config, message).advise(
        "Set serve.data_dir or --data-dir to the data directory of a server. `serve` and `prefetch` create it.",
    );
    Err(config.origins.blame(key, error))
}

/// Returns the pinned files that are not stored.
fn pinned_missing(files: &CrateFiles) -> Result<Vec<CatalogEntry>> {
    let pinned_missing = files
        .inventory()
        .catalog()
        .map(|catalog| catalog.pinned_missing());
    pinned_missing.transpose().map(Option::unwrap_or_default)
}

fn is_named(entry: &CatalogEntry, crates: &[CrateSpec]) -> bool {
    let Some((name, version)) = stored_at(&entry.path) else {
        return false;
    };
    crates.is_empty() || crates.iter().any(|spec| spec.means(&name, &version))
}
