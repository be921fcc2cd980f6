//! What `evict` and `pin` did, or would do.

use std::fmt;

use indicatif::HumanBytes;
use serde::Serialize;

use super::list::Kept;
use crate::catalog::Entry;
use crate::crate_files::Evicted;

/// What was evicted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Nothing was removed.
    pub dry_run: bool,
    /// The files, the least recently used first.
    pub evicted: Vec<Kept>,
    /// Their bytes.
    pub bytes: u64,
    /// How many stayed because they were being read.
    pub in_use: usize,
}

impl Removal {
    pub(super) fn planned(plan: Vec<Entry>) -> Self {
        Self::new(true, &plan, 0)
    }

    pub(super) fn done(evicted: Evicted) -> Self {
        Self::new(false, &evicted.files, evicted.in_use)
    }

    fn new(dry_run: bool, entries: &[Entry], in_use: usize) -> Self {
        Self {
            dry_run,
            evicted: entries.iter().map(Kept::of).collect(),
            bytes: entries.iter().map(|entry| entry.size).sum(),
            in_use,
        }
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.evicted {
            writeln!(f, "{file}")?;
        }
        let would = if self.dry_run { "would be " } else { "" };
        let (number, bytes) = (self.evicted.len(), HumanBytes(self.bytes));
        write!(f, "{number} crate files {would}evicted, {bytes}")?;
        if self.in_use > 0 {
            write!(f, "; {} stayed, being read", self.in_use)?;
        }
        Ok(())
    }
}

/// What was pinned or let go, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinning {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Whether they are pinned now.
    pub pinned: bool,
    /// The files that changed.
    pub changed: Vec<Kept>,
}

impl Pinning {
    pub(super) fn new(changed: Vec<Entry>, pinned: bool, dry_run: bool) -> Self {
        let kept = |entry: &Entry| Kept {
            pinned,
            ..Kept::of(entry)
        };
        Self {
            dry_run,
            pinned,
            changed: changed.iter().map(kept).collect(),
        }
    }
}

impl fmt::Display for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.changed {
            writeln!(f, "{file}")?;
        }
        let would = if self.dry_run { "would be " } else { "" };
        let what = if self.pinned { "pinned" } else { "let go" };
        write!(f, "{} crate files {would}{what}", self.changed.len())
    }
}
