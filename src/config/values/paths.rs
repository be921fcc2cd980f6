//! Paths of files, and the text of a file of certificates.

use std::path::{Path, PathBuf};

use super::super::certificates;

/// Reads a path.
pub(in super::super) fn path(text: &str) -> Result<PathBuf, String> {
    match text.contains(char::is_control) {
        true => Err(format!("expected a path, found `{}`", text.escape_debug())),
        false => Ok(PathBuf::from(text)),
    }
}

/// Reads the PEM file that the value names, and returns its text.
pub(in super::super) fn certificates(path: &str) -> Result<String, String> {
    certificates::read(Path::new(path))
}
