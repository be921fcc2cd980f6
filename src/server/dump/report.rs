//! The reports of `catalog import`, `catalog rebuild` and `catalog stat`.

use std::fmt;

use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;
use serde::Serialize;

use super::importing::Outcome;
use crate::count::noun_of;
use crate::server::catalog::crates::{Holdings, Import};

/// Which dump was imported, as a report has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedDump {
    /// Where it came from.
    pub source: String,
    /// When it was made, where it says so.
    pub made: Option<Timestamp>,
    /// When it was imported, or last found unchanged.
    pub imported: Option<Timestamp>,
}

impl ImportedDump {
    fn of(import: &Import) -> Self {
        Self {
            source: import.source.clone(),
            made: import.made.and_then(|at| Timestamp::from_second(at).ok()),
            imported: Timestamp::from_second(import.imported).ok(),
        }
    }
}

impl fmt::Display for ImportedDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        match self.made {
            Some(made) => write!(f, ", made {made}"),
            None => Ok(()),
        }
    }
}

/// What `catalog import` did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Nothing was changed: it was only asked what would be.
    pub dry_run: bool,
    /// The dump.
    pub dump: ImportedDump,
    /// How many crates of the index the dump has.
    pub crates: u64,
    /// How many crates of the dump the index does not have; they are left out.
    pub unknown: u64,
    /// Of how many it says what they are; of the others their crate files said so.
    pub described: u64,
    /// Of how many versions it says something.
    pub versions: u64,
    /// How many crates have owners.
    pub owned: u64,
    /// What of the dump is in a form that is not known, and was left out.
    pub left_out: Vec<String>,
    /// When the dump was made whose data it replaced, where that is newer.
    pub replaced_newer: Option<Timestamp>,
}

impl ImportReport {
    pub(super) fn of(outcome: &Outcome, dry_run: bool) -> Self {
        let imported = outcome.imported.unwrap_or_default();
        Self {
            dry_run,
            dump: ImportedDump::of(&outcome.about),
            crates: imported.crates,
            unknown: imported.unknown,
            described: imported.described,
            versions: imported.versions,
            owned: imported.owned,
            left_out: outcome.left_out.clone(),
            replaced_newer: outcome.newer.and_then(|at| Timestamp::from_second(at).ok()),
        }
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (would, replace) = match self.dry_run {
            true => ("would be imported", "would replace"),
            false => ("imported", "replaced"),
        };
        let count =
            |number: u64, noun: &str| format!("{} {}", HumanCount(number), noun_of(number, noun));
        writeln!(
            f,
            "{} {would} from {}",
            count(self.crates, "crate"),
            self.dump
        )?;
        write!(
            f,
            "of them {} with a description from it, {} with owners; {}",
            HumanCount(self.described),
            HumanCount(self.owned),
            count(self.versions, "version")
        )?;
        if let Some(newer) = self.replaced_newer {
            write!(f, "\nit {replace} what a newer dump said, made {newer}")?;
        }
        if self.unknown > 0 {
            let crates = count(self.unknown, "crate");
            write!(f, "\nleft out: {crates} that the index does not have")?;
        }
        for text in &self.left_out {
            write!(f, "\nleft out: {text}")?;
        }
        Ok(())
    }
}

/// What `catalog rebuild` did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Nothing was changed.
    pub dry_run: bool,
    /// The commit of the index.
    pub commit: String,
    /// How many crates the index has.
    pub crates: usize,
    /// How many the catalog had before.
    pub before: usize,
    /// The dump whose data went with the old catalog, and that has to be imported again.
    pub lost: Option<ImportedDump>,
    /// What was imported anew, where `catalog.import` is set.
    pub import: Option<ImportReport>,
}

impl Rebuilt {
    pub(super) fn lost(import: Option<&Import>) -> Option<ImportedDump> {
        import.map(ImportedDump::of)
    }
}

impl fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = match self.dry_run {
            true => "would be made again",
            false => "was made again",
        };
        write!(
            f,
            "the catalog {would} from the index at {}: {} {}, {} before",
            self.commit,
            HumanCount(self.crates as u64),
            noun_of(self.crates as u64, "crate"),
            HumanCount(self.before as u64)
        )?;
        if let Some(lost) = &self.lost {
            write!(
                f,
                "\nnot in it any more is the dump of {lost}: import it again"
            )?;
        }
        match &self.import {
            Some(import) => write!(f, "\n{import}"),
            None => Ok(()),
        }
    }
}

/// What the catalog holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogStatistics {
    /// How many crates.
    pub crates: u64,
    /// How many versions the index lists of them.
    pub versions: u64,
    /// Of how many crates it knows what they are.
    pub described: u64,
    /// Of how many it knows the downloads.
    pub downloads: u64,
    /// Of how many it knows the owners.
    pub owned: u64,
    /// Which dump was imported last.
    pub import: Option<ImportedDump>,
    /// The commit of the index copy, where there is one.
    pub commit: Option<String>,
    /// The size of the catalog's files, in bytes.
    pub bytes: u64,
}

impl CatalogStatistics {
    pub(super) fn of(held: &Holdings, commit: Option<String>, bytes: u64) -> Self {
        Self {
            crates: held.crates,
            versions: held.versions,
            described: held.described,
            downloads: held.downloads,
            owned: held.owned,
            import: held.import.as_ref().map(ImportedDump::of),
            commit,
            bytes,
        }
    }
}

impl fmt::Display for CatalogStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "crates: {}", HumanCount(self.crates))?;
        writeln!(f, "versions: {}", HumanCount(self.versions))?;
        writeln!(f, "described: {}", HumanCount(self.described))?;
        writeln!(f, "downloads known: {}", HumanCount(self.downloads))?;
        writeln!(f, "owners known: {}", HumanCount(self.owned))?;
        match &self.import {
            Some(import) => {
                let at = import.imported;
                let at = at.map_or_else(String::new, |at| format!(", imported {at}"));
                writeln!(f, "dump: {import}{at}")?;
            }
            None => writeln!(f, "dump: none was imported")?,
        }
        if let Some(commit) = &self.commit {
            writeln!(f, "index: {commit}")?;
        }
        write!(f, "size: {}", HumanBytes(self.bytes))
    }
}
