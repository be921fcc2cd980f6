//! What a copy holds: the index, or what else is kept as the index is.

use super::Snapshot;
use crate::error::{Error, Kind, Result};
use crate::index::config_json::{CONFIG_JSON, ConfigJson};

/// The most bytes of a pack of advisories. The whole history of RustSec's database has 41 MB; a copy gets a commit of it.
const ADVISORIES_PACK: u64 = 64 << 20;

/// How many files of advisories are read. RustSec's database has some 1,200.
pub(in crate::server) const MOST_ADVISORIES: usize = 20_000;

/// From how many files of advisories on a repository that loses half of them is not believed.
const GUARDED: usize = 20;
/// What to do where it has lost them.
const LOST: &str = "Check the repository in policy.advisories: what is malicious would be served again. If it is intended, stop the \
     server, and remove advisories.git in serve.data_dir.";

/// What a repository holds that is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The index.
    Index,
    /// Security advisories.
    Advisories,
    /// The index of the private crates, which may have none yet.
    Private,
}

impl Content {
    /// Returns the name of its folder in `serve.data_dir`.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Index => "index.git",
            Self::Advisories => "advisories.git",
            Self::Private => "private-index.git",
        }
    }

    /// Returns what messages call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Index => "the index",
            Self::Advisories => "the advisories",
            Self::Private => "the private index",
        }
    }

    /// Says what to do where the repository holds something else.
    pub(in crate::server) fn advice(self) -> &'static str {
        match self {
            Self::Index => {
                "Set `serve.index` and `serve.branch` to a repository that holds the index."
            }
            Self::Advisories => {
                "Set policy.advisories to a repository of advisories, such as https://github.com/rustsec/advisory-db, or one that \
                 relays it."
            }
            Self::Private => {
                "Set private.index and private.branch to the repository of the private index."
            }
        }
    }

    /// Says whether the repository is looked at every second or more often while somebody uses it.
    pub(super) fn is_looked_at_often(self) -> bool {
        self == Self::Private
    }

    /// Returns how many bytes a pack may have; `None` without a limit.
    pub(super) fn most_bytes(self) -> Option<u64> {
        match self {
            // Its bytes are bounded by what they inflate to, and by time.
            Self::Index | Self::Private => None,
            Self::Advisories => Some(ADVISORIES_PACK),
        }
    }

    /// Checks that a repository holds it at all, and has not lost most of what was there before.
    ///
    /// # Errors
    /// `config` if it does not, `guard` if it has.
    pub(super) fn check(self, snapshot: &Snapshot, before: Option<&Snapshot>) -> Result<()> {
        match self {
            Self::Index => check_is_index(snapshot),
            // A git host begins a repository with a README and nothing else.
            Self::Private => Ok(()),
            Self::Advisories if snapshot.has_folder(ADVISORIES)? => {
                // Before the branch moves: what was there before goes on counting.
                let files = snapshot.files_in(ADVISORIES, MOST_ADVISORIES)?;
                let text = || {
                    format!(
                        "there are more than {MOST_ADVISORIES} files of advisories, far more than there are advisories"
                    )
                };
                let too_many = || Error::new(Kind::Config, text()).advise(self.advice());
                let number = files.ok_or_else(too_many)?.len();
                let before = before.map(|before| before.files_in(ADVISORIES, MOST_ADVISORIES));
                let before = before.and_then(|files| files.ok().flatten());
                match before.map_or(0, |files| files.len()) {
                    before if before >= GUARDED && number < before / 2 => {
                        let text = format!(
                            "the repository of advisories has lost most of its {before} files, and has {number}: those of the last \
                             time go on counting"
                        );
                        Err(Error::new(Kind::Guard, text).advise(LOST))
                    }
                    _ => Ok(()),
                }
            }
            Self::Advisories => {
                let text =
                    format!("this is no database of advisories: it has no folder `{ADVISORIES}`");
                Err(Error::new(Kind::Config, text).advise(self.advice()))
            }
        }
    }
}

/// The folder of the advisories about crates, as RustSec's database has it.
pub(in crate::server) const ADVISORIES: &str = "crates";

/// Checks that a repository holds an index at all: what is served of another one is a 404 for each crate.
///
/// # Errors
/// `config` if its `config.json` is missing or cannot be read, or it has directories and none of them leads to a crate's
/// file. One without directories is a new registry, which has no crate yet.
fn check_is_index(snapshot: &Snapshot) -> Result<()> {
    let none = |text| Error::new(Kind::Config, text).advise(Content::Index.advice());
    let file = snapshot.file(CONFIG_JSON)?;
    let file = file.ok_or_else(|| none("this is no index: it has no config.json at its root"))?;
    serde_json::from_slice::<ConfigJson>(&snapshot.content(file)?)
        .map_err(|error| none("this is no index: its config.json cannot be read").because(error))?;
    match snapshot.has_directories()? && !snapshot.has_crate()? {
        true => Err(none(
            "this is no index: it has a config.json, but no file at the path of a crate, such as se/rd/serde",
        )),
        false => Ok(()),
    }
}
