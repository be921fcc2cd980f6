//! `catalog`: imports a dump, makes the catalog again, and says what it holds.
//!
//! An import by hand works beside a server: the catalog is changed in one transaction, ids stay, and the server notices
//! within seconds that another process changed it. A rebuild gives crates other ids, so it is refused while a server
//! knows the old ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::importing::{When, import};
use super::report::{CatalogStatistics, ImportReport, Rebuilt};
use crate::config::{DumpSource, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::server::catalog::crates::{CatalogDatabase, CrateCatalog};
use crate::server::disk_error::unwritable;
use crate::server::index_copy::{self, IndexCopy, Snapshot};

/// Imports a dump, from `catalog.import` where no other is named.
///
/// # Errors
/// `usage` where none is named; `config` where there is no catalog yet; as [`import`].
pub async fn import_by_hand(
    config: &ServeConfig,
    source: Option<DumpSource>,
    dry_run: bool,
    progress: &Arc<Progress>,
) -> Result<ImportReport> {
    let source = source.or_else(|| config.catalog.import.clone());
    let source = source.ok_or_else(|| {
        Error::new(Kind::Usage, "no dump was named").advise(
            "Name crates.io's db-dump.tar.gz, a file or an address, or set `catalog.import`.",
        )
    })?;
    let catalog = Arc::new(open(config).await?);
    let when = match dry_run {
        true => When::DryRun,
        false => When::Always,
    };
    let outcome = import(config, catalog, &source, when, progress).await?;
    Ok(ImportReport::of(&outcome, dry_run))
}

/// Makes the catalog again from the index, beside the old one, which it replaces when it is complete; then imports the dump of
/// `catalog.import`.
///
/// # Errors
/// `config` where a server uses the directory; if the index cannot be fetched or read, or the disk fails.
pub async fn rebuild(
    config: &ServeConfig,
    dry_run: bool,
    progress: &Arc<Progress>,
) -> Result<Rebuilt> {
    let data_dir = &config.serve.data_dir;
    let path = CrateCatalog::path_in(data_dir);
    progress.phase("reading the index");
    let (snapshot, copy) = match dry_run {
        true => (
            IndexCopy::read_only(data_dir, &config.index.branch, config.hidden())?,
            None,
        ),
        false => {
            let (snapshot, copy) = fetch_index(config).await?;
            (snapshot, Some(copy))
        }
    };
    let before = spawn_blocking({
        let path = path.clone();
        // One that cannot be read is why it is made again.
        move || CatalogDatabase::open_existing(&path).ok().flatten()
    });
    let before = before.await.ok().flatten();
    let last = before
        .as_ref()
        .and_then(|catalog| catalog.last_import().ok());
    let mut rebuilt = Rebuilt {
        dry_run,
        commit: snapshot.commit().to_string(),
        crates: snapshot.crates()?.len(),
        before: before.and_then(|catalog| catalog.count().ok()).unwrap_or(0),
        lost: None,
        import: None,
    };
    if config.catalog.import.is_none() {
        rebuilt.lost = Rebuilt::lost(last.flatten().as_ref());
    }
    if dry_run {
        return Ok(rebuilt);
    }
    progress.phase("making the catalog");
    let aside = path.with_extension("sqlite.new");
    match build(config, snapshot, &aside, progress).await {
        Ok(import) => rebuilt.import = import,
        Err(error) => {
            // The next rebuild would remove it, too.
            let _ = remove(&files_of(&aside));
            return Err(error);
        }
    }
    replace(&path, &aside)?;
    drop(copy);
    Ok(rebuilt)
}

/// Makes a catalog in a file of its own, and imports the dump into it.
async fn build(
    config: &ServeConfig,
    snapshot: Arc<Snapshot>,
    aside: &Path,
    progress: &Arc<Progress>,
) -> Result<Option<ImportReport>> {
    let catalog = Arc::new(make(aside.to_owned(), snapshot).await?);
    let mut report = None;
    if let Some(source) = &config.catalog.import {
        let shared = Arc::clone(&catalog);
        let outcome = import(config, shared, source, When::Always, progress).await?;
        report = Some(ImportReport::of(&outcome, false));
    }
    let catalog = Arc::into_inner(catalog);
    catalog.map_or(Ok(()), CatalogDatabase::close)?;
    Ok(report)
}

/// Says what the catalog holds.
///
/// # Errors
/// `config` where there is none; if it cannot be read.
pub async fn stat(config: &ServeConfig) -> Result<CatalogStatistics> {
    let catalog = open(config).await?;
    let path = CrateCatalog::path_in(&config.serve.data_dir);
    let snapshot = IndexCopy::read_only(
        &config.serve.data_dir,
        &config.index.branch,
        config.hidden(),
    )
    .ok();
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |about| about.len());
    let bytes = files_of(&path).iter().map(size).sum();
    let commit = snapshot.map(|snapshot| snapshot.commit().to_string());
    Ok(CatalogStatistics::of(&catalog.holdings()?, commit, bytes))
}

