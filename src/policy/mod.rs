//! What is held and what is refused, and why. Pure: lines of an index and the time go in, decisions come out.
//!
//! A *hold* keeps cargo from taking a version anew: the index shows it as yanked, and its crate file is served to those whose
//! lockfiles name it. A version that is *denied* is shown as yanked, too, and its crate file is refused.

mod advisories;
mod by_command;
mod decision;
mod early;
mod outcome;
mod own;
mod seen;
mod span;
#[cfg(test)]
mod tests;
mod withdrawals;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use semver::Version;

use crate::config::{self, OnAdvisory, Rule};
use crate::error::Result;
use crate::index::{Keep, ReservedNames, folded};
use advisories::Weighed;
pub use advisories::{Advisories, Advisory, Class, Range, Standing};
pub use by_command::{ByCommand, CommandRule, Released, Verb, spelling};
pub use decision::{Dated, Decided, Decision, Since, Why, days, minute};
pub use outcome::Outcome;
use own::Own;
pub use seen::{Seen, SeenOfCrate, Sight, Sighting};
pub use span::Span;
pub use withdrawals::{Withdrawal, Withdrawn};

/// The key of the rules that refuse, of those that let pass, and of the age.
const DENY: &str = "policy.deny";
const ALLOW: &str = "policy.allow";
const MIN_AGE: &str = "policy.min_age";
/// The key of the advisories, and those of what becomes of the versions that each class of them is about.
const ADVISORIES: &str = "policy.advisories";
const MALICIOUS: &str = "policy.malicious";
const VULNERABLE: &str = "policy.vulnerable";
const INFORMATIONAL: &str = "policy.informational";
/// The key of what becomes of versions that upstream took back.
const WITHDRAWN: &str = "policy.withdrawn";
/// The key of how late some yanks show.
const YANK_HOLD: &str = "policy.yank_hold";

/// What the configuration says about versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    min_age: Option<Duration>,
    yank_hold: Option<Duration>,
    allow: Vec<Rule>,
    deny: Vec<Rule>,
    /// When each of those refused first, as far as it is known.
    deny_since: Vec<Option<Timestamp>>,
    reserved: ReservedNames,
    /// The paths of the index that are the mirror's own.
    keep: Keep,
    refuses_withdrawn: bool,
    has_advisories: bool,
    malicious: OnAdvisory,
    vulnerable: OnAdvisory,
    informational: OnAdvisory,
    by_command: Arc<ByCommand>,
}

impl Policy {
    /// Makes it of the section `policy`; `None` if that can hold or refuse nothing.
    pub fn of(config: &config::Policy) -> Option<Self> {
        let is_empty = config.min_age.is_none()
            && config.deny.is_empty()
            && config.reserved.is_empty()
            && config.advisories.is_none();
        if is_empty && config.withdrawn != Some(config::Withdrawn::Refuse) {
            return None;
        }
        Some(Self {
            min_age: config.min_age,
            yank_hold: config
                .yank_hold
                .or(config.min_age)
                .filter(|hold| !hold.is_zero()),
            allow: config.allow.clone(),
            deny: config.deny.clone(),
            deny_since: Vec::new(),
            reserved: ReservedNames::new(config.reserved.clone()),
            keep: Keep::default(),
            refuses_withdrawn: config.withdrawn != Some(config::Withdrawn::Serve),
            has_advisories: config.advisories.is_some(),
            malicious: config.malicious,
            vulnerable: config.vulnerable,
            informational: config.informational,
            by_command: Arc::default(),
        })
    }

    /// Makes it as [`Policy::of`] does, for an index of which these paths are the mirror's own (`mirror.keep`).
    ///
    /// # Errors
    /// `config` if one of the paths is not a glob.
    pub fn of_mirror(config: &config::Policy, keep: &[String]) -> Result<Option<Self>> {
        let keep = Keep::new(keep)?;
        Ok(Self::of(config).map(|policy| Self { keep, ..policy }))
    }

    /// Adds when each of the rules in [`Policy::denied`] refused first, in their order.
    #[must_use]
    pub fn denying_since(self, deny_since: Vec<Option<Timestamp>>) -> Self {
        Self { deny_since, ..self }
    }

    /// Returns when each of the rules in [`Policy::denied`] refused first; none where nothing is known.
    pub fn denied_since(&self) -> &[Option<Timestamp>] {
        &self.deny_since
    }

    /// Returns the age below which a version is on hold.
    pub fn min_age(&self) -> Option<Duration> {
        self.min_age
    }

    /// Returns how late a yank shows that would leave nothing but versions on hold or denied.
    pub fn yank_hold(&self) -> Option<Duration> {
        self.yank_hold
    }

    /// Returns for how long it matters when something was seen; `None` if it never does.
    pub fn memory(&self) -> Option<Duration> {
        self.min_age.max(self.yank_hold)
    }

    /// Says whether anything is remembered in the store.
    pub fn remembers(&self) -> bool {
        self.memory().is_some() || self.refuses_withdrawn
    }

    /// Returns the rules that let versions pass.
    pub fn allowed(&self) -> &[Rule] {
        &self.allow
    }

    /// Returns the rules that refuse versions.
    pub fn denied(&self) -> &[Rule] {
        &self.deny
    }

    /// Returns the names that are never taken from upstream.
    pub fn reserved(&self) -> &ReservedNames {
        &self.reserved
    }

    /// Returns the rules that have ended, each with its key.
    pub fn ended(&self, now: Timestamp) -> impl Iterator<Item = (&'static str, &Rule)> {
        let allow = self.allow.iter().map(|rule| (ALLOW, rule));
        let all = allow.chain(self.deny.iter().map(|rule| (DENY, rule)));
        all.filter(move |(_, rule)| !rule.stands_at(now))
    }

