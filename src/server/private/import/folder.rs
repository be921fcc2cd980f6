//! A folder of crate files: which there are, and what an index beside them says of each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use jiff::Timestamp;

use crate::error::{Error, Kind, Result};
use crate::index::{CrateFile, CrateName, CrateVersion, Published, ReservedNames, folded};
use crate::server::private::files::checksum_of;
use crate::server::private::manifest::declared;
use crate::server::private::publishable::manifest_of;
use crate::server::private::refusal::Refusal;
use crate::server::private::request::{Metadata, check_size};

/// How deep folders are entered, and how many files are taken.
const DEPTH: usize = 8;
const FILES: usize = 1_000_000;

/// A crate file that was found, and what its manifest declares.
pub(super) struct Found {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Which version it is of.
    pub(super) file: CrateFile,
    /// What its manifest declares.
    pub(super) metadata: Metadata,
    /// When it was written.
    pub(super) modified: SystemTime,
}

/// Reads a crate file.
pub(super) fn read(
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
pub(super) fn crate_files(folder: &Path) -> Result<Vec<(PathBuf, SystemTime)>> {
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

/// Makes the error of what cannot be read.
pub(super) fn unread(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Usage, format!("cannot read {}", path.display())).because(error)
}

/// What an index in the folder says of versions, by their number and checksum.
pub(super) struct KnownLines(BTreeMap<(String, String), Known>);

/// When a version was published, and whether it is yanked.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) published: Option<Timestamp>,
    pub(super) is_yanked: bool,
}

impl KnownLines {
    /// Reads the files of crates at their paths in an index, in the folder itself or in one within it, such as `index/`.
    pub(super) fn of(folder: &Path) -> Self {
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

    /// Returns what the index says of a version with these bytes.
    pub(super) fn find(&self, file: &CrateFile) -> Option<Known> {
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
