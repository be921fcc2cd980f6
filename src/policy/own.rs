//! Which crates are one's own: they are nobody's to take back, and wait for nothing.

use super::Policy;
use crate::index::{CrateName, NamePattern, folded};

/// What says that a crate is one's own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Own<'p> {
    /// Its name is in `policy.reserved`.
    Reserved(&'p NamePattern),
    /// Its path is in `mirror.keep`.
    Kept(&'p str),
}

impl Own<'_> {
    /// Returns the key.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Reserved(_) => "policy.reserved",
            Self::Kept(_) => "mirror.keep",
        }
    }

    /// Returns the pattern, as it is written there.
    pub(super) fn rule(self) -> String {
        match self {
            Self::Reserved(name) => name.to_string(),
            Self::Kept(glob) => glob.to_owned(),
        }
    }
}

impl Policy {
    /// Says whether the crates with this name are one's own.
    pub fn is_own(&self, name: &str) -> bool {
        self.own(name).is_some()
    }

    /// Returns what says that the crates with this name are one's own, if they are.
    pub(super) fn own(&self, name: &str) -> Option<Own<'_>> {
        if let Some(pattern) = self.reserved.find(&folded(name)) {
            return Some(Own::Reserved(pattern));
        }
        if self.keep.is_empty() {
            return None;
        }
        let path = CrateName::new(name).ok()?.index_path();
        let glob = self.keep.find(path.to_ascii_lowercase().as_bytes())?;
        Some(Own::Kept(glob))
    }
}