/// Opens the catalog that a server, or a rebuild, has made.
async fn open(config: &ServeConfig) -> Result<CatalogDatabase> {
    let data_dir = config.serve.data_dir.clone();
    if !data_dir.is_dir() {
        let text = format!("the directory {} does not exist", data_dir.display());
        let error = Error::new(Kind::Config, text)
            .advise("Set serve.data_dir or --data-dir to the data directory of a server.");
        return Err(config.origins.blame("serve.data_dir", error));
    }
    let path = CrateCatalog::path_in(&data_dir);
    let shown = path.display().to_string();
    let opening = spawn_blocking(move || -> Result<_> {
        let opened = CatalogDatabase::open_existing(&path)?;
        let crates = opened.as_ref().map_or(Ok(0), CatalogDatabase::count)?;
        Ok(opened.filter(|_| crates > 0))
    });
    let panicked =
        |error| Error::new(Kind::Server, "the thread that opens the catalog failed").because(error);
    let opened = opening.await.map_err(panicked)??;
    opened.ok_or_else(|| {
        let text =
            format!("there is no catalog of the index in {shown} yet, or one of another version");
        Error::new(Kind::Config, text)
            .advise("Start the server, which makes it, or run `crates-ferry catalog rebuild`.")
    })
}

/// Fetches the index, and holds the lock of the directory.
async fn fetch_index(config: &ServeConfig) -> Result<(Arc<Snapshot>, IndexCopy)> {
    let data_dir = &config.serve.data_dir;
    if index_copy::is_in_use(data_dir) {
        let text = format!("a server, or another command, uses {}", data_dir.display());
        return Err(Error::new(Kind::Config, text).advise(
            "Stop the server first: it knows the crates by the numbers that they have in the catalog.",
        ));
    }
    IndexCopy::open_fresh(config).await
}

/// Makes a catalog in a file of its own; one that a killed process left there is removed.
async fn make(path: PathBuf, snapshot: Arc<Snapshot>) -> Result<CatalogDatabase> {
    let making = spawn_blocking(move || {
        remove(&files_of(&path))?;
        let catalog = CrateCatalog::open(&path)?;
        catalog.update(&snapshot)?;
        Ok(catalog.into_database())
    });
    let panicked =
        |error| Error::new(Kind::Server, "the thread that makes the catalog failed").because(error);
    making.await.map_err(panicked)?
}

/// Puts a closed catalog in the place of another one.
fn replace(path: &Path, by: &Path) -> Result<()> {
    // The log of the old one would be applied to the new one.
    remove(&files_of(path)[1..])?;
    fs::rename(by, path).map_err(|error| unwritable(path, error))
}

/// Returns the database, and what SQLite keeps beside it while it is open.
fn files_of(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        file.into()
    })
}

fn remove(files: &[PathBuf]) -> Result<()> {
    for file in files {
        match fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(unwritable(file, error));
            }
            _ => {}
        }
    }
    Ok(())
}
