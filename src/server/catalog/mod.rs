//! What is known without asking again, in SQLite: [`files`], which crate files are stored and when each was used, and
//! [`crates`], what the crates of the index are, for search and pages.

pub mod crates;
pub mod files;

/// Says whether the file is no sound database: the disk returned other bytes than were written.
pub(in crate::server) fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    // Not `FULL`, `IOERR` or `CANTOPEN`: what is recreated would need even more room on the disk, and pins would be lost.
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseCorrupt | NotADatabase)
    )
}
