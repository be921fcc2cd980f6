//! Reads small text files: configuration, keys, certificates, tokens.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file, in bytes: far above any configuration, key or bundle of certificates. Keeps a wrong path from
/// filling the memory.
const LIMIT: u64 = 8 << 20;

/// Reads a text file of at most 8 MiB; one that is larger or not UTF-8 is `InvalidData`, with the first such line.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut bytes = Vec::new();
    // Not by the file's length, which says nothing of a pipe.
    let length = File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if length as u64 > LIMIT {
        return Err(invalid("the file is larger than 8 MiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        invalid(format!("line {line} is not UTF-8"))
    })
}
