//! The file that remembers what was mailed. It is a convenience: a missing, broken or unwritable one costs a mail too many.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::Builder;
use tracing::{error, warn};

use crate::notify::notice::{Memory, Record};

/// Far above what a file that we wrote can be; keeps a wrong path from filling the memory.
const LIMIT: u64 = 1 << 20;

/// What is remembered of one mirror, and the file that it goes to.
pub(super) struct MemoryFile {
    path: Option<PathBuf>,
    thread: String,
    all: Memory,
    /// What was told of the mirror.
    pub(super) record: Record,
}

impl MemoryFile {
    /// Reads what the file says of a mirror; one that cannot be read counts as empty.
    pub(super) fn open(path: Option<&Path>, thread: &str) -> Self {
        let all = path.map(read_or_begin).unwrap_or_default();
        Self {
            record: all.mirrors.get(thread).cloned().unwrap_or_default(),
            path: path.map(Path::to_owned),
            thread: thread.to_owned(),
            all,
        }
    }

    /// Says whether there is a file to remember in.
    pub(super) fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// Writes the file, whole or not at all; a failure is an error in the log.
    pub(super) fn save(mut self) {
        let Some(path) = &self.path else { return };
        self.all.mirrors.insert(self.thread, self.record);
        if let Err(cause) = write(path, &self.all) {
            error!(
                "mail.state cannot be written, so that the next run may mail the same again: {}: {cause}",
                path.display()
            );
        }
    }
}

fn read_or_begin(path: &Path) -> Memory {
    match read(path) {
        Ok(memory) => memory,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Memory::default(),
        Err(e) => {
            warn!(
                "mail.state cannot be read and is begun anew: {}: {e}",
                path.display()
            );
            Memory::default()
        }
    }
}

fn read(path: &Path) -> io::Result<Memory> {
    if std::fs::metadata(path)?.len() > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is larger than 1 MiB",
        ));
    }
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn write(path: &Path, memory: &Memory) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    // It holds no secret, and a CI cache may give it to another user.
    let everyone = Permissions::from_mode(0o666);
    let mut file = Builder::new().permissions(everyone).tempfile_in(folder)?;
    serde_json::to_writer_pretty(&mut file, memory)?;
    file.write_all(b"\n")?;
    file.persist(path)?;
    Ok(())
}
