//! The two places whose configuration is written: a project, and cargo's own folder.

use std::path::PathBuf;

use crate::error::{Error, Kind, Result};

/// Where cargo's configuration is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The folder of a project: cargo reads `.cargo/config.toml` when it is started in there.
    Project(PathBuf),
    /// cargo's own folder, `$CARGO_HOME`: its `config.toml` counts everywhere, and is the only one that `cargo install` reads.
    Home(PathBuf),
}

impl Place {
    /// Returns the folder of the configuration file.
    ///
    /// # Errors
    /// `config` if the project does not exist.
    pub(in crate::server) fn folder(&self) -> Result<PathBuf> {
        let project = match self {
            // cargo makes it when it first runs, which may be later.
            Self::Home(folder) => return Ok(folder.clone()),
            Self::Project(project) => project,
        };
        if !project.is_dir() {
            let message = format!("{} is not a folder", project.display());
            return Err(Error::new(Kind::Config, message)
                .advise("Give the folder of a project. Nothing was changed."));
        }
        Ok(project.join(".cargo"))
    }

    /// Says when cargo reads the file.
    pub(super) fn readers(&self) -> &'static str {
        match self {
            Self::Project(_) => "cargo reads it when it runs in that project",
            Self::Home(_) => "cargo reads it wherever it runs, for `cargo install`, too",
        }
    }
}
