//! Security advisories: which versions of a crate each is about, and what the configuration makes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use semver::Version;

use super::{AboutCrate, Decision, INFORMATIONAL, MALICIOUS, Policy, Span, VULNERABLE, Verb, Why};
use crate::config::{OnAdvisory, Rule};

/// How grave it is what an advisory tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The versions do harm on purpose.
    Malicious,
    /// The versions have a vulnerability.
    Vulnerable,
    /// There is something else to know: nobody maintains the crate, or it is unsound.
    Informational,
}

impl Class {
    /// Returns the word of its key.
    pub fn word(self) -> &'static str {
        match self {
            Self::Malicious => "malicious",
            Self::Vulnerable => "vulnerable",
            Self::Informational => "informational",
        }
    }

    /// Returns its key.
    pub fn key(self) -> &'static str {
        match self {
            Self::Malicious => MALICIOUS,
            Self::Vulnerable => VULNERABLE,
            Self::Informational => INFORMATIONAL,
        }
    }
}

/// The versions from one on, and before another one: as OSV has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first version that is affected; `None` from the first one on.
    pub introduced: Option<Version>,
    /// The first version after them that is not; `None` where none is known.
    pub fixed: Option<Version>,
}

impl Range {
    fn has(&self, version: &Version) -> bool {
        let begins = self.introduced.as_ref().is_none_or(|from| from <= version);
        begins && self.fixed.as_ref().is_none_or(|end| version < end)
    }
}

/// A security advisory about a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advisory {
    /// Its id, such as `RUSTSEC-2024-0001`.
    pub id: String,
    /// The crate.
    pub package: String,
    /// What it is about, in a line.
    pub title: String,
    /// How grave that is.
    pub class: Class,
    /// Which kind of information it is, of one that is informational: such as `unmaintained`.
    pub kind: Option<String>,
    /// The day that it gives.
    pub date: Date,
    /// Where more is told.
    pub url: Option<String>,
    /// Its ids elsewhere, such as `CVE-2024-1234`.
    pub aliases: Vec<String>,
    /// How severe it is by CVSS, such as `high`, where it says.
    pub severity: Option<String>,
    /// The versions that it is about; none where there are none any more.
    pub affected: Vec<Range>,
}

impl Advisory {
    /// Says whether it is about a version.
    pub fn affects(&self, version: &Version) -> bool {
        self.affected.iter().any(|range| range.has(version))
    }

    /// Returns when its day begins in UTC.
    pub(super) fn begins(&self) -> Timestamp {
        let begins = self.date.to_zoned(TimeZone::UTC);
        begins.map_or(Timestamp::MAX, |begins| begins.timestamp())
    }

    /// Says whether a rule names it: by its id, or one that it has elsewhere. A pattern names none.
    fn is_named_by(&self, rule: &Rule) -> bool {
        let name = rule.crates.to_string();
        let mut ids = std::iter::once(&self.id).chain(&self.aliases);
        ids.any(|id| id.eq_ignore_ascii_case(name.trim()))
    }
}

/// Says it in one line, without an end: `RUSTSEC-2026-0260: …`.
impl fmt::Display for Advisory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.title)
    }
}

/// All advisories, by the names of the crates in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Advisories(BTreeMap<String, Vec<Arc<Advisory>>>);

impl FromIterator<Arc<Advisory>> for Advisories {
    fn from_iter<I: IntoIterator<Item = Arc<Advisory>>>(all: I) -> Self {
        let mut by_crate = BTreeMap::<_, Vec<_>>::new();
        for advisory in all {
            let of_crate = by_crate.entry(advisory.package.to_ascii_lowercase());
            of_crate.or_default().push(advisory);
        }
        for of_crate in by_crate.values_mut() {
            of_crate.sort_by(|one, other| (one.class, &one.id).cmp(&(other.class, &other.id)));
        }
        Self(by_crate)
    }
}

impl Advisories {
    /// Returns those about a crate, the gravest first.
    pub fn of(&self, name: &str) -> &[Arc<Advisory>] {
        if self.0.is_empty() {
            return &[];
        }
        let found = self.0.get(&name.to_ascii_lowercase());
        found.map_or(&[], Vec::as_slice)
    }

    /// Returns the crates, in lower case, of the advisories that a rule names.
    pub fn named_by<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = &'a str> {
        let crates = self.0.iter();
        let named = crates.filter(|(_, all)| all.iter().any(|it| it.is_named_by(rule)));
        named.map(|(name, _)| name.as_str())
    }

    /// Returns all of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Advisory>> {
        self.0.values().flatten()
    }

    /// Returns the crates, in lower case.
    pub(super) fn crates(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// An advisory, what the configuration makes of it, and which rules let it pass.
#[derive(Debug)]
pub(super) struct Weighed<'a> {
    pub(super) advisory: &'a Arc<Advisory>,
    action: OnAdvisory,
    allow: Vec<&'a Rule>,
}

