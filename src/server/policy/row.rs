//! What is decided on a version, as the commands report it.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use crate::index::NamePattern;
use crate::policy::{Advisory, Decided, Decision, Outcome, Since, minute};
use crate::shown::one_line;

/// The key of the names that are never taken from upstream.
const RESERVED: &str = "policy.reserved";

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
    /// Since when it is on hold or denied, as a time or a day, where that is known and the reason does not tell.
    pub since: Option<String>,
    /// When a hold or the rule ends, if it does.
    pub until: Option<Timestamp>,
    /// The key of the configuration that decided, if one did.
    pub key: Option<&'static str>,
    /// The rule, as it is written there, or the age.
    pub rule: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Who made the rule, where a command did.
    pub by: Option<String>,
    /// When.
    pub at: Option<Timestamp>,
    /// Whether it is yanked in the index, whatever is decided.
    pub yanked: bool,
    /// The advisories about it that count, the gravest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advisories: Vec<AdvisoryRow>,
    /// What it depends on, where an advisory releases it early: who takes it takes those, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    #[serde(skip)]
    text: String,
}

/// An advisory, as the commands report it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdvisoryRow {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// `malicious`, `vulnerable` or `informational`.
    pub class: &'static str,
    /// The day that it gives.
    pub date: Date,
    /// Where more is told.
    pub url: Option<String>,
    /// Its ids elsewhere.
    pub aliases: Vec<String>,
}

impl AdvisoryRow {
    fn new(advisory: &Advisory) -> Self {
        Self {
            id: advisory.id.clone(),
            title: advisory.title.clone(),
            class: advisory.class.word(),
            date: advisory.date,
            url: advisory.url.clone(),
            aliases: advisory.aliases.clone(),
        }
    }
}

/// Says it in one line: `vulnerable: RUSTSEC-2026-0001: foo leaks (CVE-2026-1; https://…)`.
impl fmt::Display for AdvisoryRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id, title, class, ..
        } = self;
        write!(f, "{class}: {}: {}", one_line(id), one_line(title))?;
        let more: Vec<_> = self.aliases.iter().chain(&self.url).collect();
        let more: Vec<_> = more.into_iter().map(|text| one_line(text)).collect();
        match more.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", more.join("; ")),
        }
    }
}

impl Row {
    /// Makes it of what was decided on a version, which the index has as yanked or not.
    pub(super) fn new(name: &str, version: &str, decided: &Decided, yanked: bool) -> Self {
        let why = decided.why.as_ref();
        let (decision, until) = match decided.decision {
            Decision::Serve => ("serve", None),
            Decision::Hold { until } => ("hold", until),
            Decision::HoldYank { until } => ("hold-yank", Some(until)),
            Decision::Deny => ("deny", None),
        };
        // What is said of a yank on hold says it.
        let is_news = yanked && !matches!(decided.decision, Decision::HoldYank { .. });
        let yanked_too = if is_news { "; yanked in the index" } else { "" };
        let made = why.and_then(|why| why.made.as_ref());
        let by = made.map(|(by, at)| {
            // Of one that refuses, the time is told already.
            let by = match decided.decision {
                Decision::Deny => format!("by {by}"),
                _ => made_by(by, *at),
            };
            format!("; {}", one_line(&by))
        });
        let by = by.unwrap_or_default();
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            decision,
            since: why
                .filter(|_| matches!(decision, "hold" | "deny"))
                .and_then(|why| why.since)
                .map(Since::to_rfc3339),
            until: until.or_else(|| why.and_then(|why| why.until)),
            key: why.map(|why| why.key),
            rule: why.map(|why| why.rule.clone()),
            reason: why.and_then(|why| why.reason.clone()),
            by: made.map(|(by, _)| by.to_string()),
            at: made.map(|(_, at)| *at),
            yanked,
            advisories: Vec::new(),
            needs: Vec::new(),
            text: format!("{}{by}{yanked_too}", one_line(&decided.to_string())),
        }
    }

    /// Adds the advisories about the version.
    #[must_use]
    pub(super) fn advised(mut self, outcome: &Outcome) -> Self {
        let advisories = outcome.advised(&self.version).iter();
        self.advisories = advisories.map(|it| AdvisoryRow::new(it)).collect();
        self
    }

    /// Adds what the version depends on.
    #[must_use]
    pub(super) fn needing(self, needs: Vec<String>) -> Self {
        Self { needs, ..self }
    }

    /// Says whether an advisory is about it.
    pub(super) fn is_advised(&self) -> bool {
        !self.advisories.is_empty()
    }

    /// Makes it of a version that the index does not list.
    pub(super) fn unlisted(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            decision: "unlisted",
            since: None,
            until: None,
            key: None,
            rule: None,
            reason: None,
            by: None,
            at: None,
            yanked: false,
            advisories: Vec::new(),
            needs: Vec::new(),
            text: "the index does not list it".to_owned(),
        }
    }
}

impl Row {
    /// Makes it of a version of a crate that the index does not show, since its name is reserved.
    pub(super) fn hidden(name: &str, version: &str, reserved: &NamePattern) -> Self {
        Self {
            key: Some(RESERVED),
            rule: Some(reserved.to_string()),
            text: format!("it is never taken from upstream ({RESERVED}: {reserved})"),
            ..Self::unlisted(name, version)
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
        write!(f, "{} {}: {text}", one_line(name), one_line(version))?;
        for advisory in &self.advisories {
            write!(f, "\n  {advisory}")?;
        }
        match self.needs.is_empty() {
            true => Ok(()),
            false => write!(f, "\n  it needs {}", one_line(&self.needs.join(", "))),
        }
    }
}

/// Says who made a rule, and when.
pub(super) fn made_by(by: &str, at: Timestamp) -> String {
    format!("by {by}, {}", minute(at))
}

/// Writes rows, one a line.
pub(super) fn lines(rows: &[Row]) -> String {
    let lines: Vec<_> = rows.iter().map(Row::to_string).collect();
    lines.join("\n")
}
