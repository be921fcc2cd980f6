//! The entries of the tar archive: what cargo makes is read, all else is refused.
//!
//! The entries are taken raw. The library reads one that says something of the next one, a long path, whole into memory,
//! and follows one that says another size; here both have bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};

use aws_lc_rs::digest::{Context, SHA256};
use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::bounds::BOUNDS;
use super::{ArchiveError, Content};
use crate::index::Checksum;
use crate::server::inflated::Inflated;
use crate::shown::printable;

/// What a PAX entry may say beside a path: times and owners, which nobody reads.
const IGNORED: [&str; 8] = [
    "atime", "comment", "ctime", "gid", "gname", "mtime", "uid", "uname",
];

/// How many bytes of a text from the archive an error repeats.
const SHOWN: usize = 100;

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedFile {
    /// Its path below the folder `NAME-VERSION`: no part of it is empty, `.` or `..`.
    pub path: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its SHA-256 checksum, where checksums were asked for.
    pub checksum: Option<Checksum>,
}

/// What is wanted of an archive beside the list of its files.
pub(super) struct Wanted<'p> {
    paths: BTreeSet<&'p str>,
    has_checksums: bool,
}

impl<'p> Wanted<'p> {
    /// The files with these paths.
    pub(super) fn files(paths: &[&'p str]) -> Self {
        Self {
            paths: paths.iter().copied().collect(),
            has_checksums: false,
        }
    }

    /// The checksums of all files.
    pub(super) fn checksums() -> Self {
        Self {
            paths: BTreeSet::new(),
            has_checksums: true,
        }
    }
}

/// What was read of an archive.
#[derive(Debug, Default)]
pub(super) struct Archived {
    /// All files, in the order of the archive.
    pub(super) files: Vec<ArchivedFile>,
    /// Those that were wanted.
    pub(super) kept: BTreeMap<String, Content>,
}

/// Reads an archive to its end, and keeps the files with the wanted paths.
pub(super) fn walk(
    file: impl Read,
    root: &str,
    wanted: &Wanted<'_>,
) -> Result<Archived, ArchiveError> {
    let mut archive = Archive::new(Inflated::new(BufReader::new(file), BOUNDS.file));
    let entries = archive.entries().map_err(unreadable)?.raw(true);
    let mut archived = Archived::default();
    let mut long_path = None;
    for (number, entry) in entries.enumerate() {
        if number >= BOUNDS.entries {
            let text = format!("it has more than {} entries", BOUNDS.entries);
            return Err(ArchiveError::new(text));
        }
        let mut entry = entry.map_err(unreadable)?;
        match entry.header().entry_type() {
            EntryType::Regular => {
                let path = long_path.take();
                let path = path.unwrap_or_else(|| entry.path_bytes().into_owned());
                let path = path_below(root, &path)?;
                let size = entry.size();
                if wanted.paths.contains(path.as_str()) {
                    let content = content(&mut entry)?;
                    archived.kept.insert(path.clone(), content);
                }
                let checksum = match wanted.has_checksums {
                    true => Some(checksum(&mut entry)?),
                    false => None,
                };
                archived.files.push(ArchivedFile {
                    path,
                    size,
                    checksum,
                });
            }
            // Where a file lies says its path: folders add nothing.
            EntryType::Directory if long_path.take().is_none() => {}
            EntryType::GNULongName if long_path.is_none() => {
                let mut path = extension(&mut entry)?;
                // It ends with a zero byte, which is not part of it.
                path.pop_if(|last| *last == 0);
                long_path = Some(path);
            }
            EntryType::XHeader if long_path.is_none() => long_path = pax_path(&mut entry)?,
            EntryType::XGlobalHeader if long_path.is_none() => {
                if pax_path(&mut entry)?.is_some() {
                    return Err(ArchiveError::new("it gives all its files one path"));
                }
            }
            other => return Err(refused(&entry, other)),
        }
    }
    if long_path.is_some() {
        return Err(ArchiveError::new(
            "it ends with the path of a file that is not there",
        ));
    }
    check_twice(&archived.files)?;
    Ok(archived)
}

/// Refuses what cargo would write twice: the second one would win there.
fn check_twice(files: &[ArchivedFile]) -> Result<(), ArchiveError> {
    let mut paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    match paths.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ArchiveError::new(format!(
            "it has `{}` twice",
            shown(pair[0].as_bytes())
        ))),
        None => Ok(()),
    }
}

