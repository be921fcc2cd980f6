//! `private import`: takes the crate files of a folder into the registry, as those of another one.
//!
//! Each says in its manifest what it is. Where the folder has an index, too, as the folder of a registry or of cargo's own local ones
//! has, dates and yanks come from there. What is there already stays as it is, so that the command may be run again.

mod folder;

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use semver::Version;
use serde::Serialize;

use self::folder::{Found, KnownLines};
use super::change::{Actor, Applied, Change, Publish, name_in};
use super::files::{PrivateFiles, checksum_of};
use super::index::PrivateIndex;
use super::line::line;
use super::manifest::is_crates_io;
use super::owners;
use super::publisher::{make_all, try_all};
use super::refusal::Refusal;
use super::rules::{Checked, check};
use super::signature::Signature;
use super::turns::Turns;
use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::index::{CrateName, ReservedNames, entry};
use crate::progress::Progress;
use crate::shown::one_line;

/// How many versions go together in a push.
const TOGETHER: usize = 64;

/// What to take, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder.
    pub folder: PathBuf,
    /// Who owns the crates that are new.
    pub owners: Vec<String>,
    /// Says what would be taken, and changes nothing.
    pub dry_run: bool,
}

/// What became of the crate files of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Import {
    /// Whether this was a dry run.
    pub dry_run: bool,
    /// The versions that were taken, or would be.
    pub imported: Vec<String>,
    /// How many were there already.
    pub present: usize,
    /// What was not taken, and why.
    pub refused: Vec<NotTaken>,
}

/// A file that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotTaken {
    /// Where it is.
    pub path: String,
    /// Why it was not taken.
    pub why: String,
}

impl Import {
    /// Says whether all was taken.
    pub fn is_whole(&self) -> bool {
        self.refused.is_empty()
    }
}

/// Takes the crate files of a folder.
///
/// # Errors
/// `config` where there is no private index, or the folder cannot be read; else as the repository or the store fails.
pub async fn import(
    config: &ServeConfig,
    options: &Options,
    progress: &Progress,
) -> Result<Import> {
    for owner in &options.owners {
        owners::check(owner).map_err(|refusal| Error::new(Kind::Usage, refusal.detail))?;
    }
    let (index, _copy) = PrivateIndex::open_beside(config).await?;
    let target = Target {
        index: Arc::new(index),
        files: PrivateFiles::open(config)?,
        signature: Signature::of(config),
    };
    let mut report = Import {
        dry_run: options.dry_run,
        ..Import::default()
    };
    let paths = folder::crate_files(&options.folder)?;
    target.index.refresh().await?;
    let found = report.read_all(paths, config, progress);
    let missing = report.without_present(&target.index, found)?;
    let lines = KnownLines::of(&options.folder);
    let all: HashSet<_> = missing
        .iter()
        .map(|found| found.file.name.as_str())
        .collect();
    let changes = |own: &HashSet<&str>| -> Vec<_> {
        let change = |found| change(found, own, &target.index, &lines, &options.owners);
        missing.iter().map(|found| (found, change(found))).collect()
    };
    // What is refused is no crate of this registry that others could depend on.
    let taken = target.taken(&changes(&all)).await?;
    let changes = report.without_refused(changes(&taken));
    match options.dry_run {
        true => {
            let ends = target.try_all(&changes).await?;
            report.note(changes.iter().map(|(found, _)| *found), ends);
        }
        false => {
            for part in changes.chunks(TOGETHER) {
                report.take(part, &target).await?;
            }
        }
    }
    Ok(report)
}

/// Where crate files are taken.
struct Target {
    index: Arc<PrivateIndex>,
    files: PrivateFiles,
    signature: Signature,
}

impl Target {
    /// Says what would become of changes.
    async fn try_all(&self, changes: &[(&Found, Change)]) -> Result<Vec<Result<Applied, Refusal>>> {
        let changes: Vec<_> = changes.iter().map(|(_, change)| change.clone()).collect();
        try_all(&self.index, &self.signature, changes.into()).await
    }

    /// Returns the names of the crates of which at least one version would be taken.
    async fn taken<'f>(
        &self,
        changes: &[(&'f Found, Result<Change, Refusal>)],
    ) -> Result<HashSet<&'f str>> {
        let possible = changes.iter().filter_map(|(found, change)| {
            let change = change.as_ref().ok()?;
            Some((*found, change.clone()))
        });
        let possible: Vec<_> = possible.collect();
        let ends = self.try_all(&possible).await?;
        let taken = possible.iter().zip(ends).filter(|(_, end)| end.is_ok());
        Ok(taken
            .map(|((found, _), _)| found.file.name.as_str())
            .collect())
    }
}

impl Import {
    fn refuse(&mut self, path: &Path, why: String) {
        let path = path.display().to_string();
        self.refused.push(NotTaken {
            path: one_line(&path).into_owned(),
            why,
        });
    }

