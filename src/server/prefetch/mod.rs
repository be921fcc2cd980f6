//! `prefetch`: fetches the crate files of lockfiles, of some crates, or of the whole index into the store.

mod fetch;
pub mod lockfile;
pub mod own_sources;
mod report;
mod retry_policy;
mod wanted;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use indicatif::HumanBytes;
use jiff::Timestamp;

use crate::config::{Downloads, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::index::{CrateFile, CrateSpec};
use crate::policy::{Policy, Seen};
use crate::progress::Progress;
use crate::server::advisories;
use crate::server::crate_files::CrateFiles;
use crate::server::index_copy;
use crate::server::sightings;
use fetch::{End, Fetch};
use lockfile::Locks;
use own_sources::OwnSources;
pub use report::{Missing, PrefetchReport};
use retry_policy::RetryPolicy;
use wanted::{Source, Wanted};

/// What to fetch.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// All crates.io packages of these lockfiles.
    pub lockfiles: Vec<PathBuf>,
    /// These crates or versions.
    pub crates: Vec<CrateSpec>,
    /// Which versions of these crates; without crates, of the whole index.
    pub versions: Option<Versions>,
    /// Pins the files, whether they are fetched or were stored before.
    pub pin: bool,
    /// Reads and hashes files that are stored already.
    pub verify: bool,
}

/// Which versions of a crate to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Every one.
    All,
    /// The highest that is neither yanked nor a pre-release.
    Latest,
}

/// Fetches what is not stored yet; the report lists what is missing at the end.
///
/// # Errors
/// If the configuration, a lockfile or the index cannot be read.
pub async fn run(
    mut config: ServeConfig,
    options: &Options,
    progress: &Progress,
) -> Result<PrefetchReport> {
    if options.lockfiles.is_empty() && options.crates.is_empty() && options.versions.is_none() {
        return Err(Error::new(Kind::Usage, "no crate files were named").advise(
            "Name lockfiles, crates (`--crate`), or the whole index (`--all`, `--latest`).",
        ));
    }
    // This command fills the store of a server that is offline itself.
    config.serve.downloads = Downloads::Cache;
    // While it runs nothing is evicted: no file drives out one that was fetched a moment ago.
    config.serve.max_idle = None;
    let max_size = config.serve.max_size.take();
    progress.phase("reading the index");
    let locked = lockfile::read_all(&options.lockfiles, &OwnSources::of(&config)).await?;
    let left_out = all_left_out(&locked, &config);
    // Held to the end, with its lock: a server that started meanwhile could compact the packs that the snapshot reads.
    let (snapshot, copy) = index_copy::for_reading(&config).await?;
    let now = Timestamp::now();
    let (policy, seen) = match Policy::of_mirror(&config.policy, &config.keep)? {
        Some(policy) => {
            let (policy, mut seen) = sightings::of_store(&config, policy, now).await?;
            advisories::add_to(&mut seen, &config, copy.is_some()).await?;
            (Some(policy), seen)
        }
        None => (None, Seen::default()),
    };
    let index = Source {
        snapshot: &snapshot,
        policy,
        seen,
        now,
        hidden: config.hidden(),
    };
    let wanted = Wanted::collect(&index, locked, options)?;
    let files = CrateFiles::open(&config).await?;
    files.probe_store().await?;
    if options.pin {
        // Before the first fetch: a bucket cannot pin.
        files.inventory().folder()?;
    }
    let fetch = Fetch {
        retry_policy: RetryPolicy::new(config.network.timeout),
        files: Arc::clone(&files),
        pin: options.pin,
        verify: options.verify,
    };
    let connections = config.serve.upstream_connections as usize;
    let mut ends = fetch_all(&fetch, wanted.files, connections, progress).await?;
    fetch.check_again(&mut ends).await?;
    let mut report = PrefetchReport::of(ends, wanted.missing, wanted.other_sources);
    report.bytes = files.numbers().fetched_bytes;
    report.warnings.extend(overfull(&files, max_size)?);
    if let Some(text) = left_out.filter(|_| report.wanted == 0) {
        report.warnings.push(text);
    }
    Ok(report)
}

/// Explains why nothing of the lockfiles is fetched, where all their packages come from elsewhere.
fn all_left_out(locked: &Locks, config: &ServeConfig) -> Option<String> {
    if !locked.packages.is_empty() || locked.other_sources.is_empty() {
        return None;
    }
    let from = locked.from_elsewhere(config);
    Some(format!(
        "no package of the lockfiles is from crates.io or from this mirror, but {from}"
    ))
}

async fn fetch_all(
    fetch: &Fetch,
    wanted: Vec<CrateFile>,
    connections: usize,
    progress: &Progress,
) -> Result<Vec<(CrateFile, End)>> {
    progress.phase("crate files");
    progress.files_to_do(wanted.len());
    // As many at once as there may be connections: more would only wait for one.
    let mut fetching = stream::iter(wanted)
        .map(|file| async move {
            let end = fetch.one(&file).await?;
            Ok::<_, Error>((file, end))
        })
        .buffer_unordered(connections);
    let mut ends = Vec::new();
    while let Some(end) = fetching.next().await {
        ends.push(end?);
        progress.file_done(fetch.files.numbers().fetched_bytes);
    }
    Ok(ends)
}

/// Returns a warning if the store exceeds what the server evicts down to.
fn overfull(files: &CrateFiles, max_size: Option<u64>) -> Result<Option<String>> {
    let (Some(catalog), Some(limit)) = (files.inventory().catalog(), max_size) else {
        return Ok(None);
    };
    let (_, bytes) = catalog.total()?;
    let (bytes, shown) = (HumanBytes(bytes), HumanBytes(limit));
    let text = format!(
        "the store holds {bytes}, more than serve.max_size ({shown}): the server will evict the least recently used files that are not pinned (--pin)"
    );
    Ok((bytes.0 > limit).then_some(text))
}