    /// Selects what concerns a crate.
    pub fn about(&self, name: &str) -> AboutCrate<'_> {
        let own = self.own(name);
        let name = folded(name);
        let about = |rules: &'_ [Rule]| -> Vec<usize> {
            let rules = rules.iter().enumerate();
            let about = rules.filter(|(_, rule)| rule.crates.means_crate(&name));
            about.map(|(place, _)| place).collect()
        };
        let by_command = |verb| {
            let rules = self.by_command.with(verb);
            let about = rules.filter(|said| said.rule.crates.means_crate(&name));
            about.collect()
        };
        AboutCrate {
            allowed_by_command: by_command(Verb::Allow),
            denied_by_command: by_command(Verb::Deny),
            allow: about(&self.allow),
            deny: about(&self.deny),
            own,
            advisories: Vec::new(),
            policy: self,
        }
    }
}

/// The part of a policy that concerns one crate.
#[derive(Debug)]
pub struct AboutCrate<'p> {
    policy: &'p Policy,
    /// The places of the rules that mean it.
    allow: Vec<usize>,
    deny: Vec<usize>,
    /// The rules of commands that mean it.
    allowed_by_command: Vec<&'p CommandRule>,
    denied_by_command: Vec<&'p CommandRule>,
    /// What says that its versions are one's own, if they are.
    own: Option<Own<'p>>,
    /// The advisories about it, the gravest first.
    advisories: Vec<Weighed<'p>>,
}

impl AboutCrate<'_> {
    /// Decides on a version, which came then; one of which nobody knows when is old.
    ///
    /// Deny comes before what an advisory calls malicious, that before allow, and allow before other advisories and hold, from which
    /// one's own crates are exempt. A rule of the configuration wins over one that was made by command.
    pub fn decide(&self, version: &str, came: Option<Dated>, now: Timestamp) -> Decided {
        self.weigh(version, came, now).0
    }

    /// Decides as [`AboutCrate::decide`] does, and returns the advisories about the version that count, the gravest first.
    fn weigh(
        &self,
        version: &str,
        came: Option<Dated>,
        now: Timestamp,
    ) -> (Decided, Vec<Arc<Advisory>>) {
        let mut span = Span::ALWAYS;
        let parsed = match self.advisories.is_empty() {
            true => None,
            false => Version::parse(version).ok(),
        };
        let advisories = parsed.map(|version| self.on(&version, now, &mut span));
        let advisories = advisories.unwrap_or_default();
        let decided = self.decide_among(version, &advisories, came, now, span);
        let advisories = advisories.iter();
        let advisories = advisories.map(|weighed| Arc::clone(weighed.advisory));
        (decided, advisories.collect())
    }

    fn decide_among(
        &self,
        version: &str,
        advisories: &[&Weighed<'_>],
        came: Option<Dated>,
        now: Timestamp,
        mut span: Span,
    ) -> Decided {
        let (allow, deny) = (&self.policy.allow, &self.policy.deny);
        if let Some(place) = Self::first(deny, &self.deny, version, now, &mut span) {
            let since = self.policy.deny_since.get(place).copied().flatten();
            let why = Why::of_rule(DENY, &deny[place]).since(since);
            return Decided::new(Decision::Deny, Some(why), span);
        }
        if let Some((decision, why)) = Self::by_advisory(advisories, true) {
            // A command may refuse what is only on hold.
            let denied = (decision != Decision::Deny)
                .then(|| self.by_command(Verb::Deny, version, now, &mut span));
            return match denied.flatten() {
                Some(denied) => denied,
                None => Decided::new(decision, Some(why), span),
            };
        }
        if let Some(place) = Self::first(allow, &self.allow, version, now, &mut span) {
            let why = Why::of_rule(ALLOW, &allow[place]);
            return Decided::new(Decision::Serve, Some(why), span);
        }
        for verb in [Verb::Deny, Verb::Allow] {
            if let Some(decided) = self.by_command(verb, version, now, &mut span) {
                return decided;
            }
        }
        if let Some(own) = self.own {
            return Decided::new(Decision::Serve, Some(Why::of_own(own)), span);
        }
        if let Some((decision, why)) = Self::by_advisory(advisories, false) {
            return Decided::new(decision, Some(why), span);
        }
        let (Some(min_age), Some(came)) = (self.policy.min_age, came) else {
            return Decided::new(Decision::Serve, None, span);
        };
        let until = later(came.at(), min_age);
        span.cut(until, now);
        match now < until {
            true => {
                let why = Why::of_age(MIN_AGE, came, min_age);
                Decided::new(Decision::Hold { until: Some(until) }, Some(why), span)
            }
            false => Decided::new(Decision::Serve, None, span),
        }
    }

    /// Returns the place of the first of these rules that means the version now; the span ends where that changes.
    fn first(
        rules: &[Rule],
        about: &[usize],
        version: &str,
        now: Timestamp,
        span: &mut Span,
    ) -> Option<usize> {
        if about.is_empty() {
            return None;
        }
        // What is no version, neither cargo nor this server can do anything with.
        let version = Version::parse(version).ok()?;
        let mut meant = about
            .iter()
            .copied()
            .filter(|place| rules[*place].crates.means_version(&version));
        meant.find(|place| {
            let rule = &rules[*place];
            if let Some(until) = rule.until {
                span.cut(until, now);
            }
            rule.stands_at(now)
        })
    }
}

/// Adds a duration to a time, which ends at the last one that can be written.
fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
