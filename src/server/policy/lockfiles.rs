//! `test`: the packages of lockfiles that are on hold or denied, or that the index does not list, for the pipeline of a merge request.
//! What is not looked at is told: a lockfile of which nothing was is no lockfile that passed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::warn;

use super::Applied;
use super::row::Row;
use crate::config::ServeConfig;
use crate::count::counted;
use crate::error::Result;
use crate::index::Published;
use crate::policy::{Decided, Decision, Outcome};
use crate::server::prefetch::lockfile::{self, Locked, Locks};
use crate::server::prefetch::own_sources::OwnSources;

/// What lockfiles name that is on hold or denied, or that the index does not list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LockfileReport {
    /// How many packages of crates.io, or of this mirror, the lockfiles name.
    pub packages: usize,
    /// How many packages of other sources they name, which were not tested.
    pub left_out: usize,
    /// The lockfiles of which no package was tested, though they name others than members of the workspace, or nothing at all.
    pub untested: Vec<String>,
    /// Those that are on hold or denied, or not listed.
    pub findings: Vec<Finding>,
    /// Those that are served, and that an advisory is about: they do not fail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Finding>,
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

/// Tests lockfiles. What is left out is logged.
///
/// # Errors
/// `config` if there is no policy, or a lockfile cannot be read; else if the index cannot be read.
pub async fn test(config: &ServeConfig, paths: &[PathBuf]) -> Result<LockfileReport> {
    let own = OwnSources::of(config);
    let mut report = LockfileReport::default();
    // Before the index, which may take long: a mistake in a path shows at once.
    let mut locked = Vec::new();
    for path in paths {
        let text = lockfile::text(path).await?;
        let mut locks = Locks::default();
        locks.add(path, &text, &own)?;
        report.leave_out(config, path, &locks);
        locked.push((path, text, locks.packages));
    }
    let applied = Applied::read(config).await?;
    let mut crates = HashMap::new();
    for (path, text, packages) in locked {
        report.packages += packages.len();
        for package in packages {
            let of_crate = match crates.entry(package.name.to_string()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(OfCrate::read(&applied, &package)?),
            };
            let finding = |version| Finding {
                lockfile: path.display().to_string(),
                line: line_of(&text, &package),
                version,
            };
            let found = of_crate.finding(&applied, &package).map(finding);
            let warned = || of_crate.warning(&package).map(finding);
            match found {
                Some(found) => report.findings.push(found),
                None => report.warnings.extend(warned()),
            }
        }
    }
    Ok(report)
}

/// What the index lists of a crate, and what is decided on it.
struct OfCrate {
    /// The versions, and whether each is yanked.
    listed: HashMap<String, bool>,
    /// Those that upstream took back.
    gone: HashMap<String, Decided>,
    outcome: Outcome,
}

impl OfCrate {
    fn read(applied: &Applied, package: &Locked) -> Result<Self> {
        let content = applied.content(&package.name)?;
        let lines = content.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(Published::read);
        let gone = applied.gone(package.name.as_str(), &content);
        Ok(Self {
            gone: gone.into_iter().collect(),
            listed: lines
                .map(|line| (line.version.into_owned(), line.is_yanked))
                .collect(),
            outcome: applied.outcome(&content),
        })
    }

    /// Returns what is wrong with a package, if anything is: it is on hold or denied, or the index does not list it, so that nobody
    /// knows how old it is.
    fn finding(&self, applied: &Applied, package: &Locked) -> Option<Row> {
        let (name, version) = (package.name.as_str(), package.version.as_str());
        let decided = self.outcome.of(version).or_else(|| self.gone.get(version));
        let decided = decided.cloned().unwrap_or_else(|| {
            // A rule may be about one that is not listed.
            let about = applied.policy.about(name);
            let about = about.advised(applied.seen.advisories().of(name));
            about.decide(version, None, applied.now)
        });
        match decided.decision {
            Decision::Hold { .. } | Decision::Deny => {
                let is_yanked = self.listed.get(version).copied().unwrap_or(false);
                let row = Row::new(name, version, &decided, is_yanked);
                Some(row.advised(&self.outcome))
            }
            // One whose yank is on hold is served as it was.
            Decision::Serve | Decision::HoldYank { .. } => {
                (!self.listed.contains_key(version)).then(|| applied.unlisted(name, version))
            }
        }
    }
}

