//! Rules that were made by command, while servers run. The rules of the configuration win over them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::{AboutCrate, Decided, Decision, Policy, Span, Why};
use crate::config::Rule;
use crate::index::{CrateFile, CratePattern, entry, folded};

/// What is said of the command that made a rule.
const ALLOW: &str = "policy allow";
const DENY: &str = "policy deny";

/// What a command does with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// It lets versions pass.
    Allow,
    /// It refuses versions.
    Deny,
    /// Nothing that a command said of it before counts any more.
    Reset,
}

/// A rule that a command made, or unmade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRule {
    /// When.
    pub at: Timestamp,
    /// What it did.
    pub verb: Verb,
    /// The rule.
    pub rule: Rule,
    /// Who gave the command.
    pub by: Arc<str>,
    /// What it releases, though upstream took it back.
    pub released: Option<Released>,
}

/// A version that upstream took back, as it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Its crate file: the same version with another checksum stays refused.
    pub file: CrateFile,
    /// Its line in the index.
    pub line: String,
}

/// The rules that count, of all that commands ever said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ByCommand {
    /// By what they mean, in one spelling.
    rules: BTreeMap<String, CommandRule>,
}

impl Verb {
    /// Returns the command's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ByCommand {
    /// Makes it of all that commands said, in the order in which they did: of each rule the last word counts.
    pub fn of<'a>(said: impl IntoIterator<Item = &'a CommandRule>) -> Self {
        let mut rules = BTreeMap::new();
        for said in said {
            let key = spelling(&said.rule.crates);
            match said.verb {
                Verb::Reset => drop(rules.remove(&key)),
                Verb::Allow | Verb::Deny => drop(rules.insert(key, said.clone())),
            }
        }
        Self { rules }
    }

    /// Returns what counts of the rule about exactly these versions.
    pub fn find(&self, crates: &CratePattern) -> Option<&CommandRule> {
        self.rules.get(&spelling(crates))
    }

    /// Returns the rules.
    pub fn rules(&self) -> impl Iterator<Item = &CommandRule> {
        self.rules.values()
    }

    /// Returns those that do this.
    pub fn with(&self, verb: Verb) -> impl Iterator<Item = &CommandRule> {
        self.rules().filter(move |said| said.verb == verb)
    }

    /// Returns the rules that are not the same in both.
    fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Rule> {
        let one_sided = |one: &'a Self, other: &'a Self| {
            let rules = one.rules.iter();
            rules.filter(|(key, said)| other.rules.get(*key) != Some(*said))
        };
        let all = one_sided(self, other).chain(one_sided(other, self));
        all.map(|(_, said)| &said.rule)
    }
}

/// Returns the one spelling of all that mean the same crates, as far as that is a matter of spelling.
pub fn spelling(crates: &CratePattern) -> String {
    let text = crates.to_string();
    let (name, versions) = text.split_once('@').unwrap_or((&text, ""));
    let versions: String = versions.split_whitespace().collect();
    format!("{}@{versions}", folded(name.trim()))
}

impl Policy {
    /// Adds the rules that were made by command, in the place of those before.
    #[must_use]
    pub fn with_commands(&self, by_command: Arc<ByCommand>) -> Self {
        Self {
            by_command,
            ..self.clone()
        }
    }

    /// Returns the rules that were made by command.
    pub fn by_command(&self) -> &Arc<ByCommand> {
        &self.by_command
    }

    /// Returns the rules that only one of both policies has; `None` if they differ in more than rules.
    pub fn changed_rules<'a>(&'a self, other: &'a Self) -> Option<Vec<&'a Rule>> {
        let without_rules = |policy: &Self| Self {
            allow: Vec::new(),
            deny: Vec::new(),
            deny_since: Vec::new(),
            by_command: Arc::default(),
            ..policy.clone()
        };
        if without_rules(self) != without_rules(other) {
            return None;
        }
        let mut changed: Vec<_> = self.by_command.differences(&other.by_command).collect();
        for (ours, theirs) in [(&self.allow, &other.allow), (&self.deny, &other.deny)] {
            // Of several rules about the same version the first one is told.
            if ours != theirs {
                changed.extend(ours.iter().chain(theirs));
            }
        }
        if self.deny == other.deny && self.deny_since != other.deny_since {
            changed.extend(&other.deny);
        }
        Some(changed)
    }

    /// Returns all versions that are released now though upstream took them back.
    pub fn released(&self, now: Timestamp) -> impl Iterator<Item = &Released> {
        let allowed = self.by_command.with(Verb::Allow);
        let allowed = allowed.filter(move |said| said.rule.stands_at(now));
        let released = allowed.filter_map(|said| said.released.as_ref());
        released
            .filter(|released| self.refuses_withdrawn && !self.is_own(released.file.name.as_str()))
    }

    /// Puts the lines of what is released back into a crate's file, where they are not, or have another checksum.
    pub fn with_released(&self, name: &str, content: Vec<u8>, now: Timestamp) -> Vec<u8> {
        let released = self.released(now);
        let of_crate = released.filter(|it| it.file.name.as_str().eq_ignore_ascii_case(name));
        of_crate.fold(content, |content, released| {
            let version = released.file.version.as_str();
            match entry::find(&content, version) {
                Some(listed) if listed.checksum == released.file.checksum => content,
                _ => entry::with_line(&content, version, released.line.as_bytes()),
            }
        })
    }
}

impl AboutCrate<'_> {
    /// Decides by the first rule of a command that means the version now.
    pub(super) fn by_command(
        &self,
        verb: Verb,
        version: &str,
        now: Timestamp,
        span: &mut Span,
    ) -> Option<Decided> {
        let (rules, decision, command) = match verb {
            Verb::Allow => (&self.allowed_by_command, Decision::Serve, ALLOW),
            Verb::Deny => (&self.denied_by_command, Decision::Deny, DENY),
            Verb::Reset => return None,
        };
        let version = rules
            .first()
            .and_then(|_| semver::Version::parse(version).ok())?;
        let mut meant = rules
            .iter()
            .filter(|said| said.rule.crates.means_version(&version));
        let said = meant.find(|said| {
            if let Some(until) = said.rule.until {
                span.cut(until, now);
            }
            said.rule.stands_at(now)
        })?;
        let why = Why {
            made: Some((Arc::clone(&said.by), said.at)),
            ..Why::of_rule(command, &said.rule).since(Some(said.at))
        };
        Some(Decided::new(decision, Some(why), *span))
    }
}
