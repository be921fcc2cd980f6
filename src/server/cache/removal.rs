//! The reports of `evict` and `pin`.

use std::fmt;

use indicatif::HumanBytes;
use serde::Serialize;

use super::list::ListedFile;
use crate::count::{counted, is_or_are};
use crate::server::catalog::files::CatalogEntry;
use crate::server::crate_files::Evicted;

/// What was evicted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Whether this was a dry run, in which nothing was removed.
    pub dry_run: bool,
    /// The files, the least recently used first.
    pub evicted: Vec<ListedFile>,
    /// Their bytes.
    pub bytes: u64,
    /// How many stayed because they were being read.
    pub in_use: usize,
    /// How many of the named files stayed because they are pinned.
    pub pinned: usize,
    /// Files that could not be removed.
    pub failed: Vec<Failed>,
}

/// A file that could not be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Its path in the store.
    pub path: String,
    /// Why.
    pub why: String,
}

impl Removal {
    pub(super) fn planned(plan: Vec<CatalogEntry>) -> Self {
        Self {
            dry_run: true,
            ..Self::of(&plan)
        }
    }

    pub(super) fn done(evicted: Evicted) -> Self {
        let failed = evicted.failed.into_iter();
        Self {
            in_use: evicted.in_use,
            failed: failed.map(|(path, why)| Failed { path, why }).collect(),
            ..Self::of(&evicted.files)
        }
    }

    fn of(entries: &[CatalogEntry]) -> Self {
        Self {
            dry_run: false,
            evicted: entries.iter().map(ListedFile::of).collect(),
            bytes: entries.iter().map(|entry| entry.size).sum(),
            in_use: 0,
            pinned: 0,
            failed: Vec::new(),
        }
    }

    /// Adds how many of the named files stayed because they are pinned.
    pub(super) fn with_pinned(self, pinned: usize) -> Self {
        Self { pinned, ..self }
    }

    /// Says whether no removal failed.
    pub fn is_whole(&self) -> bool {
        self.failed.is_empty()
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.evicted {
            writeln!(f, "{file}")?;
        }
        for Failed { path, why } in &self.failed {
            writeln!(f, "cannot remove {path}: {why}")?;
        }
        let (would, stay) = match self.dry_run {
            true => ("would be ", "would stay"),
            false => ("", "stayed"),
        };
        let (files, bytes) = (
            counted(self.evicted.len(), "crate file"),
            HumanBytes(self.bytes),
        );
        write!(f, "{files} {would}evicted, {bytes}")?;
        if self.in_use > 0 {
            write!(f, "; {} {stay}, being read", self.in_use)?;
        }
        if self.pinned > 0 {
            write!(
                f,
                "; {} {stay}, pinned (`cache pin --remove` unpins them)",
                self.pinned
            )?;
        }
        Ok(())
    }
}

/// What was pinned or unpinned, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pinning {
    /// Whether this was a dry run, in which nothing was changed.
    pub dry_run: bool,
    /// Whether they are pinned now.
    pub pinned: bool,
    /// The files that changed.
    pub changed: Vec<ListedFile>,
    /// How many of those that were named were so before.
    pub already: usize,
}

impl Pinning {
    pub(super) fn new(
        changed: Vec<CatalogEntry>,
        already: usize,
        pinned: bool,
        dry_run: bool,
    ) -> Self {
        let listed = |entry: &CatalogEntry| ListedFile {
            pinned,
            ..ListedFile::of(entry)
        };
        Self {
            dry_run,
            pinned,
            changed: changed.iter().map(listed).collect(),
            already,
        }
    }
}

impl fmt::Display for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.changed {
            writeln!(f, "{file}")?;
        }
        let would = if self.dry_run { "would be " } else { "" };
        let what = if self.pinned { "pinned" } else { "unpinned" };
        let files = counted(self.changed.len(), "crate file");
        write!(f, "{files} {would}{what}")?;
        match self.already {
            0 => Ok(()),
            already => write!(f, "; {already} {} {what} already", is_or_are(already)),
        }
    }
}
