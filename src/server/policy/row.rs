//! What is decided on a version, as the commands report it.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::policy::{Decided, Decision};
use crate::shown::one_line;

/// A version, and what is decided on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The crate.
    #[serde(rename = "crate")]
    pub name: String,
    /// The version.
    pub version: String,
    /// `serve`, `hold`, `hold-yank` or `deny`; `unlisted` where the index does not list the version.
    pub decision: &'static str,
    /// When a hold or the rule ends, if it does.
    pub until: Option<Timestamp>,
    /// The key of the configuration that decided, if one did.
    pub key: Option<&'static str>,
    /// The rule, as it is written there, or the age.
    pub rule: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whether it is yanked in the index, whatever is decided.
    pub yanked: bool,
    #[serde(skip)]
    text: String,
}

impl Row {
    /// Makes it of what was decided on a version, which the index has as yanked or not.
    pub(super) fn new(name: &str, version: &str, decided: &Decided, yanked: bool) -> Self {
        let why = decided.why.as_ref();
        let (decision, until) = match decided.decision {
            Decision::Serve => ("serve", None),
            Decision::Hold { until } => ("hold", Some(until)),
            Decision::HoldYank { until } => ("hold-yank", Some(until)),
            Decision::Deny => ("deny", None),
        };
        // What is said of a yank on hold says it.
        let is_news = yanked && !matches!(decided.decision, Decision::HoldYank { .. });
        let yanked_too = if is_news { "; yanked in the index" } else { "" };
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            decision,
            until: until.or_else(|| why.and_then(|why| why.until)),
            key: why.map(|why| why.key),
            rule: why.map(|why| why.rule.clone()),
            reason: why.and_then(|why| why.reason.clone()),
            yanked,
            text: format!("{}{yanked_too}", one_line(&decided.to_string())),
        }
    }

    /// Makes it of a version that the index does not list.
    pub(super) fn unlisted(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            decision: "unlisted",
            until: None,
            key: None,
            rule: None,
            reason: None,
            yanked: false,
            text: "the index does not list it".to_owned(),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            version,
            text,
            ..
        } = self;
        write!(f, "{} {}: {text}", one_line(name), one_line(version))
    }
}

/// Writes rows, one a line.
pub(super) fn lines(rows: &[Row]) -> String {
    let lines: Vec<_> = rows.iter().map(Row::to_string).collect();
    lines.join("\n")
}
