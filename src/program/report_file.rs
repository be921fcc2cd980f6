//! Writes the file of `--report`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

/// Replaces a file in one step: a reader finds the last report or this one, never half of one.
///
/// A path that is no regular file, such as a pipe or `/dev/stderr`, is written to, and not replaced.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return fs::write(path, text);
    }
    let Some(name) = path.file_name() else {
        return fs::write(path, text);
    };
    let mut beside = OsString::from(".");
    beside.push(name);
    // In the same directory, since a rename cannot leave its file system; with the process's id, since two may write.
    beside.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The error that is returned says more than that of a file which is not there.
        let _ = fs::remove_file(&beside);
    }
    written
}
