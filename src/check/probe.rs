//! Probes and their results: a table for people, a list for programs.

use std::fmt;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::shown;

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// What was probed is as it should be.
    Passed,
    /// What was probed is not as it should be.
    Failed,
    /// It was not probed.
    Skipped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        })
    }
}

/// One thing that was probed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// What was probed, in a word or two.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found, or why it was skipped.
    pub detail: String,
    /// What to do, where there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// All probes of one check, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Whether no probe failed.
    pub ok: bool,
    /// The probes.
    pub probes: Vec<Probe>,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            ok: true,
            probes: Vec::new(),
        }
    }
}

impl Findings {
    /// Adds a probe that passed.
    pub fn pass(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(name, Status::Passed, detail.into(), None);
    }

    /// Adds a probe that passed and still comes with advice.
    pub(super) fn pass_with_advice(&mut self, name: &'static str, detail: String, advice: &str) {
        self.add(name, Status::Passed, detail, Some(advice.to_owned()));
    }

    /// Adds one that could not be probed, or need not be.
    pub fn skip(&mut self, name: &'static str, reason: impl Into<String>) {
        self.add(name, Status::Skipped, reason.into(), None);
    }

    /// Adds a probe that failed.
    pub fn fail(&mut self, name: &'static str, error: &Error) {
        let advice = error.advice().map(str::to_owned);
        self.add(name, Status::Failed, error.chain(), advice);
    }

    pub(super) fn fail_plainly(&mut self, name: &'static str, detail: String, advice: &str) {
        self.add(name, Status::Failed, detail, Some(advice.to_owned()));
    }

    /// Returns the value, or adds the failure under `name`.
    pub fn take<T>(&mut self, name: &'static str, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.fail(name, &error)).ok()
    }

    /// Adds all probes of others.
    pub fn join(&mut self, others: Self) {
        self.ok &= others.ok;
        self.probes.extend(others.probes);
    }

    /// Says whether a probe of this name passed.
    pub(super) fn has_passed(&self, name: &str) -> bool {
        let mut named = self.probes.iter().filter(|probe| probe.name == name);
        named.any(|probe| probe.status == Status::Passed)
    }

    fn add(&mut self, name: &'static str, status: Status, detail: String, advice: Option<String>) {
        self.ok &= status != Status::Failed;
        self.probes.push(Probe {
            name,
            status,
            // A server may have chosen it: the name of a branch, or a value of config.json.
            detail: shown::one_line(&detail).into_owned(),
            advice: advice.map(|advice| shown::lines(&advice).into_owned()),
        });
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The longest name, `configuration`, has 13 characters.
        for probe in &self.probes {
            writeln!(
                f,
                "{:<7}  {:<13}  {}",
                probe.status, probe.name, probe.detail
            )?;
            if let Some(advice) = &probe.advice {
                writeln!(f, "{:<7}  {:<13}  → {advice}", "", "")?;
            }
        }
        let count = |status| {
            self.probes
                .iter()
                .filter(|probe| probe.status == status)
                .count()
        };
        let (passed, failed, skipped) = (
            count(Status::Passed),
            count(Status::Failed),
            count(Status::Skipped),
        );
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}
