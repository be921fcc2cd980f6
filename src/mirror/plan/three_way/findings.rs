//! What a merge has to tell besides its tree.

use std::fmt;

use crate::git::tree::TreeEntry;

/// A path that mirror and upstream both changed, in ways that only a person can join.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The path from the root; bytes that are no UTF-8 are shown as replacement signs.
    pub path: String,
    /// What both sides did to it.
    pub kind: ConflictKind,
}

/// What both sides did to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConflictKind {
    /// Each side has another content, mode or type than before, and than the other.
    BothChanged,
    /// Each side added it, and not the same.
    BothAdded,
    /// The mirror deleted what upstream changed.
    DeletedHere,
    /// Upstream deleted what the mirror changed.
    DeletedUpstream,
    /// One side has a file where the other has a directory.
    FileAndDirectory,
    /// Both sides changed a directory that is nested too deep for the planner to enter.
    TooDeep,
}

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BothChanged => "changed here, changed upstream",
            Self::BothAdded => "added here, added upstream",
            Self::DeletedHere => "deleted here, changed upstream",
            Self::DeletedUpstream => "changed here, deleted upstream",
            Self::FileAndDirectory => "a file on one side, a directory on the other",
            Self::TooDeep => "a directory changed here and upstream, nested too deep to be merged",
        })
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.kind)
    }
}

/// A path where the merged tree differs from upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path from the root; a directory's ends in `/`.
    pub path: String,
    /// What the merged tree has there.
    pub ours: Option<TreeEntry>,
    /// What upstream has there.
    pub theirs: Option<TreeEntry>,
    /// Whether it stands for what it holds: a directory that both have, not entered since the list was long enough.
    pub cut: bool,
}

/// Something that does not stop a merge and that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// Upstream changed its `config.json` since the base; the mirror's stays.
    UpstreamConfigChanged,
    /// Upstream changed, added or deleted a kept path since the base; the mirror's stays.
    KeptPathChangedUpstream {
        /// The path; a directory's ends in `/`.
        path: String,
    },
    /// The mirror differs from upstream on a path that upstream has and that the mirror was not told to keep.
    DiffersFromUpstream {
        /// The path; a directory's ends in `/`.
        path: String,
    },
    /// The list of differences was cut, and in what it leaves out there may be such a path.
    OverlayCut,
    /// A path given as `--ours` settled no conflict.
    OursUnused {
        /// The path as it was given, without slashes at its ends.
        path: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpstreamConfigChanged => {
                f.write_str("upstream changed its config.json; the mirror's stays as it is")
            }
            Self::KeptPathChangedUpstream { path } => write!(
                f,
                "upstream changed {path}, which mirror.keep names; the mirror's stays as it is"
            ),
            Self::DiffersFromUpstream { path } => write!(
                f,
                "{path} differs from upstream's and is not named by mirror.keep"
            ),
            Self::OverlayCut => f.write_str(
                "the list of paths that differ from upstream's was cut: some directories in it were not looked into, and \
                 may hold changed files of upstream's that mirror.keep does not name",
            ),
            Self::OursUnused { path } => write!(f, "--ours {path} settled no conflict"),
        }
    }
}
