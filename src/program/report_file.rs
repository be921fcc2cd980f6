//! Writes the file of `--report`.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Replaces a file in one step: a reader finds the last report or this one, never half of one. A symbolic link stays,
/// and the file that it leads to is replaced.
///
/// What is no regular file, such as a pipe or a terminal, and what the system shows of a process's open files, such as
/// `/dev/stdout`, is written to, and not replaced.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let Some(path) = replaceable(path) else {
        return append(path, text);
    };
    let Some(name) = path.file_name() else {
        return append(&path, text);
    };
    let mut beside = OsString::from(".");
    beside.push(name);
    // In the same directory, since a rename cannot leave its file system; with the process's id, since two may write.
    beside.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // The error that is returned says more than that of a file which is not there.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Returns the file that a path leads to, which need not be there yet; `None` if it is not one to replace.
fn replaceable(path: &Path) -> Option<PathBuf> {
    let mut target = path.to_owned();
    // As many links as Linux follows.
    for _ in 0..40 {
        let Ok(next) = fs::read_link(&target) else {
            let is_file = fs::metadata(&target).map_or(true, |found| found.is_file());
            return is_file.then_some(target);
        };
        target = target.parent().unwrap_or(Path::new("/")).join(next);
        // `/dev/stdout` is a link to `/proc/self/fd/1`, and that is one to the file that stdout was redirected to.
        if target.starts_with("/proc") {
            return None;
        }
    }
    None
}

/// Writes to the end of what is there.
fn append(path: &Path, text: &str) -> io::Result<()> {
    // Opening a pipe would wait for its reader for ever, and signals are not heard any more at this point.
    let open_at_once = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new()
        .append(true)
        .custom_flags(open_at_once)
        .open(path)?;
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    file.write_all(text.as_bytes())
}
