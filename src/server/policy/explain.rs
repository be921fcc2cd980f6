//! `explain`: what is decided on the versions of a crate, and why.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use semver::Version;
use serde::Serialize;

use super::Applied;
use super::row::{Row, lines};
use crate::config::ServeConfig;
use crate::error::Result;
use crate::index::release::{DependencyKind, Release};
use crate::index::{CrateSpec, Published, folded};

/// What is decided on the versions of a crate, the highest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was asked for.
    pub of: String,
    /// The versions that the index lists; none if it lists none of them.
    pub versions: Vec<Row>,
    /// The pattern of `policy.reserved` for which upstream's versions of it are hidden, if they are.
    pub hidden_by: Option<String>,
}

/// Explains what is decided on a crate, or on one of its versions.
///
/// # Errors
/// `config` if there is no policy; else if the index cannot be read.
pub async fn explain(config: &ServeConfig, spec: &CrateSpec) -> Result<Explanation> {
    let applied = Applied::read(config).await?;
    let content = applied.content(&spec.name)?;
    let outcome = applied.outcome(&content);
    // Of two lines for a version the last one counts, as for cargo.
    let mut versions = BTreeMap::new();
    for text in content.split(|byte| *byte == b'\n') {
        let Some(line) = Published::read(text) else {
            continue;
        };
        let is_meant = |wanted: &str| wanted == line.version;
        let wanted = spec.version.as_ref();
        if wanted.is_none_or(|wanted| is_meant(wanted.as_str())) {
            let released = outcome.released(&line.version);
            let decided = outcome.of(&line.version).or(released).cloned();
            // One that is served as it is may be so by a rule.
            let decided = decided.unwrap_or_else(|| {
                let about = applied.policy.about(&line.name);
                about.decide(&line.version, None, applied.now)
            });
            let row = Row::new(&line.name, &line.version, &decided, line.is_yanked);
            let needs = released.map_or_else(Vec::new, |_| needs(text));
            let row = row.advised(&outcome).needing(needs);
            versions.insert(Reverse(Version::parse(&line.version).ok()), row);
        }
    }
    let name = spec.name.as_str();
    for (version, decided) in applied.gone(name, &content) {
        let wanted = spec.version.as_ref();
        if wanted.is_none_or(|wanted| wanted.as_str() == version) {
            let row = Row::new(name, &version, &decided, false);
            versions.insert(Reverse(Version::parse(&version).ok()), row);
        }
    }
    let hidden = config.hidden();
    let hidden_by = hidden.find(&folded(spec.name.as_str()));
    Ok(Explanation {
        of: spec.to_string(),
        versions: versions.into_values().collect(),
        hidden_by: hidden_by.map(|pattern| pattern.to_string()),
    })
}

/// Returns what a version depends on, with the requirements: `bar ^1.2`. What only its own tests need is left out.
fn needs(line: &[u8]) -> Vec<String> {
    let release = Release::read(line);
    let dependencies = release.map_or_else(Vec::new, |release| release.dependencies);
    let needed = dependencies
        .iter()
        .filter(|it| it.kind != DependencyKind::Dev);
    let needed = needed.map(|it| match it.is_optional {
        true => format!("{} {} (optional)", it.package, it.requirement),
        false => format!("{} {}", it.package, it.requirement),
    });
    needed.collect()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hidden_by {
            Some(pattern) => write!(
                f,
                "{} is never taken from upstream (policy.reserved: {pattern})",
                self.of
            ),
            None if self.versions.is_empty() => write!(f, "the index does not list {}", self.of),
            None => f.write_str(&lines(&self.versions)),
        }
    }
}
