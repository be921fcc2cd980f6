//! Which of the server's two registries something is of. The same name may be a crate in both, and those have nothing to do with each
//! other: whatever finds, keeps or links to a crate says of which registry it is.

use crate::index::CrateFile;

/// A registry of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Registry {
    /// The mirror of the public one.
    Mirror,
    /// That of private crates.
    Private,
}

/// A crate file, and the registry whose store has it.
#[derive(Debug, Clone)]
pub(super) struct FileOf {
    pub(super) registry: Registry,
    pub(super) file: CrateFile,
}

impl Registry {
    /// Returns what the path of a page has before the name of a crate, without the slash.
    pub(super) fn crates(self) -> &'static str {
        match self {
            Self::Mirror => "/crates",
            Self::Private => "/private/crates",
        }
    }

    /// Returns the path of the page that searches, and finds private crates only for those who may read them.
    pub(super) fn search(self) -> &'static str {
        match self {
            Self::Mirror => "/search",
            Self::Private => "/private/search",
        }
    }

    /// Returns the path of the page of a crate.
    pub(super) fn path(self, name: &str) -> String {
        format!("{}/{name}", self.crates())
    }

    /// Says whether it is that of private crates.
    pub(super) fn is_private(self) -> bool {
        self == Self::Private
    }

    /// Says that a crate file is of this registry.
    pub(super) fn file(self, file: CrateFile) -> FileOf {
        FileOf {
            registry: self,
            file,
        }
    }
}