/// What becomes of an advisory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing<'a> {
    /// What becomes of the versions that it is about.
    pub action: OnAdvisory,
    /// The rule that lets it pass, if one does: then it decides nothing.
    pub allowed_by: Option<&'a Rule>,
}

impl Weighed<'_> {
    /// Says whether it counts now; the span ends where that changes.
    pub(super) fn counts(&self, now: Timestamp, span: &mut Span) -> bool {
        let mut stands = false;
        for rule in &self.allow {
            if let Some(until) = rule.until {
                span.cut(until, now);
            }
            stands |= rule.stands_at(now);
        }
        self.action != OnAdvisory::Off && !stands
    }
}

impl Policy {
    /// Says whether advisories count.
    pub fn has_advisories(&self) -> bool {
        self.has_advisories
    }

    /// Returns what becomes of the versions that an advisory of this class is about.
    pub fn on(&self, class: Class) -> OnAdvisory {
        match class {
            Class::Malicious => self.malicious,
            Class::Vulnerable => self.vulnerable,
            Class::Informational => self.informational,
        }
    }

    /// Returns all rules that let something pass: those of the configuration, and those of commands.
    fn allowing(&self) -> impl Iterator<Item = &Rule> {
        let commanded = self.by_command.with(Verb::Allow).map(|said| &said.rule);
        self.allow.iter().chain(commanded)
    }

    /// Returns the ids in the rules of the configuration that none of these advisories has: they let nothing pass.
    pub fn unknown_ids<'a>(&'a self, advisories: &'a Advisories) -> impl Iterator<Item = String> {
        let ids = self.allow.iter().chain(&self.deny);
        let ids = ids.map(|rule| rule.crates.to_string());
        let ids = ids.filter(|id| id.to_ascii_uppercase().starts_with("RUSTSEC-"));
        let is_known = |id: &str| {
            let mut rules = self.allow.iter();
            let rule = rules.find(|rule| rule.crates.to_string() == id);
            rule.is_some_and(|rule| advisories.named_by(rule).next().is_some())
        };
        ids.filter(move |id| !is_known(id))
    }

    /// Returns what becomes of an advisory.
    pub fn standing(&self, advisory: &Advisory, now: Timestamp) -> Standing<'_> {
        let mut rules = self.allowing();
        Standing {
            action: self.on(advisory.class),
            allowed_by: rules.find(|rule| advisory.is_named_by(rule) && rule.stands_at(now)),
        }
    }
}

impl<'p> AboutCrate<'p> {
    /// Adds the advisories about the crate. Those about crates of other people do not count for one's own of the same name.
    #[must_use]
    pub fn advised(mut self, advisories: &'p [Arc<Advisory>]) -> Self {
        if self.own.is_none() && self.policy.has_advisories {
            let weigh = |advisory: &'p Arc<Advisory>| Weighed {
                advisory,
                action: self.policy.on(advisory.class),
                allow: {
                    let rules = self.policy.allowing();
                    rules.filter(|rule| advisory.is_named_by(rule)).collect()
                },
            };
            self.advisories = advisories.iter().map(weigh).collect();
        }
        self
    }

    /// Returns the advisories about a version that count now, the gravest first; the span ends where that changes.
    pub(super) fn on(
        &self,
        version: &Version,
        now: Timestamp,
        span: &mut Span,
    ) -> Vec<&Weighed<'p>> {
        let about = self.advisories.iter();
        let about = about.filter(|weighed| weighed.advisory.affects(version));
        about.filter(|weighed| weighed.counts(now, span)).collect()
    }

    /// Decides by these advisories: whether they are of the class that comes before `allow` or not, the strictest counts.
    pub(super) fn by_advisory(
        advisories: &[&Weighed<'_>],
        is_malicious: bool,
    ) -> Option<(Decision, Why)> {
        let of_class = advisories
            .iter()
            .filter(|weighed| (weighed.advisory.class == Class::Malicious) == is_malicious);
        let decided = [OnAdvisory::Deny, OnAdvisory::Hold]
            .into_iter()
            .find_map(|action| {
                let mut of_class = of_class.clone();
                of_class.find(|weighed| weighed.action == action)
            })?;
        let decision = match decided.action {
            OnAdvisory::Deny => Decision::Deny,
            _ => Decision::Hold { until: None },
        };
        Some((decision, Why::of_advisory(decided.advisory, decided.action)))
    }
}
