//! The archive: a tar file whose `data/*.csv` are the tables. Nothing of it is unpacked, so no path in it leads anywhere.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use jiff::Timestamp;
use serde::Deserialize;
use tar::{Archive, EntryType};

use super::DumpError;
use super::bounds::BOUNDS;
use super::rows;
use super::staging::Staging;
use super::tables::{CRATES, Table, VERSION_DOWNLOADS};
use crate::server::inflated::Inflated;

/// What the dump's `metadata.json` says.
#[derive(Debug, Deserialize)]
struct Metadata {
    timestamp: Option<String>,
}

/// Reads a dump to its end, and stages what is known of its tables, which may come in any order. `begins` is called with the name of each.
pub(super) fn read(
    file: impl BufRead,
    staging: &mut Staging,
    mut begins: impl FnMut(&str),
) -> Result<(), DumpError> {
    let mut archive = Archive::new(Inflated::new(file, BOUNDS.file));
    let mut seen = BTreeSet::new();
    let entries = archive.entries().map_err(unreadable)?.raw(true);
    for (number, entry) in entries.enumerate() {
        if number >= BOUNDS.entries {
            let text = format!("it has more than {} files", BOUNDS.entries);
            return Err(DumpError::new(text));
        }
        let mut entry = entry.map_err(unreadable)?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let Some(name) = name_of(&entry.path_bytes()) else {
            continue;
        };
        if name == METADATA {
            staging.made = made(&mut entry)?;
        }
        let (table, is_summed) = (Table::named(&name), name == VERSION_DOWNLOADS);
        if table.is_none() && !is_summed {
            continue;
        }
        if !seen.insert(name.clone()) {
            return Err(DumpError::new(format!("it has data/{name}.csv twice")));
        }
        begins(&name);
        let size = entry.size();
        let mut entry = Whole {
            inner: entry,
            left: size,
        };
        match table {
            Some(table) => rows::stage(table, &mut entry, staging)?,
            None => rows::sum(&name, &mut entry, staging)?,
        }
    }
    if !seen.contains(CRATES) {
        return Err(DumpError::new("it has no data/crates.csv"));
    }
    // Its checksum is at the end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(unreadable)?;
    Ok(())
}

/// Fails where an entry ends before it should, which the library takes for its end.
struct Whole<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        match read == 0 && self.left > 0 && !buffer.is_empty() {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(read),
        }
    }
}

const METADATA: &str = "metadata.json";

/// Returns the table of a path such as `2026-11-30-020000/data/crates.csv`, or `metadata.json`.
fn name_of(path: &[u8]) -> Option<String> {
    let path = str::from_utf8(path).ok()?;
    let parts: Vec<_> = path.split('/').filter(|part| *part != ".").collect();
    match *parts.as_slice() {
        [METADATA] | [_, METADATA] => Some(METADATA.to_owned()),
        ["data", file] | [_, "data", file] => file.strip_suffix(".csv").map(str::to_owned),
        _ => None,
    }
}

/// Reads when the dump was made; one that does not say so is as good.
fn made(entry: &mut impl Read) -> Result<Option<Timestamp>, DumpError> {
    let mut text = Vec::new();
    let read = entry.take(BOUNDS.metadata).read_to_end(&mut text);
    read.map_err(unreadable)?;
    let metadata = serde_json::from_slice::<Metadata>(&text).ok();
    Ok(metadata.and_then(|metadata| metadata.timestamp?.parse().ok()))
}

/// Makes the error of an archive that cannot be read.
fn unreadable(error: io::Error) -> DumpError {
    DumpError::of_reading(error)
}
