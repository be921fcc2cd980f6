//! crates.io's database dump, `db-dump.tar.gz`: what the registry knows of crates beyond its index. It is read as it comes and never
//! unpacked: [`stage`] puts the tables that are known into a database of their own, from which
//! [`CatalogDatabase::import`](crate::server::catalog::crates::CatalogDatabase::import) takes them.

mod archive;
mod bounds;
pub mod commands;
mod download;
mod importing;
mod pieces;
pub mod report;
mod rows;
mod source;
mod staging;
mod tables;
#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, BufRead};
use std::path::Path;

use crate::error::{Error, Result};
pub use importing::{Outcome, When, import};
pub use source::{Fetched, Version, fetch};
pub use staging::Staged;
use staging::Staging;

/// Why a dump cannot be used.
#[derive(Debug)]
pub enum DumpError {
    /// What is wrong with it: a clause such as `it has no data/crates.csv`.
    Broken(String),
    /// It could not be read to its end for another reason.
    Failed(Error),
}

impl DumpError {
    fn new(text: impl Into<String>) -> Self {
        Self::Broken(text.into())
    }

    fn of_disk(error: Error) -> Self {
        Self::Failed(error)
    }

    /// What could not be received carries an error of ours.
    fn of_reading(error: io::Error) -> Self {
        let text = match (error.kind(), error.to_string()) {
            (io::ErrorKind::UnexpectedEof, _) => "it ends too early".to_owned(),
            // As flate2 says of whatever does not begin as such a file does, mostly a page of a proxy or portal.
            (_, text) if text == "invalid gzip header" => "it is no gzip file".to_owned(),
            (_, text) if text == "corrupt gzip stream does not have a matching checksum" => {
                "its checksum is wrong".to_owned()
            }
            (_, text) => text,
        };
        match error.downcast::<Error>() {
            Ok(error) => Self::Failed(error),
            Err(_) => Self::Broken(text),
        }
    }

    /// Says where it is.
    fn at(self, place: impl FnOnce() -> String) -> Self {
        match self {
            Self::Broken(text) => Self::Broken(format!("{}: {text}", place())),
            failed @ Self::Failed(_) => failed,
        }
    }
}

/// Reads a dump to its end and stages its tables, below the folder of what the server stores, or without one in the system's temporary
/// folder; `begins` is called with the name of each
/// table. It takes a few minutes of a thread, less than 100 MB of memory, and some 300 MB of disk.
///
/// # Errors
/// What is wrong with the dump, or what prevents its tables from being written.
pub fn stage(
    file: impl BufRead,
    data_dir: Option<&Path>,
    begins: impl FnMut(&str),
) -> Result<Staged, DumpError> {
    let mut staging = Staging::create(data_dir).map_err(DumpError::Failed)?;
    archive::read(file, &mut staging, begins)?;
    staging.finish().map_err(DumpError::Failed)
}
