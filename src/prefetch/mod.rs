//! `prefetch`: fills the store with the crate files of lockfiles, of some crates, or of all.

mod lockfile;
mod report;
mod wanted;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use indicatif::HumanBytes;

use crate::config::{Downloads, ServeConfig};
use crate::crate_files::CrateFiles;
use crate::error::{Error, Kind, Result};
use crate::index::{CrateFile, CrateSpec};
use crate::index_copy::{self, IndexCopy, Snapshot};
use crate::progress::Progress;
use crate::transport::Remote;
pub use report::{Missing, Report};
use wanted::Wanted;

/// What is to be fetched.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Everything that these lockfiles name.
    pub lockfiles: Vec<PathBuf>,
    /// These crates or versions.
    pub crates: Vec<CrateSpec>,
    /// Which versions of the crates; without crates, of the whole index.
    pub versions: Option<Versions>,
    /// Keeps from eviction what is fetched, or was there.
    pub pin: bool,
}

/// Which versions of a crate are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Every one.
    All,
    /// The highest that is neither yanked nor a pre-release.
    Latest,
}

/// Fetches what is not kept yet. What is missing at the end is in the report.
///
/// # Errors
/// As the configuration, the lockfiles and the index can be read.
pub async fn run(
    mut config: ServeConfig,
    options: &Options,
    progress: &Progress,
) -> Result<Report> {
    if options.lockfiles.is_empty() && options.crates.is_empty() && options.versions.is_none() {
        return Err(
            Error::new(Kind::Usage, "nothing says what is to be fetched").advise(
                "Name lockfiles, or crates (--crate), or the whole index (--all, --latest).",
            ),
        );
    }
    // A server that fetches nothing is filled by this command.
    config.serve.downloads = Downloads::Cache;
    progress.phase("reading the index");
    let locked = lockfile::read_all(&options.lockfiles)?;
    let (snapshot, _copy) = snapshot(&config).await?;
    let wanted = Wanted::collect(&snapshot, locked, options)?;
    let files = CrateFiles::open(&config).await?;
    if options.pin {
        files.folder()?;
    }
    let connections = config.serve.upstream_connections as usize;
    fetch(&files, wanted, options.pin, connections, progress).await
}

/// Returns the index: looked at anew, or as the server that runs beside us keeps it.
async fn snapshot(config: &ServeConfig) -> Result<(Arc<Snapshot>, Option<IndexCopy>)> {
    let (data_dir, branch) = (&config.serve.data_dir, &config.index.branch);
    if index_copy::is_in_use(data_dir) {
        return Ok((IndexCopy::read_only(data_dir, branch)?, None));
    }
    let remote = Remote::index(config)?;
    let copy = IndexCopy::open(data_dir, branch, &config.index.url.to_string()).await?;
    copy.refresh(&remote, branch, config.network.timeout)
        .await?;
    let snapshot = copy.snapshot();
    let snapshot = snapshot.ok_or_else(|| Error::new(Kind::Server, "the index is empty"))?;
    Ok((snapshot, Some(copy)))
}

async fn fetch(
    files: &Arc<CrateFiles>,
    wanted: Wanted,
    pin: bool,
    connections: usize,
    progress: &Progress,
) -> Result<Report> {
    let mut report = Report {
        wanted: wanted.files.len() + wanted.missing.len(),
        other_sources: wanted.other_sources,
        missing: wanted.missing,
        ..Report::default()
    };
    let total = wanted.files.len();
    let mut fetching = stream::iter(wanted.files)
        .map(|file| async move {
            let end = keep(files, &file).await;
            (file, end)
        })
        .buffer_unordered(connections);
    let mut done = 0;
    while let Some((file, end)) = fetching.next().await {
        done += 1;
        match end {
            Ok(true) => report.fetched += 1,
            Ok(false) => report.held += 1,
            Err(why) => report.missing.push(Missing::new(&file, why)),
        }
        let bytes = HumanBytes(files.numbers().fetched_bytes);
        progress.phase(&format!("crate files: {done} of {total}, {bytes} fetched"));
        if pin
            && report
                .missing
                .last()
                .is_none_or(|missing| !missing.is(&file))
        {
            let (_, catalog) = files.folder()?;
            catalog.pin(&file.path(), true)?;
        }
    }
    report.bytes = files.numbers().fetched_bytes;
    report.missing.sort();
    Ok(report)
}

/// Keeps one file; says whether it had to be fetched.
async fn keep(files: &Arc<CrateFiles>, file: &CrateFile) -> Result<bool, String> {
    match files.is_kept(file).await {
        Ok(true) => Ok(false),
        Ok(false) => files.keep(file).await.map_err(|why| why.to_string()),
        Err(error) => Err(format!("the store cannot be read: {error}")),
    }
}