impl OfCrate {
    /// Returns what advisories tell of a package that is served.
    fn warning(&self, package: &Locked) -> Option<Row> {
        let (name, version) = (package.name.as_str(), package.version.as_str());
        let is_yanked = self.listed.get(version).copied().unwrap_or(false);
        let served = self.outcome.released(version).cloned();
        let served = served.unwrap_or_else(Decided::served);
        let row = Row::new(name, version, &served, is_yanked).advised(&self.outcome);
        row.is_advised().then_some(row)
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
    /// Counts what is not tested of a lockfile, and says why.
    fn leave_out(&mut self, config: &ServeConfig, path: &Path, locks: &Locks) {
        let shown = path.display();
        let others = locks.other_sources.len();
        self.left_out += others;
        if others > 0 {
            let packages = counted(others, "package");
            let from = locks.from_elsewhere(config);
            warn!("{packages} of {shown} not tested: {from}");
        }
        // A workspace without a dependency has nothing to test.
        let has_members_only = others == 0 && locks.members > 0;
        if locks.packages.is_empty() && !has_members_only {
            self.untested.push(shown.to_string());
        }
    }

    /// Says whether each lockfile was tested, and meets the policy.
    pub fn has_passed(&self) -> bool {
        self.findings.is_empty() && self.untested.is_empty()
    }

    /// Makes GitLab's code quality report, a list of Code Climate's issues.
    pub fn code_quality(&self) -> String {
        let all = self.findings.iter().chain(&self.warnings);
        let issues: Vec<_> = all.map(Finding::as_issue).collect();
        format!("{}\n", Value::from(issues))
    }

    /// Makes a log in the Static Analysis Results Interchange Format (SARIF) 2.1.0.
    pub fn sarif(&self) -> String {
        let all = || self.findings.iter().chain(&self.warnings);
        let rules: BTreeSet<_> = all().map(Finding::check).collect();
        let rules = rules.into_iter().map(|check| json!({ "id": check }));
        let driver = json!({
            "name": "crates-ferry",
            "version": env!("CARGO_PKG_VERSION"),
            "rules": rules.collect::<Vec<_>>(),
        });
        let results: Vec<_> = all().map(Finding::as_result).collect();
        let run = json!({ "tool": { "driver": driver }, "results": results });
        format!("{}\n", json!({ "version": "2.1.0", "runs": [run] }))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lockfile,
            line,
            version,
        } = self;
        let version = version.to_string().replace('\n', "\n  ");
        write!(f, "{lockfile}:{line}: {version}")
    }
}

impl Finding {
    /// Returns a name of what was found.
    fn check(&self) -> String {
        match self.version.decision {
            "serve" => "policy-advisory".to_owned(),
            decision => format!("policy-{decision}"),
        }
    }

    /// The same finding in the next pipeline is the same, also where it is at another line.
    fn fingerprint(&self) -> String {
        let row = &self.version;
        let identity = [&self.lockfile, &row.name, &row.version, row.decision].join("\n");
        hex::encode(digest(&SHA256, identity.as_bytes()))
    }

    fn in_one_line(&self) -> String {
        self.version.to_string().replace("\n  ", "; ")
    }

    fn as_result(&self) -> Value {
        let level = match self.version.decision {
            "serve" => "warning",
            _ => "error",
        };
        json!({
            "ruleId": self.check(),
            "level": level,
            "message": { "text": self.in_one_line() },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": self.lockfile },
                "region": { "startLine": self.line },
            }}],
            "partialFingerprints": { "policy/v1": self.fingerprint() },
        })
    }

    fn as_issue(&self) -> Value {
        let severity = match self.version.decision {
            "deny" => "blocker",
            "serve" => "minor",
            _ => "major",
        };
        json!({
            "description": self.in_one_line(),
            "check_name": self.check(),
            "fingerprint": self.fingerprint(),
            "severity": severity,
            "location": { "path": self.lockfile, "lines": { "begin": self.line } },
        })
    }
}

impl fmt::Display for LockfileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packages = counted(self.packages, "package");
        match self.findings.len() {
            0 if self.packages == 0 => f.write_str("no package was tested")?,
            0 => write!(f, "{packages}: none is on hold or denied")?,
            1 => write!(f, "1 of {packages} does not meet the policy:")?,
            findings => write!(f, "{findings} of {packages} do not meet the policy:")?,
        }
        for finding in &self.findings {
            write!(f, "\n  {finding}")?;
        }
        if !self.warnings.is_empty() {
            let packages = counted(self.warnings.len(), "package");
            write!(f, "\n{packages} with an advisory that does not fail:")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  {warning}")?;
        }
        if self.left_out > 0 {
            let packages = counted(self.left_out, "package");
            write!(f, "\nnot tested: {packages} of other sources")?;
        }
        for lockfile in &self.untested {
            write!(f, "\nnothing of {lockfile} was tested")?;
        }
        Ok(())
    }
}
