//! An import from its beginning to its end: by the server's clock, and by hand.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::source::{Fetched, Version, fetch};
use crate::config::{DumpSource, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::progress::Progress;
use crate::server::catalog::crates::{CatalogDatabase, Import, Imported};

/// How far the clock of whoever made a dump may be ahead of ours, in seconds.
const AHEAD: i64 = 24 * 60 * 60;

/// When a dump is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// Unless the source still has the one that was imported last.
    Changed,
    /// Never: it is read, and what it would change is counted.
    DryRun,
}

/// How an import ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What was taken; `None` where the source still has the dump that was imported last, or by the clock an older one.
    pub imported: Option<Imported>,
    /// Which dump it is.
    pub about: Import,
    /// When the dump before it was made, in seconds since 1970, where that was later.
    pub newer: Option<i64>,
    /// What of it is in a form that is not known, and was left out: a sentence each.
    pub left_out: Vec<String>,
}

/// Fetches a dump, reads it, and takes it into the catalog.
///
/// # Errors
/// As [`fetch`] and [`CatalogDatabase::import`]; the catalog then stays as it was.
pub async fn import<C>(
    config: &ServeConfig,
    catalog: C,
    source: &DumpSource,
    when: When,
    progress: &Arc<Progress>,
) -> Result<Outcome>
where
    C: AsRef<CatalogDatabase> + Clone + Send + 'static,
{
    let before = catalog.as_ref().last_import()?;
    let last = catalog.as_ref().last_of(source)?;
    let known = last.as_ref().map(|last| Version {
        tag: last.tag.clone(),
        modified: last.modified.clone(),
    });
    let known = known.filter(|_| when == When::Changed).unwrap_or_default();
    // A dry run needs no disk that can be written.
    let is_dry = when == When::DryRun;
    let data_dir = Some(config.serve.data_dir.clone());
    let data_dir = data_dir.filter(|_| !is_dry || catalog.as_ref().is_writable());
    let fetched = fetch(config, source, &known, data_dir, progress).await?;
    let Some(Fetched { staged, version }) = fetched else {
        let is_left = last != before;
        let about = Import {
            imported: Timestamp::now().as_second(),
            ..last.unwrap_or_default()
        };
        return stays(catalog, about, is_left, None).await;
    };
    let about = Import {
        source: source.to_string(),
        tag: version.tag,
        modified: version.modified,
        made: staged.made.map(Timestamp::as_second).filter(has_been),
        imported: Timestamp::now().as_second(),
    };
    if let Some(made) = staged.made.filter(|_| about.made.is_none()) {
        warn!(
            "{source} says that it was made {made}, which is yet to come: when it was made counts as unknown"
        );
    }
    let newer = before.and_then(|before| before.made).filter(has_been);
    let newer = newer.filter(|before| about.made.is_some_and(|made| made < *before));
    if newer.is_some() && when == When::Changed {
        return stays(catalog, about, true, newer).await;
    }
    progress.phase("taking the dump into the catalog");
    let left_out = staged.left_out.clone();
    let taken = about.clone();
    let imported = blocking(move || catalog.as_ref().import(&staged, &taken, is_dry)).await?;
    Ok(Outcome {
        imported: Some(imported),
        about,
        newer,
        left_out,
    })
}

/// Says whether a time can have been, in seconds since 1970. Beside a dump from years ahead each later one would count as older,
/// and be left by the clock.
fn has_been(made: &i64) -> bool {
    *made <= Timestamp::now().as_second() + AHEAD
}

/// Leaves what was imported as it is, and writes down which dump the source has: it is not fetched again until it has another.
async fn stays<C>(catalog: C, about: Import, is_left: bool, newer: Option<i64>) -> Result<Outcome>
where
    C: AsRef<CatalogDatabase> + Clone + Send + 'static,
{
    let remembered = about.clone();
    blocking(move || match is_left {
        true => catalog.as_ref().left(&remembered),
        false => catalog.as_ref().imported_again(&remembered),
    })
    .await?;
    Ok(Outcome {
        imported: None,
        about,
        newer,
        left_out: Vec::new(),
    })
}

/// Does work that waits for the disk, on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let panicked =
        |error| Error::new(Kind::Server, "the thread that imports the dump failed").because(error);
    spawn_blocking(work).await.map_err(panicked)?
}
