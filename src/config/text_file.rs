//! Reads small text files: configuration, keys, certificates, tokens.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file, in bytes: far above any configuration, key or bundle of certificates. Keeps a wrong path from
/// filling the memory.
const LIMIT: u64 = 8 << 20;

/// Reads a text file of at most 8 MiB; one that is larger or not UTF-8 is `InvalidData`.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // Not by the file's length, which says nothing of a pipe.
    let length = File::open(path)?
        .take(LIMIT + 1)
        .read_to_string(&mut text)?;
    if length as u64 > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is larger than 8 MiB",
        ));
    }
    Ok(text)
}
