//! What is decided on a version, why, and for how long.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use super::{ADVISORIES, Advisory, Own, Span};
use crate::config::{OnAdvisory, Rule};

/// What becomes of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It is served as the index has it.
    Serve,
    /// It is shown as yanked, and its crate file is served.
    Hold {
        /// When the hold ends; `None` where it lasts as long as its reason does.
        until: Option<Timestamp>,
    },
    /// It is yanked, and shown as if it were not.
    HoldYank {
        /// When its yank shows.
        until: Timestamp,
    },
    /// It is shown as yanked, and its crate file is refused.
    Deny,
}

/// Which part of the configuration decided, and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Why {
    /// The key, such as `policy.deny`.
    pub key: &'static str,
    /// The rule, as it is written there; for an age what it is compared with.
    pub rule: String,
    /// What the rule gives as its reason.
    pub reason: Option<String>,
    /// Since when it refuses or holds the version, where that is known and its reason does not tell.
    pub since: Option<Since>,
    /// When the rule ends, if it does.
    pub until: Option<Timestamp>,
    /// Who made the rule, and when, where a command did. Clients are not told.
    pub made: Option<(Arc<str>, Timestamp)>,
}

/// Since when something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Since {
    /// Since this moment.
    Time(Timestamp),
    /// Since this day, of which nobody gave the hour.
    Day(Date),
}

impl Since {
    /// Writes it as programs read it: as RFC 3339 has times, or days.
    pub fn to_rfc3339(self) -> String {
        match self {
            Self::Time(at) => at.to_string(),
            Self::Day(day) => day.to_string(),
        }
    }
}

/// Writes it as people read it.
impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(at) => write!(f, "{}", minute(*at)),
            Self::Day(day) => write!(f, "{day}"),
        }
    }
}

/// A decision, and what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What becomes of the version.
    pub decision: Decision,
    /// What decided; `None` if nothing in the policy is about the version.
    pub why: Option<Why>,
    /// When the decision is the same, with all else equal.
    pub span: Span,
}

impl Decided {
    pub(super) fn new(decision: Decision, why: Option<Why>, span: Span) -> Self {
        Self {
            decision,
            why,
            span,
        }
    }

    /// Makes that of a version about which nothing in the policy is.
    pub fn served() -> Self {
        Self::new(Decision::Serve, None, Span::ALWAYS)
    }

    /// Says whether the version is shown as the index has it.
    pub fn is_served(&self) -> bool {
        self.decision == Decision::Serve
    }
}

impl Decision {
    /// Returns one word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Serve => "served",
            Self::Hold { .. } => "on hold",
            Self::HoldYank { .. } => "yank on hold",
            Self::Deny => "denied",
        }
    }
}

impl Why {
    pub(super) fn of_rule(key: &'static str, rule: &Rule) -> Self {
        Self {
            key,
            rule: rule.crates.to_string(),
            reason: rule.why.clone(),
            since: None,
            until: rule.until,
            made: None,
        }
    }

    /// Adds since when it refuses the version.
    #[must_use]
    pub(super) fn since(self, at: Option<Timestamp>) -> Self {
        Self {
            since: at.map(Since::Time),
            ..self
        }
    }

    pub(super) fn of_own(own: Own<'_>) -> Self {
        Self {
            key: own.key(),
            rule: own.rule(),
            reason: None,
            since: None,
            until: None,
            made: None,
        }
    }

    pub(super) fn of_age(key: &'static str, dated: Dated, min_age: Duration) -> Self {
        let reason = match dated {
            Dated::Published(at) => format!("published {}", minute(at)),
            Dated::Seen(at) => format!("first seen here {}, without a date", minute(at)),
        };
        Self {
            key,
            rule: days(min_age),
            reason: Some(reason),
            since: None,
            until: None,
            made: None,
        }
    }

    pub(super) fn of_advisory(advisory: &Advisory, action: OnAdvisory) -> Self {
        Self {
            key: advisory.class.key(),
            rule: action.word().to_owned(),
            reason: Some(advisory.to_string()),
            since: Some(Since::Day(advisory.date)),
            until: None,
            made: None,
        }
    }

    pub(super) fn of_fix(advisory: &Advisory) -> Self {
        Self {
            key: ADVISORIES,
            rule: advisory.id.clone(),
            reason: Some(format!(
                "released early, as the lowest version that leaves what {advisory} is about"
            )),
            since: None,
            until: None,
            made: None,
        }
    }

    pub(super) fn of_yank(key: &'static str, seen: Timestamp, hold: Duration) -> Self {
        let seen = minute(seen);
        let reason = format!("yanked {seen}, which leaves nothing but versions on hold or denied");
        Self {
            key,
            rule: days(hold),
            reason: Some(reason),
            since: None,
            until: None,
            made: None,
        }
    }
}

/// Says it in one line, without an end: `published 2026-11-30 08:41 UTC (policy.min_age: 7d)`.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{reason} ({}: {})", self.key, self.rule),
            None => write!(f, "{}: {}", self.key, self.rule),
        }
    }
}

/// Says it in one line: `on hold until 2026-12-07 08:41 UTC: published …`, `denied since 2026-12-07 08:41 UTC: …`.
impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.decision, &self.why) {
            (Decision::Serve, Some(_)) => "allowed",
            (decision, _) => decision.word(),
        })?;
        let is_stricter = matches!(self.decision, Decision::Hold { .. } | Decision::Deny);
        let since = self.why.as_ref().and_then(|why| why.since);
        if let Some(since) = since.filter(|_| is_stricter) {
            write!(f, " since {since}")?;
        }
        let until = match (self.decision, &self.why) {
            (Decision::Hold { until }, _) => until,
            (Decision::HoldYank { until }, _) => Some(until),
            (_, Some(why)) => why.until,
            (_, None) => None,
        };
        if let Some(until) = until {
            write!(f, " until {}", minute(until))?;
        }
        match &self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

/// When a version came, by its line or by this mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dated {
    /// When it was published.
    Published(Timestamp),
    /// When its line was seen first, which has no date.
    Seen(Timestamp),
}

impl Dated {
    /// Returns the time.
    pub fn at(self) -> Timestamp {
        match self {
            Self::Published(at) | Self::Seen(at) => at,
        }
    }
}

/// Writes a duration as it is configured: whole days as `100d`, and not as months.
pub fn days(duration: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match duration.as_secs() {
        seconds @ DAY.. if seconds % DAY == 0 && duration.subsec_nanos() == 0 => {
            format!("{}d", seconds / DAY)
        }
        _ => humantime::format_duration(duration).to_string(),
    }
}

/// Writes a time as people read it, in UTC.
pub fn minute(at: Timestamp) -> impl fmt::Display {
    at.strftime("%Y-%m-%d %H:%M UTC")
}
