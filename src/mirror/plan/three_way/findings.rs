//! What a merge finds besides its tree: conflicts, differences from upstream, warnings.

use std::fmt;

use crate::git::tree::TreeEntry;

/// A path that mirror and upstream both changed, and not in the same way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// The path from the root; bytes that are not UTF-8 are shown as replacement characters.
    pub path: String,
    /// What both sides did to it.
    pub kind: ConflictKind,
}

/// What both sides did to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConflictKind {
    /// Both sides changed its content, mode or type.
    BothChanged,
    /// Both sides added it, with different contents.
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
    /// Whether this is a directory that was not entered, since the list was too long, and stands for the paths in it.
    pub cut: bool,
}

/// Something that a person should look at, and that does not stop a merge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MergeWarning {
    /// Upstream changed its `config.json` since the base; the mirror keeps its own.
    UpstreamConfigChanged,
    /// Upstream changed, added or deleted a kept path since the base; the mirror keeps its own.
    KeptPathChangedUpstream {
        /// The path; a directory's ends in `/`.
        path: String,
    },
    /// Upstream has a crate whose name is reserved: its lines are left out.
    Reserved {
        /// The path of its file.
        path: String,
    },
    /// The mirror differs from upstream on a path that upstream has and `mirror.keep` does not name.
    DiffersFromUpstream {
        /// The path; a directory's ends in `/`.
        path: String,
    },
    /// The list of differences was cut, and what it leaves out may contain such a path.
    OverlayCut,
    /// A path given as `--ours` resolved no conflict.
    OursUnused {
        /// The path as it was given, without slashes at its ends.
        path: String,
    },
}

impl fmt::Display for MergeWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpstreamConfigChanged => {
                f.write_str("upstream changed its config.json; the mirror keeps its own")
            }
            Self::KeptPathChangedUpstream { path } => write!(
                f,
                "upstream changed {path}, which mirror.keep names; the mirror keeps its own"
            ),
            Self::Reserved { path } => write!(
                f,
                "upstream has the crate {}, whose name policy.reserved keeps for this mirror: its lines are left out of {path} \
                 (dependency confusion)",
                path.rsplit('/').next().unwrap_or(path)
            ),
            Self::DiffersFromUpstream { path } => write!(
                f,
                "{path} differs from upstream's and is not named by mirror.keep"
            ),
            Self::OverlayCut => f.write_str(
                "the list of paths that differ from upstream's was cut: some directories in it were not entered, and may \
                 contain changed files of upstream's that mirror.keep does not name",
            ),
            Self::OursUnused { path } => write!(f, "--ours {path} resolved no conflict"),
        }
    }
}