/// Reads a file, as far as it is kept.
fn content(entry: &mut Entry<'_, impl Read>) -> Result<Content, ArchiveError> {
    let size = entry.size();
    let mut bytes = Vec::new();
    let read = entry.take(BOUNDS.kept).read_to_end(&mut bytes);
    let read = read.map_err(unreadable)?;
    match read as u64 == size.min(BOUNDS.kept) {
        true => Ok(Content { bytes, size }),
        false => Err(ArchiveError::new("it ends within a file")),
    }
}

/// Reads and hashes a file.
fn checksum(entry: &mut Entry<'_, impl Read>) -> Result<Checksum, ArchiveError> {
    let size = entry.size();
    let (mut context, mut buffer, mut read) = (Context::new(&SHA256), vec![0; 32 << 10], 0);
    loop {
        let piece = entry.read(&mut buffer).map_err(unreadable)?;
        if piece == 0 {
            break;
        }
        read += piece as u64;
        context.update(&buffer[..piece]);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    match read == size {
        true => Ok(Checksum::from_bytes(bytes)),
        false => Err(ArchiveError::new("it ends within a file")),
    }
}

/// Reads an entry that says something of the next one.
fn extension(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, ArchiveError> {
    if entry.size() > BOUNDS.extension {
        let text = format!("it has a header of more than {} bytes", BOUNDS.extension);
        return Err(ArchiveError::new(text));
    }
    Ok(content(entry)?.bytes)
}

/// Returns the path that a PAX entry gives the next one, if it does. What it might say else, another size or holes, would
/// make other programs read other files.
fn pax_path(entry: &mut Entry<'_, impl Read>) -> Result<Option<Vec<u8>>, ArchiveError> {
    let bytes = extension(entry)?;
    let mut path = None;
    for said in PaxExtensions::new(&bytes) {
        let said = said.map_err(unreadable)?;
        match said.key() {
            Ok("path") if path.is_none() => path = Some(said.value_bytes().to_vec()),
            Ok(key) if IGNORED.contains(&key) => {}
            _ => {
                let key = shown(said.key_bytes());
                let text = format!("it has a PAX header `{key}`, which cargo does not write");
                return Err(ArchiveError::new(text));
            }
        }
    }
    Ok(path)
}

/// Returns the path below the root.
fn path_below(root: &str, bytes: &[u8]) -> Result<String, ArchiveError> {
    let wrong = |what: &str| ArchiveError::new(format!("it has a file `{}`, {what}", shown(bytes)));
    if bytes.len() > BOUNDS.path {
        return Err(wrong("whose path is too long"));
    }
    let path = str::from_utf8(bytes).map_err(|_| wrong("whose path is not UTF-8"))?;
    let below = path
        .strip_prefix(root)
        .and_then(|rest| rest.strip_prefix('/'));
    let below = below.ok_or_else(|| wrong(&format!("which is not below {root}/")))?;
    match is_plain(below) {
        true => Ok(below.to_owned()),
        false => Err(wrong("whose path is not a plain one")),
    }
}

/// Says whether a relative path names what it seems to name.
pub(super) fn is_plain(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.all(|part| !matches!(part, "" | "." | "..")) && !path.contains(char::is_control)
}

fn refused(entry: &Entry<'_, impl Read>, entry_type: EntryType) -> ArchiveError {
    let what = match entry_type {
        EntryType::Link | EntryType::Symlink => "a link",
        EntryType::Char | EntryType::Block | EntryType::Fifo => "a device",
        EntryType::GNUSparse => "a file with holes",
        EntryType::GNULongName | EntryType::XHeader | EntryType::XGlobalHeader => {
            "a second header for one file"
        }
        EntryType::Directory => "a folder with a long path",
        _ => "something that is no file",
    };
    ArchiveError::new(format!("it has {what}: `{}`", shown(&entry.path_bytes())))
}

/// Shows the beginning of a text from the archive.
fn shown(bytes: &[u8]) -> String {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    printable(&start).into_owned()
}

fn unreadable(error: std::io::Error) -> ArchiveError {
    ArchiveError::of("it cannot be unpacked", error)
}