    /// Reads crate files; returns a crate's versions in their order, as they were published.
    fn read_all(
        &mut self,
        paths: Vec<(PathBuf, SystemTime)>,
        config: &ServeConfig,
        progress: &Progress,
    ) -> Vec<Found> {
        progress.phase("reading crate files");
        progress.files_to_do(paths.len());
        let names = ReservedNames::new(config.private.names.clone());
        let mut found = Vec::new();
        for (path, modified) in paths {
            match folder::read(&path, modified, config.private.max_size, &names) {
                Ok(one) => found.push(one),
                Err(refusal) => self.refuse(&path, refusal.detail),
            }
            progress.file_done(0);
        }
        let number = |found: &Found| Version::parse(found.file.version.as_str()).ok();
        found.sort_by(|one, other| {
            let names = one.file.name.as_str().cmp(other.file.name.as_str());
            names.then_with(|| number(one).cmp(&number(other)))
        });
        found
    }

    /// Leaves out what the index has already.
    fn without_present(&mut self, index: &PrivateIndex, found: Vec<Found>) -> Result<Vec<Found>> {
        let Some(snapshot) = index.snapshot()? else {
            return Ok(found);
        };
        let mut missing = Vec::new();
        for one in found {
            let content = match snapshot.file(&one.file.name.index_path())? {
                Some(id) => snapshot.content(id)?,
                None => Vec::new(),
            };
            match entry::find(&content, one.file.version.as_str()) {
                Some(there) if there == one.file => self.present += 1,
                Some(there) => {
                    let why = format!(
                        "the registry has {there} with other bytes already: its checksum is {}",
                        there.checksum
                    );
                    self.refuse(&one.path, why);
                }
                None => missing.push(one),
            }
        }
        Ok(missing)
    }

    /// Leaves out the files of which no change can be made.
    fn without_refused<'f>(
        &mut self,
        changes: Vec<(&'f Found, Result<Change, Refusal>)>,
    ) -> Vec<(&'f Found, Change)> {
        let mut possible = Vec::new();
        for (found, change) in changes {
            match change {
                Ok(change) => possible.push((found, change)),
                Err(refusal) => self.refuse(&found.path, refusal.detail),
            }
        }
        possible
    }

    /// Stores the files, and then pushes the lines together.
    async fn take(&mut self, changes: &[(&Found, Change)], target: &Target) -> Result<()> {
        for (found, _) in changes {
            let bytes =
                fs::read(&found.path).map_err(|error| folder::unread(&found.path, error))?;
            let bytes = Bytes::from(bytes);
            if checksum_of(&bytes) != found.file.checksum {
                let text = format!("{} changed while it was read", found.path.display());
                return Err(Error::new(Kind::Server, text).advise("Run it again."));
            }
            target.files.put(&found.file, bytes).await?;
        }
        let (index, signature) = (&target.index, &target.signature);
        let made: Vec<_> = changes.iter().map(|(_, change)| change.clone()).collect();
        let ends = make_all(index, signature, made.into(), &mut Turns::default()).await;
        self.note(changes.iter().map(|(found, _)| *found), ends);
        Ok(())
    }

    /// Notes what became of files.
    fn note<'f>(
        &mut self,
        found: impl Iterator<Item = &'f Found>,
        ends: Vec<Result<Applied, Refusal>>,
    ) {
        for (found, end) in found.zip(ends) {
            match end {
                Ok(_) => self.imported.push(found.file.to_string()),
                Err(refusal) => self.refuse(&found.path, refusal.detail),
            }
        }
    }
}

/// Makes the change that publishes a file.
fn change(
    found: &Found,
    own: &HashSet<&str>,
    index: &PrivateIndex,
    lines: &KnownLines,
    owners: &[String],
) -> Result<Change, Refusal> {
    let mut metadata = found.metadata.clone();
    for dependency in &mut metadata.deps {
        let is_own = || own.contains(dependency.name.as_str()) || has(index, &dependency.name);
        // The manifest names the registry that it was published to, which is this one now.
        if dependency
            .registry
            .as_deref()
            .is_some_and(|registry| !is_crates_io(registry))
            && is_own()
        {
            dependency.registry = None;
        }
    }
    let checked: Checked = check(metadata)?;
    let known = lines.find(&found.file);
    let published = known.and_then(|known| known.published);
    let published = published.or_else(|| Timestamp::try_from(found.modified).ok());
    let published = published
        .unwrap_or_else(Timestamp::now)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let is_yanked = known.is_some_and(|known| known.is_yanked);
    Ok(Change::Publish(Box::new(Publish {
        line: line(&checked, &found.file.checksum, &published, is_yanked),
        checksum: found.file.checksum,
        checked,
        by: Actor {
            name: "import".to_owned(),
            counts_as_owner: true,
        },
        owners: owners.to_vec(),
        is_import: true,
    })))
}

/// Says whether the index has a crate of exactly this name.
fn has(index: &PrivateIndex, name: &str) -> bool {
    let found = || {
        let snapshot = index.snapshot().ok().flatten()?;
        let path = CrateName::new(name).ok()?.index_path();
        let content = snapshot
            .content(snapshot.file(&path).ok().flatten()?)
            .ok()?;
        Some(name_in(&content) == Some(name))
    };
    found().unwrap_or(false)
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry_run {
            "would be imported"
        } else {
            "imported"
        };
        write!(f, "{} {verb}", counted(self.imported.len(), "version"))?;
        if self.present > 0 {
            write!(f, ", {} there already", self.present)?;
        }
        for one in &self.imported {
            write!(f, "\n{one}")?;
        }
        for NotTaken { path, why } in &self.refused {
            write!(f, "\n{path}  not taken: {why}")?;
        }
        Ok(())
    }
}
