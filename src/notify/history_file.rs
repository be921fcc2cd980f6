//! The file `mail.state`, which records what was mailed.
//!
//! It is a convenience: a missing, broken or unwritable file costs one mail too many, and never a sync.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::Builder;
use tracing::{error, warn};

use super::notice::{MailHistory, MirrorHistory};

/// The largest file that is read: far above what we write, so that a wrong path does not fill the memory.
const LIMIT: u64 = 1 << 20;

/// The history of one mirror, and the file that it is stored in.
pub(super) struct HistoryFile {
    path: Option<PathBuf>,
    thread: String,
    /// The histories of all mirrors in the file.
    all: MailHistory,
    /// What was mailed about this mirror.
    pub(super) history: MirrorHistory,
}

impl HistoryFile {
    /// Reads a mirror's history; a file that cannot be read counts as empty.
    pub(super) fn open(path: Option<&Path>, thread: &str) -> Self {
        let all = path.map(read_or_default).unwrap_or_default();
        Self {
            history: all.mirrors.get(thread).cloned().unwrap_or_default(),
            path: path.map(Path::to_owned),
            thread: thread.to_owned(),
            all,
        }
    }

    /// Says whether the history outlives this process.
    pub(super) fn is_persistent(&self) -> bool {
        self.path.is_some()
    }

    /// Writes the file, whole or not at all; a failure is an error in the log.
    pub(super) fn save(mut self) {
        let Some(path) = &self.path else { return };
        // The other mirrors stay: several jobs may share the file.
        self.all.mirrors.insert(self.thread, self.history);
        if let Err(cause) = write(path, &self.all) {
            error!(
                "cannot write mail.state, so the next sync may mail the same again: {}: {cause}",
                path.display()
            );
        }
    }
}

fn read_or_default(path: &Path) -> MailHistory {
    match read(path) {
        Ok(history) => history,
        Err(e) if e.kind() == io::ErrorKind::NotFound => MailHistory::default(),
        Err(e) => {
            warn!(
                "cannot read mail.state, starting with an empty one: {}: {e}",
                path.display()
            );
            MailHistory::default()
        }
    }
}

fn read(path: &Path) -> io::Result<MailHistory> {
    let mut text = Vec::new();
    // Not by the file's length, which says nothing of a pipe, and may change.
    let length = File::open(path)?.take(LIMIT + 1).read_to_end(&mut text)?;
    if length as u64 > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file is larger than 1 MiB",
        ));
    }
    Ok(serde_json::from_slice(&text)?)
}

fn write(path: &Path, history: &MailHistory) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    // The file holds no secret, and a CI cache may restore it for a job that runs as another user.
    let everyone = Permissions::from_mode(0o666);
    let mut file = Builder::new().permissions(everyone).tempfile_in(folder)?;
    serde_json::to_writer_pretty(&mut file, history)?;
    file.write_all(b"\n")?;
    // Renamed, so that no reader finds half a file; not synced, since losing it in a crash costs one mail too many.
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::process::Command;

    use super::*;

    #[test]
    fn a_file_that_shows_no_length_is_read_no_further_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let pipe = path.clone();
        let writer = std::thread::spawn(move || {
            let mut pipe = File::options().write(true).open(pipe)?;
            pipe.write_all(&vec![b' '; usize::try_from(LIMIT).unwrap_or_default() + 1])?;
            serde_json::to_writer(pipe, &MailHistory::default()).map_err(io::Error::from)
        });
        let error = read(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        // The reader has left: the rest cannot be written.
        drop(writer.join().unwrap());
    }
}
