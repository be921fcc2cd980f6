//! `private import`: takes the crate files of a folder into the registry, as those of another one.
//!
//! Each says in its manifest what it is. Where the folder has an index, too, as the folder of a registry or of cargo's own local ones
//! has, dates and yanks come from there. What is there already stays as it is, so that the command may be run again.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;
use semver::Version;
use serde::Serialize;

use super::change::{Actor, Change, Publish};
use super::files::{PrivateFiles, checksum_of};
use super::index::PrivateIndex;
use super::line::line;
use super::manifest::{declared, is_crates_io};
use super::owners;
use super::publisher::make_all;
use super::refusal::Refusal;
use super::registry::{manifest_of, signature};
use super::request::{Metadata, check_size};
use super::rules::{Checked, check};
use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::index::{CrateFile, CrateName, CrateVersion, Published, ReservedNames, entry, folded};
use crate::progress::Progress;
use crate::shown::one_line;

/// How deep folders are entered, and how many files are taken.
const DEPTH: usize = 8;
const FILES: usize = 1_000_000;
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

/// A crate file that was found, and what its manifest declares.
struct Found {
    path: PathBuf,
    file: CrateFile,
    metadata: Metadata,
    modified: SystemTime,
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
    let (index, files) = (Arc::new(index), PrivateFiles::open(config)?);
    let names = ReservedNames::new(config.private.names.clone());
    let mut report = Import {
        dry_run: options.dry_run,
        ..Import::default()
    };
    let paths = crate_files(&options.folder)?;
    index.refresh().await?;
    progress.phase("reading crate files");
    progress.files_to_do(paths.len());
    let mut found = Vec::new();
    for (path, modified) in paths {
        match read(&path, modified, config.private.max_size, &names) {
            Ok(one) => found.push(one),
            Err(refusal) => report.refuse(&path, refusal.detail),
        }
        progress.file_done(0);
    }
    // A crate's versions in their order, as they were published.
    let number = |found: &Found| Version::parse(found.file.version.as_str()).ok();
    found.sort_by(|one, other| {
        let names = one.file.name.as_str().cmp(other.file.name.as_str());
        names.then_with(|| number(one).cmp(&number(other)))
    });
    let missing = report.without_present(&index, found)?;
    let own: HashSet<String> = missing
        .iter()
        .map(|found| folded(found.file.name.as_str()))
        .collect();
    let lines = KnownLines::of(&options.folder);
    for part in missing.chunks(TOGETHER) {
        let mut changes = Vec::new();
        let mut taken = Vec::new();
        for found in part {
            let made = change(found, &own, &index, &lines, &options.owners);
            match made {
                Ok(change) => {
                    taken.push(found);
                    changes.push(change);
                }
                Err(refusal) => report.refuse(&found.path, refusal.detail),
            }
        }
        if options.dry_run {
            report
                .imported
                .extend(taken.iter().map(|found| found.file.to_string()));
            continue;
        }
        for found in &taken {
            let bytes = fs::read(&found.path).map_err(|error| unread(&found.path, error))?;
            let bytes = Bytes::from(bytes);
            if checksum_of(&bytes) != found.file.checksum {
                let text = format!("{} changed while it was read", found.path.display());
                return Err(Error::new(Kind::Server, text).advise("Run it again."));
            }
            files.put(&found.file, bytes).await?;
        }
        let ends = make_all(&index, &signature(config), changes.into()).await;
        for (found, end) in taken.into_iter().zip(ends) {
            match end {
                Ok(_) => report.imported.push(found.file.to_string()),
                Err(refusal) => report.refuse(&found.path, refusal.detail),
            }
        }
    }
    Ok(report)
}

