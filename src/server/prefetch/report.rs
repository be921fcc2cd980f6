//! The report of a prefetch.

use std::fmt;

use indicatif::HumanBytes;
use serde::Serialize;

use super::fetch::End;
use crate::count::counted;
use crate::index::CrateFile;

/// What a prefetch fetched, what was stored before, and what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PrefetchReport {
    /// How many crate files were named.
    pub wanted: usize,
    /// How many of them were stored before.
    pub held: usize,
    /// How many were fetched.
    pub fetched: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is not stored now, and why.
    pub missing: Vec<Missing>,
    /// Packages of the lockfiles that come from other registries or from git repositories, and are left out.
    pub other_sources: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A crate file that is not stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Missing {
    /// The crate and its version.
    pub file: String,
    /// Why.
    pub why: String,
}

impl PrefetchReport {
    /// Adds up the outcomes of all files.
    pub(super) fn of(
        ends: Vec<(CrateFile, End)>,
        missing: Vec<Missing>,
        other_sources: Vec<String>,
    ) -> Self {
        let mut report = Self {
            wanted: ends.len() + missing.len(),
            missing,
            other_sources,
            ..Self::default()
        };
        for (file, end) in ends {
            let file = file.to_string();
            match end {
                End::Fetched => report.fetched += 1,
                End::Stored => report.held += 1,
                End::Missing(why) => report.missing.push(Missing { file, why }),
            }
        }
        report.missing.sort();
        report
    }

    /// Says whether every file is stored now, and there were any: lockfiles of which all was left out are a mistake.
    pub fn is_complete(&self) -> bool {
        let is_all_left_out = self.wanted == 0 && !self.other_sources.is_empty();
        self.missing.is_empty() && !is_all_left_out
    }
}

impl fmt::Display for PrefetchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = HumanBytes(self.bytes);
        write!(
            f,
            "{}: {} fetched ({bytes}), {} stored before",
            counted(self.wanted, "crate file"),
            self.fetched,
            self.held
        )?;
        if !self.other_sources.is_empty() {
            let packages = counted(self.other_sources.len(), "package");
            write!(f, "\nleft out: {packages} of other sources")?;
        }
        if !self.missing.is_empty() {
            write!(f, "\n{} missing:", self.missing.len())?;
        }
        for missing in &self.missing {
            write!(f, "\n  {}: {}", missing.file, missing.why)?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}
