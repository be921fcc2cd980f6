//! Small files that are written whole or not at all, also where the writer is killed.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::Builder;

/// How the name of a file begins that is being written, and how it ends: the folder may be cargo's, which has files of its own.
const BEING_WRITTEN: (&str, &str) = (".crates-ferry-", ".tmp");
/// After what time nobody writes it any more.
const LEFT: Duration = Duration::from_secs(60);

/// Writes the file whole or not at all, with the permissions and, where we may, the owner that it had. Removes what killed processes left beside it.
///
/// # Errors
/// What the disk says.
pub(in crate::server) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    remove_left(folder, SystemTime::now());
    let (begin, end) = BEING_WRITTEN;
    let mut file = Builder::new()
        .prefix(begin)
        .suffix(end)
        .tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    // Temporary files are readable by their owner only (0600).
    let permissions = match fs::metadata(path) {
        Ok(about) => {
            // Only root may, who would take a file away from another user otherwise.
            let _ = fchown(file.as_file(), Some(about.uid()), Some(about.gid()));
            about.permissions()
        }
        Err(_) => fs::Permissions::from_mode(0o644),
    };
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Removes the files of writers that were killed. What cannot be removed does no harm.
fn remove_left(folder: &Path, now: SystemTime) {
    let (begin, end) = BEING_WRITTEN;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let is_ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(begin) && name.ends_with(end));
        // Of the link itself, where it is one.
        let is_left = |about: fs::Metadata| {
            let age = now.duration_since(about.modified()?);
            Ok::<_, io::Error>(about.is_file() && age.is_ok_and(|age| age > LEFT))
        };
        if is_ours && entry.metadata().and_then(is_left).unwrap_or(false) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
