//! `test`: the packages of lockfiles that are on hold or denied, or that the index does not list, for the pipeline of a merge request.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::{Value, json};

use super::Applied;
use super::row::Row;
use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::{Error, Kind, Result};
use crate::index::Published;
use crate::policy::{Decision, Outcome};
use crate::server::prefetch::lockfile::{self, Locked};
use crate::server::prefetch::own_sources::OwnSources;

/// What lockfiles name that is on hold or denied, or that the index does not list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockfileReport {
    /// How many packages of crates.io the lockfiles name.
    pub packages: usize,
    /// Those that are on hold or denied, or not listed.
    pub findings: Vec<Finding>,
}

/// A package of a lockfile that is on hold or denied, or that the index does not list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The lockfile.
    pub lockfile: String,
    /// The line of it at which the package begins, from 1 on.
    pub line: usize,
    /// The version, and what is decided on it.
    #[serde(flatten)]
    pub version: Row,
}

/// Tests lockfiles; writes what was found to a file in the form that GitLab's merge requests show, if one is named.
///
/// # Errors
/// `config` if there is no policy, or a lockfile cannot be read, or the file cannot be written; else if the index cannot be read.
pub async fn test(
    config: &ServeConfig,
    paths: &[PathBuf],
    code_quality: Option<&Path>,
) -> Result<LockfileReport> {
    let own = OwnSources::of(config);
    // Before the index, which may take long: a mistake in a path shows at once.
    let mut locked = Vec::new();
    for path in paths {
        let packages = lockfile::read_all(std::slice::from_ref(path), &own)?.packages;
        locked.push((path, packages));
    }
    let applied = Applied::read(config).await?;
    let mut report = LockfileReport {
        packages: 0,
        findings: Vec::new(),
    };
    let mut crates = HashMap::new();
    for (path, packages) in locked {
        report.packages += packages.len();
        // It was read a moment ago.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for package in packages {
            let of_crate = match crates.entry(package.name.to_string()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(OfCrate::read(&applied, &package)?),
            };
            if let Some(version) = of_crate.finding(&applied, &package) {
                report.findings.push(Finding {
                    lockfile: path.display().to_string(),
                    line: line_of(&text, &package),
                    version,
                });
            }
        }
    }
    if let Some(file) = code_quality {
        report.write_code_quality(file)?;
    }
    Ok(report)
}

/// What the index lists of a crate, and what is decided on it.
struct OfCrate {
    listed: HashSet<String>,
    outcome: Outcome,
}

impl OfCrate {
    fn read(applied: &Applied, package: &Locked) -> Result<Self> {
        let content = applied.content(&package.name)?;
        let lines = content.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(Published::read);
        Ok(Self {
            listed: lines.map(|line| line.version.into_owned()).collect(),
            outcome: applied.outcome(&content),
        })
    }

    /// Returns what is wrong with a package, if anything is: it is on hold or denied, or the index does not list it, so that nobody
    /// knows how old it is.
    fn finding(&self, applied: &Applied, package: &Locked) -> Option<Row> {
        let (name, version) = (package.name.as_str(), package.version.as_str());
        let decided = self.outcome.of(version).cloned().unwrap_or_else(|| {
            // A rule may be about one that is not listed.
            let about = applied.policy.about(name);
            about.decide(version, None, applied.now)
        });
        match decided.decision {
            Decision::Hold { .. } | Decision::Deny => Some(Row::new(name, version, &decided)),
            // One whose yank is on hold is served as it was.
            Decision::Serve | Decision::HoldYank { .. } => {
                (!self.listed.contains(version)).then(|| Row::unlisted(name, version))
            }
        }
    }
}

/// Returns the line at which a package begins, as cargo writes it; the first line where it is written otherwise.
fn line_of(text: &str, package: &Locked) -> usize {
    let name = format!("name = \"{}\"", package.name);
    let version = format!("version = \"{}\"", package.version);
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let mut pairs = lines.windows(2);
    let place = pairs.position(|pair| pair[0] == name && pair[1] == version);
    place.map_or(1, |place| place + 1)
}

impl LockfileReport {
    /// Writes GitLab's code quality report, a list of Code Climate's issues.
    fn write_code_quality(&self, file: &Path) -> Result<()> {
        let issues: Vec<_> = self.findings.iter().map(Finding::as_issue).collect();
        std::fs::write(file, format!("{}\n", Value::from(issues))).map_err(|error| {
            Error::new(Kind::Config, format!("cannot write {}", file.display())).because(error)
        })
    }
}

impl Finding {
    fn as_issue(&self) -> Value {
        let row = &self.version;
        // The same finding in the next pipeline is the same issue, also where it is at another line.
        let identity = [&self.lockfile, &row.name, &row.version, row.decision].join("\n");
        json!({
            "description": row.to_string(),
            "check_name": format!("policy-{}", row.decision),
            "fingerprint": hex::encode(digest(&SHA256, identity.as_bytes())),
            "severity": if row.decision == "deny" { "blocker" } else { "major" },
            "location": { "path": self.lockfile, "lines": { "begin": self.line } },
        })
    }
}

impl fmt::Display for LockfileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packages = counted(self.packages, "package");
        if self.findings.is_empty() {
            return write!(f, "{packages}: none is on hold or denied");
        }
        write!(
            f,
            "{} of {packages} do not meet the policy:",
            self.findings.len()
        )?;
        for finding in &self.findings {
            let Finding {
                lockfile,
                line,
                version,
            } = finding;
            write!(f, "\n  {lockfile}:{line}: {version}")?;
        }
        Ok(())
    }
}
