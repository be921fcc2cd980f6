//! The files that no line of the index names, and their end.
//!
//! A file without a line is what a publish left that failed, and goes a day after it was first seen so. But it may also be that the
//! repository is an older copy, or another one: then very many have none, and all of them stay.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tempfile::NamedTempFile;
use tokio::time::sleep;
use tracing::{info, warn};

use super::files::{PrivateFiles, Stored, Unread};
use super::index::PrivateIndex;
use super::registry::read;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::index::{CrateFile, entry};
use crate::server::disk_error::unwritable;
use crate::server::index_copy::Snapshot;

/// How long a file has had no line, and how old it is, at least, when it goes.
const ORPHANED: Duration = Duration::from_secs(24 * 60 * 60);
/// How often that is done.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// How many files may have no line, whatever part of all they are.
const FEW: usize = 20;
/// Which part of all files it may be, as one of so many.
const PART: usize = 5;
/// Where it is kept since when files have had no line, in `serve.data_dir`.
const FILE: &str = "private-unlisted.json";

/// What to do where very many files have no line.
const MANY: &str = "If the repository is an older copy, or another one, restore it. If the files are to go, remove them from the store; \
     `crates-ferry private verify` lists them.";

/// Sweeps the files that no line names, for ever; `data_dir` is `serve.data_dir`.
pub async fn keep_swept(index: &PrivateIndex, files: &PrivateFiles, data_dir: &Path) -> Infallible {
    let mut unlisted = Unlisted::read(data_dir.join(FILE));
    loop {
        match sweep(index, files, &mut unlisted, Timestamp::now()).await {
            Ok(0) => {}
            Ok(swept) => {
                let files = counted(swept, "file");
                info!("private crates: {files} removed that no line of the index names");
            }
            Err(error) => {
                let advice = error.advice().map(|advice| format!(" ({advice})"));
                warn!(
                    "private crates: files that no line names were not swept: {}{}",
                    error.chain(),
                    advice.unwrap_or_default()
                );
            }
        }
        sleep(EVERY).await;
    }
}

/// Since when files have had no line, as far as this server has seen.
struct Unlisted {
    place: PathBuf,
    since: BTreeMap<String, Timestamp>,
}

impl Unlisted {
    /// Reads what was written last; what cannot be read begins anew, so that files stay longer.
    fn read(place: PathBuf) -> Self {
        let read = fs::read(&place).ok();
        let since = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let since = since.unwrap_or_default();
        Self { place, since }
    }

    /// Notes which files have no line now.
    fn note(&mut self, unnamed: &[Stored], now: Timestamp) -> Result<()> {
        let before = self.since.clone();
        let paths: HashSet<_> = unnamed.iter().map(|stored| stored.path.as_str()).collect();
        self.since.retain(|path, _| paths.contains(path.as_str()));
        for path in paths {
            self.since.entry(path.to_owned()).or_insert(now);
        }
        match self.since == before {
            true => Ok(()),
            false => self.write().map_err(|error| unwritable(&self.place, error)),
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let folder = self.place.parent().unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(&self.since)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.place)?;
        Ok(())
    }
}

/// Removes the files that have had no line in the index for a day; returns how many.
async fn sweep(
    index: &PrivateIndex,
    files: &PrivateFiles,
    unlisted: &mut Unlisted,
    now: Timestamp,
) -> Result<usize> {
    let mut stored = files.list().await?;
    // What has no path of ours is somebody else's.
    stored.retain(|stored| stored.file.is_some());
    let all = stored.len();
    // After the listing: what was published before that is named by then.
    let unnamed = unnamed(index, stored).await?;
    unlisted.note(&unnamed, now)?;
    if unnamed.len() > FEW && unnamed.len() > all / PART {
        let text = format!("{} of the {all} private files have none", unnamed.len());
        return Err(Error::new(Kind::Guard, text).advise(MANY));
    }
    let than = SystemTime::from(now) - ORPHANED;
    let is_due = |stored: &Stored| {
        let since = unlisted.since.get(&stored.path);
        since.is_some_and(|since| SystemTime::from(*since) <= than) && stored.modified <= than
    };
    let due: Vec<_> = unnamed.into_iter().filter(is_due).collect();
    let mut swept = 0;
    for orphan in due {
        swept += usize::from(remove(index, files, orphan, than).await?);
    }
    Ok(swept)
}

/// Removes a file that no line names, and puts it back if one does now. Whoever publishes pushes the line first, and looks for the
/// file then; here the file goes first, and the line is looked for then. So one of both sees what the other did, however long either
/// was held up in between.
async fn remove(
    index: &PrivateIndex,
    files: &PrivateFiles,
    orphan: Stored,
    than: SystemTime,
) -> Result<bool> {
    let Some(file) = orphan.file.clone() else {
        return Ok(false);
    };
    let bytes = match files.get(&file).await {
        Ok(bytes) => Some(bytes),
        // Of no use to a line: it is not what that would name.
        Err(Unread::Absent | Unread::Damaged) => None,
        Err(Unread::Failed(error)) => return Err(error),
    };
    if !files.remove_if_older(&orphan.path, than).await? {
        return Ok(false);
    }
    let is_unnamed = unnamed(index, vec![orphan]).await;
    match (is_unnamed, bytes) {
        (Ok(unnamed), _) if !unnamed.is_empty() => Ok(true),
        // It is not known, or it was published meanwhile.
        (is_unnamed, Some(bytes)) => {
            files.put(&file, bytes).await?;
            is_unnamed.map(|_| false)
        }
        (is_unnamed, None) => is_unnamed.map(|_| true),
    }
}

/// Leaves those files that no line of the index names as it is now; none where it has no commit: then it was just replaced or
/// mistyped, which is no reason to remove all there is.
async fn unnamed(index: &PrivateIndex, stored: Vec<Stored>) -> Result<Vec<Stored>> {
    index.refresh().await?;
    let Some(snapshot) = index.snapshot()? else {
        return Ok(Vec::new());
    };
    read(move || {
        let mut orphans = Vec::new();
        for stored in stored {
            if let Some(file) = &stored.file
                && !is_named(&snapshot, file)?
            {
                orphans.push(stored);
            }
        }
        Ok(orphans)
    })
    .await
}

/// Says whether a line of the index names a file.
fn is_named(snapshot: &Snapshot, file: &CrateFile) -> Result<bool> {
    let Some(id) = snapshot.file(&file.name.index_path())? else {
        return Ok(false);
    };
    let content = snapshot.content(id)?;
    Ok(entry::versions(&content).any(|listed| listed.file == *file))
}