impl Import {
    fn refuse(&mut self, path: &Path, why: String) {
        let path = path.display().to_string();
        self.refused.push(NotTaken {
            path: one_line(&path).into_owned(),
            why,
        });
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
}

/// Makes the change that publishes a file.
fn change(
    found: &Found,
    own: &HashSet<String>,
    index: &PrivateIndex,
    lines: &KnownLines,
    owners: &[String],
) -> Result<Change, Refusal> {
    let mut metadata = found.metadata.clone();
    for dependency in &mut metadata.deps {
        let is_own = || own.contains(&folded(&dependency.name)) || has(index, &dependency.name);
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

fn has(index: &PrivateIndex, name: &str) -> bool {
    let found = || {
        let snapshot = index.snapshot().ok().flatten()?;
        let path = CrateName::new(name).ok()?.index_path();
        snapshot.file(&path).ok().flatten()
    };
    found().is_some()
}

/// Reads a crate file.
fn read(
    path: &Path,
    modified: SystemTime,
    max_size: u64,
    names: &ReservedNames,
) -> Result<Found, Refusal> {
    let failed = |error: std::io::Error| Refusal::invalid(format!("it cannot be read: {error}"));
    let size = fs::metadata(path).map_err(failed)?.len();
    check_size(size, max_size)?;
    let (name, version) =
        named(path).ok_or_else(|| Refusal::invalid("its name is not NAME-VERSION.crate"))?;
    if !names.is_empty() && names.find(&folded(name.as_str())).is_none() {
        return Err(Refusal::forbidden(format!(
            "`{name}` is not one of private.names"
        )));
    }
    let bytes = Bytes::from(fs::read(path).map_err(failed)?);
    let metadata = declared(&manifest_of(&bytes, &name, &version)?)?;
    if metadata.name != name.as_str() || metadata.vers != version.as_str() {
        return Err(Refusal::invalid(
            "its Cargo.toml has another name or version",
        ));
    }
    Ok(Found {
        path: path.to_owned(),
        file: CrateFile {
            name,
            version,
            checksum: checksum_of(&bytes),
        },
        metadata,
        modified,
    })
}

/// Reads crate and version from the name of a file, `NAME-VERSION.crate`. A name may have numbers, too, as in `sha-1-0.10.1`.
fn named(path: &Path) -> Option<(CrateName, CrateVersion)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".crate")?;
    stem.match_indices('-').find_map(|(at, _)| {
        let name = CrateName::new(&stem[..at]).ok()?;
        let version = CrateVersion::new(&stem[at + 1..]).ok()?;
        Some((name, version))
    })
}

/// Lists the crate files below a folder, in the order of their paths, and when each was written. Links are not followed.
fn crate_files(folder: &Path) -> Result<Vec<(PathBuf, SystemTime)>> {
    let mut found = Vec::new();
    walk(folder, DEPTH, &mut |path, about| {
        if path.extension().is_some_and(|ending| ending == "crate") {
            found.push((path, about.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
        }
        found.len() <= FILES
    })?;
    if found.len() > FILES {
        let text = format!("{} has more than {FILES} crate files", folder.display());
        return Err(Error::new(Kind::Usage, text).advise("Import its folders one by one."));
    }
    found.sort();
    Ok(found)
}

fn walk(
    folder: &Path,
    depth: usize,
    visit: &mut dyn FnMut(PathBuf, fs::Metadata) -> bool,
) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| unread(folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unread(folder, error))?;
        let about = entry
            .metadata()
            .map_err(|error| unread(&entry.path(), error))?;
        if about.is_dir() && depth > 0 {
            walk(&entry.path(), depth - 1, visit)?;
        } else if about.is_file() && !visit(entry.path(), about) {
            return Ok(());
        }
    }
    Ok(())
}

fn unread(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Usage, format!("cannot read {}", path.display())).because(error)
}

/// What an index in the folder says of versions.
struct KnownLines(BTreeMap<(String, String), Known>);

#[derive(Clone, Copy)]
struct Known {
    published: Option<Timestamp>,
    is_yanked: bool,
}

impl KnownLines {
    /// Reads the files of crates at their paths in an index, in the folder itself or in one within it, such as `index/`.
    fn of(folder: &Path) -> Self {
        let mut known = BTreeMap::new();
        // What cannot be read here was told before.
        let _ = walk(folder, DEPTH, &mut |path, about| {
            const LARGEST: u64 = 64 << 20;
            if is_index_file(&path) && about.len() <= LARGEST {
                let content = fs::read(&path).unwrap_or_default();
                for line in content
                    .split(|byte| *byte == b'\n')
                    .filter_map(Published::read_whole)
                {
                    let checksum = line
                        .checksum
                        .as_deref()
                        .unwrap_or_default()
                        .to_ascii_lowercase();
                    let of = Known {
                        published: line.at,
                        is_yanked: line.is_yanked,
                    };
                    known.insert((line.version.into_owned(), checksum), of);
                }
            }
            true
        });
        Self(known)
    }

    fn find(&self, file: &CrateFile) -> Option<Known> {
        let key = (file.version.as_str().to_owned(), file.checksum.to_string());
        self.0.get(&key).copied()
    }
}

/// Says whether a path ends as that of a crate's file in an index.
fn is_index_file(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    (2..=3).any(|length| {
        parts.len() >= length && CrateName::is_index_path(&parts[parts.len() - length..].join("/"))
    })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_says_by_its_name_what_it_is_of() {
        for (file, of) in [
            ("a/acme-core-1.0.0.crate", Some("acme-core 1.0.0")),
            ("sha-1-0.10.1.crate", Some("sha-1 0.10.1")),
            ("a-1.0.0-rc.1+b.crate", Some("a 1.0.0-rc.1+b")),
            ("a.crate", None),
            ("a-1.0.0.tar", None),
        ] {
            let found = named(Path::new(file)).map(|(name, version)| format!("{name} {version}"));
            assert_eq!(found.as_deref(), of, "{file}");
        }
        assert!(is_index_file(Path::new("/x/index/ac/me/acme-core")));
        assert!(is_index_file(Path::new("3/a/abc")) && is_index_file(Path::new("2/ab")));
        assert!(!is_index_file(Path::new("ac/me/other")));
    }
}
