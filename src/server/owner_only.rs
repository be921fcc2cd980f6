//! Folders and files that no other user of the machine may read, whatever the umask: private crates, tokens, who fetched what. What
//! is there already stays as it is: somebody may have opened it to a group.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

/// Makes a folder, unless it is there.
///
/// # Errors
/// If the disk fails.
pub fn folder(path: &Path) -> io::Result<()> {
    let parent = parent(path);
    fs::create_dir_all(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            keep_owner(&File::open(path)?, parent);
            Ok(())
        }
    }
}

/// Opens a file to add to it; it is made if there is none.
///
/// # Errors
/// If the disk fails.
pub fn file(path: &Path) -> io::Result<File> {
    let parent = parent(path);
    fs::create_dir_all(parent)?;
    let is_new = !fs::exists(path)?;
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(path)?;
    if is_new {
        keep_owner(&file, parent);
    }
    Ok(file)
}

fn parent(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Gives what is new to whom its folder belongs, where we may: else root, who makes a token for a server of another user, would make
/// a file that the server cannot read.
fn keep_owner(new: &File, folder: &Path) {
    if let Ok(about) = fs::metadata(folder) {
        let _ = fchown(new, Some(about.uid()), Some(about.gid()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_new_is_for_its_owner_and_what_is_there_stays() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let place = tempfile::tempdir().unwrap();
        let (new, inner) = (place.path().join("a/b"), place.path().join("a/b/file"));
        for _ in 0..2 {
            folder(&new).unwrap();
            file(&inner).unwrap();
            assert_eq!((mode(&new), mode(&inner)), (0o700, 0o600));
        }
        fs::set_permissions(&new, fs::Permissions::from_mode(0o750)).unwrap();
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o640)).unwrap();
        folder(&new).unwrap();
        file(&inner).unwrap();
        assert_eq!((mode(&new), mode(&inner)), (0o750, 0o640));
    }
}
