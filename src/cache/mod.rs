//! `cache`: shows and changes by hand what crate files are kept.

mod list;
mod removal;
mod verify;

use std::sync::Arc;

use crate::catalog::{Entry, Limits};
use crate::config::ServeConfig;
use crate::crate_files::CrateFiles;
use crate::error::{Error, Kind, Result};
use crate::index::{CrateSpec, kept_at};
use crate::progress::Progress;
pub use list::{Listing, Statistics};
pub use removal::{Pinning, Removal};
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
    let files = CrateFiles::open(config).await?;
    let mut entries = entries(&files).await?;
    entries.retain(|entry| is_meant(entry, crates));
    Ok(Listing::new(entries))
}

/// Adds up the kept files.
///
/// # Errors
/// As [`ls`].
pub async fn stat(config: &ServeConfig) -> Result<Statistics> {
    let files = CrateFiles::open(config).await?;
    Ok(Statistics::of(&entries(&files).await?, config))
}

/// Evicts what the limits say, or what is named; what is pinned or being read stays.
///
/// # Errors
/// As [`ls`]; `config` for a bucket; `usage` where nothing says what is to go.
pub async fn evict(config: &ServeConfig, eviction: &Eviction) -> Result<Removal> {
    let files = CrateFiles::open(config).await?;
    let plan = plan(&files, config, eviction)?;
    if eviction.dry_run {
        return Ok(Removal::planned(plan));
    }
    Ok(Removal::done(files.evict(&plan)?))
}

fn plan(files: &CrateFiles, config: &ServeConfig, eviction: &Eviction) -> Result<Vec<Entry>> {
    let (_, catalog) = files.folder()?;
    if !eviction.crates.is_empty() {
        let mut entries = catalog.entries()?;
        entries.retain(|entry| !entry.is_pinned && is_meant(entry, &eviction.crates));
        return Ok(entries);
    }
    let limits = Limits {
        size: eviction.limits.size.or(config.serve.max_size),
        idle: eviction.limits.idle.or(config.serve.max_idle),
    };
    if limits.size.is_none() && limits.idle.is_none() {
        return Err(Error::new(Kind::Usage, "nothing says what is to go").advise(
            "Give --max-size or --max-idle, set serve.max_size or serve.max_idle, or name crates.",
        ));
    }
    files.plan_eviction(limits)
}

/// Pins kept files, or lets them go.
///
/// # Errors
/// As [`evict`]; `usage` where none of the files is kept.
pub async fn pin(
    config: &ServeConfig,
    crates: &[CrateSpec],
    is_pinned: bool,
    dry_run: bool,
) -> Result<Pinning> {
    let files = CrateFiles::open(config).await?;
    let (_, catalog) = files.folder()?;
    let entries = catalog.entries()?;
    let missing = |spec: &&CrateSpec| {
        !entries
            .iter()
            .any(|entry| is_meant(entry, std::slice::from_ref(spec)))
    };
    if let Some(spec) = crates.iter().find(missing) {
        return Err(Error::new(Kind::Usage, format!("no crate file of {spec} is kept"))
            .advise("`crates-ferry cache ls` lists what is kept; `crates-ferry prefetch --pin` fetches and pins."));
    }
    let changed: Vec<Entry> = entries
        .into_iter()
        .filter(|entry| entry.is_pinned != is_pinned && is_meant(entry, crates))
        .collect();
    if !dry_run {
        for entry in &changed {
            catalog.pin(&entry.path, is_pinned)?;
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
    let files = CrateFiles::open(config).await?;
    verify::run(config, &files, dry_run, progress).await
}

/// Returns what is kept, from the catalog or as the bucket lists it.
async fn entries(files: &Arc<CrateFiles>) -> Result<Vec<Entry>> {
    if let Some(catalog) = files.catalog() {
        return catalog.entries();
    }
    let listed =
        files.store().list().await.map_err(|error| {
            Error::new(Kind::Network, "the bucket cannot be listed").because(error)
        })?;
    let entry = |file: crate::store::KeptFile| Entry {
        size: file.size,
        checksum: None,
        used: crate::catalog::seconds(file.modified),
        is_pinned: false,
        path: file.path,
    };
    Ok(listed.into_iter().map(entry).collect())
}

fn is_meant(entry: &Entry, crates: &[CrateSpec]) -> bool {
    let Some((name, version)) = kept_at(&entry.path) else {
        return false;
    };
    crates.is_empty() || crates.iter().any(|spec| spec.means(&name, &version))
}
