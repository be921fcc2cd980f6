//! What an error of the disk means, and what to do about it: of the system, and of SQLite.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::path::Path;

use rusqlite::ErrorCode;
use rustix::io::Errno;

use crate::error::{Error, Kind};

/// Why the disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Full,
    Broken,
    ReadOnly,
    NoFolder,
    OpenFiles,
    Locked,
    Damaged,
    /// It may be that this user has not the right.
    Other,
}

impl Reason {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Self::NoFolder,
            _ => match errno(error) {
                Some(Errno::IO) => Self::Broken,
                Some(Errno::MFILE | Errno::NFILE) => Self::OpenFiles,
                _ => Self::Other,
            },
        }
    }

    fn of_sqlite(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::SystemIoFailure) => Self::Broken,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                Self::Other
            }
            _ => Self::Broken,
        }
    }

    /// A disk that has room again, and a catalog that is free again, need no other configuration.
    fn kind(self) -> Kind {
        match self {
            Self::Full | Self::Locked => Kind::Server,
            Self::Broken
            | Self::Damaged
            | Self::ReadOnly
            | Self::NoFolder
            | Self::OpenFiles
            | Self::Other => Kind::Config,
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Full => {
                "Make room on the disk of `serve.data_dir`, or set it to a folder on another one."
            }
            Self::Broken => {
                "Check that the disk of `serve.data_dir` is sound and not full: `df` shows the room, the kernel's log (`dmesg`) the \
                 errors."
            }
            Self::ReadOnly => {
                "Set `serve.data_dir` to a folder on a file system that is not mounted read-only."
            }
            Self::NoFolder => "Set `serve.data_dir` to a folder: a part of its path is a file.",
            Self::OpenFiles => {
                "Raise the number of files that this process may open (`ulimit -n`, LimitNOFILE of a systemd unit)."
            }
            Self::Locked => {
                "Stop the program that has the file open, such as sqlite3 or a backup, and try again."
            }
            Self::Damaged => {
                "Move the file away: the next start creates a new one. A new catalog.sqlite has no pins; a new crates.sqlite lacks what \
                 was imported from a dump, and a new history.sqlite the last week."
            }
            Self::Other => "Set `serve.data_dir` to a folder that this user may write.",
        }
    }
}

/// Makes the error of a file or folder that cannot be written.
pub fn unwritable(path: &Path, error: io::Error) -> Error {
    let reason = Reason::of(&error);
    Error::new(reason.kind(), format!("cannot write {}", path.display()))
        .because(error)
        .advise(reason.advice())
}

/// Makes the error of SQLite's database at `path`, with what is wrong in place of SQLite's words where it has a code.
pub fn of_database(path: &Path, error: rusqlite::Error) -> Error {
    let reason = Reason::of_sqlite(&error);
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::SystemIoFailure) => "the disk cannot be read or written",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program keeps it locked"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "it cannot be written",
        Some(ErrorCode::CannotOpen) => "it can neither be opened nor created",
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "it is damaged, or no database"
        }
        _ => "SQLite fails",
    };
    let told = Error::new(
        reason.kind(),
        format!("cannot use the database {}: {what}", path.display()),
    )
    .advise(reason.advice());
    match what {
        "SQLite fails" => told.because(error),
        _ => told,
    }
}

/// Returns the system's number of an error, also of one that a library wrapped.
fn errno(error: &io::Error) -> Option<Errno> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        let system = error.downcast_ref::<io::Error>();
        if let Some(number) = system.and_then(io::Error::raw_os_error) {
            return Some(Errno::from_raw_os_error(number));
        }
        // `source` skips the wrapped error itself.
        next = match system.and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_disk_advises_what_mends_it() {
        let errnos = [
            ("no room", Errno::NOSPC),
            ("a quota", Errno::DQUOT),
            ("a broken disk", Errno::IO),
            ("read-only", Errno::ROFS),
            ("a file in the path", Errno::NOTDIR),
            ("open files", Errno::MFILE),
            ("no right", Errno::ACCESS),
        ];
        let path = Path::new("/srv/ferry/lock");
        let mut table = String::new();
        for (cause, errno) in errnos {
            let wrapped = io::Error::other(io::Error::from(errno));
            // The kind is the system's alone where an error is wrapped.
            let error = match errno {
                Errno::MFILE | Errno::IO => wrapped,
                errno => errno.into(),
            };
            table += &crate::error::row(cause, &unwritable(path, error));
        }
        for code in [
            rusqlite::ffi::SQLITE_FULL,
            rusqlite::ffi::SQLITE_IOERR,
            rusqlite::ffi::SQLITE_BUSY,
            rusqlite::ffi::SQLITE_READONLY,
            rusqlite::ffi::SQLITE_CANTOPEN,
            rusqlite::ffi::SQLITE_NOTADB,
            rusqlite::ffi::SQLITE_TOOBIG,
        ] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let cause = format!("SQLite's {code}");
            table += &crate::error::row(&cause, &of_database(path, error));
        }
        insta::assert_snapshot!(table);
    }
}
