//! `allow`, `deny` and `reset`: rules that are made while servers run, and count at once.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tracing::warn;

use super::row::made_by;
use crate::config::{Rule, ServeConfig, StoreUrl};
use crate::error::{Error, Kind, Result};
use crate::index::{CrateFile, CratePattern, folded};
use crate::policy::{ByCommand, CommandRule, Policy, Released, Verb, minute};
use crate::server::cargo_config::replace;
use crate::server::serve::COMMANDED;
use crate::server::store::Store;
use crate::server::{command_rules, sightings};

/// What a command asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What to do.
    pub verb: Verb,
    /// With the rule about these.
    pub crates: CratePattern,
    /// When it ends, if it does.
    pub until: Option<Timestamp>,
    /// Why it is made.
    pub why: Option<String>,
    /// Who asks.
    pub by: String,
    /// Whether nothing is to be changed.
    pub dry_run: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commanded {
    /// The rule; that which was removed, of `reset`.
    #[serde(flatten)]
    pub rule: RuleRow,
    /// Whether nothing was changed because that was asked for.
    pub dry_run: bool,
    /// Whether anything was, or would be, changed.
    pub changed: bool,
    /// The SHA-256 of the crate file that is released, though upstream took it back.
    pub released: Option<String>,
    /// What else is to be known of it.
    pub notes: Vec<String>,
    #[serde(skip)]
    verb: Verb,
}

/// A rule that was made by command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleRow {
    /// `allow` or `deny`; of a command also `reset`.
    pub verb: &'static str,
    /// Which crates and versions, as in `time@<0.2.23`.
    #[serde(rename = "crate")]
    pub crates: String,
    /// When it ends, if it does.
    pub until: Option<Timestamp>,
    /// Why it was made.
    pub why: Option<String>,
    /// Who made it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl RuleRow {
    /// Makes it of the rule.
    pub(in crate::server) fn of(said: &CommandRule) -> Self {
        Self {
            verb: said.verb.as_str(),
            crates: said.rule.crates.to_string(),
            until: said.rule.until,
            why: said.rule.why.clone(),
            by: said.by.to_string(),
            at: said.at,
        }
    }
}

/// Says it in one line: `deny evil-crate until …: it steals; by ops@host, 2026-12-01 08:12 UTC`.
impl fmt::Display for RuleRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.crates)?;
        if let Some(until) = self.until {
            write!(f, " until {}", minute(until))?;
        }
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        write!(f, "; {}", made_by(&self.by, self.at))
    }
}

/// Makes a rule, or removes one.
///
/// # Errors
/// `config` if there is no policy, or the rule has ended before it begins; else if the store cannot be used.
pub async fn command(config: &ServeConfig, asked: Asked) -> Result<Commanded> {
    let policy = super::policy_of(config)?;
    let now = Timestamp::now();
    if let Some(until) = asked.until.filter(|until| *until <= now) {
        let text = format!("--until {} is not in the future", minute(until));
        return Err(Error::new(Kind::Usage, text));
    }
    let place = config.store();
    let store = Store::open(&place, &config.secrets, &config.network)?;
    let unusable = |error| sightings::unusable(&place, error);
    let known = command_rules::read(&store).await.map_err(unusable)?;
    let rules = known.rules();
    let mut said = CommandRule {
        // A clock that is behind another machine's must not put what is said now before what was said then.
        at: known
            .last()
            .map_or(now, |last| now.max(last + SignedDuration::from_micros(1))),
        verb: asked.verb,
        rule: Rule {
            crates: asked.crates,
            until: asked.until,
            why: asked.why.filter(|why| !why.is_empty()),
        },
        by: Arc::from(asked.by),
        released: None,
    };
    if said.verb == Verb::Allow && policy.refuses_withdrawn() {
        said.released = released(&store, &place, &said.rule.crates).await?;
    }
    let before = rules.find(&said.rule.crates);
    let is_same = match before {
        Some(before) => {
            (before.verb, &before.rule, &before.released) == (said.verb, &said.rule, &said.released)
        }
        None => said.verb == Verb::Reset,
    };
    let mut report = Commanded {
        rule: RuleRow::of(before.filter(|_| said.verb == Verb::Reset).unwrap_or(&said)),
        dry_run: asked.dry_run,
        changed: !is_same,
        released: said
            .released
            .as_ref()
            .map(|it| it.file.checksum.to_string()),
        notes: notes(&policy, &rules, &said),
        verb: said.verb,
    };
    if is_same || asked.dry_run {
        return Ok(report);
    }
    command_rules::write(&store, &said)
        .await
        .map_err(unusable)?;
    let is_told = tell(config, &said);
    let refresh = humantime::format_duration(config.serve.refresh);
    report.notes.push(match is_told {
        true => format!(
            "a server on {} applies it within two seconds, one on another machine with its next refresh of the index (serve.refresh: {refresh})",
            config.serve.data_dir.display()
        ),
        false => format!(
            "servers apply it with their next refresh of the index (serve.refresh: {refresh}), or when they get SIGHUP"
        ),
    });
    Ok(report)
}

/// Finds the version that a rule about one version releases, if upstream took it back.
async fn released(
    store: &Store,
    place: &StoreUrl,
    crates: &CratePattern,
) -> Result<Option<Released>> {
    let Some((name, version)) = crates.one_version() else {
        return Ok(None);
    };
    let unusable = |error| sightings::unusable(place, error);
    let all = sightings::withdrawals(store).await.map_err(unusable)?;
    let is_meant =
        |number: &str| semver::Version::parse(number).is_ok_and(|it| crates.means_version(&it));
    let of_version = all
        .into_iter()
        .filter(|it| folded(it.name.as_str()) == folded(name) && is_meant(it.version.as_str()));
    // Of two times the first one counts, as it does for what is refused.
    let Some(first) = of_version.min_by_key(|it| (it.at, it.checksum)) else {
        return Ok(None);
    };
    let line = sightings::line_before(store, &first)
        .await
        .map_err(unusable)?;
    let line = line.ok_or_else(|| {
        let text = format!("{name} {version} was withdrawn upstream, and its line in the index was not kept: it cannot be released");
        Error::new(Kind::Config, text)
            .advise("Commit its line to the mirror, or set policy.withdrawn: serve.")
    })?;
    let file = CrateFile {
        name: first.name,
        version: first.version,
        checksum: first.checksum,
    };
    Ok(Some(Released { file, line }))
}

/// Says what keeps a rule from having an effect, or what it replaces.
fn notes(policy: &Policy, rules: &ByCommand, said: &CommandRule) -> Vec<String> {
    let mut notes = Vec::new();
    let crates = &said.rule.crates;
    let before = rules.find(crates);
    match (before, said.verb) {
        (Some(before), Verb::Allow | Verb::Deny)
            if before.rule != said.rule || before.verb != said.verb =>
        {
            notes.push(format!("it replaces: {}", RuleRow::of(before)));
        }
        (None, Verb::Reset) => notes.push(format!("no command has made a rule about {crates}")),
        _ => {}
    }
    let (wins, losers) = match said.verb {
        Verb::Allow => ("refuse it", "policy.deny"),
        Verb::Deny => ("let it pass", "policy.allow"),
        Verb::Reset => return notes,
    };
    let of_file = match said.verb {
        Verb::Allow => policy.denied(),
        _ => policy.allowed(),
    };
    for rule in of_file
        .iter()
        .filter(|rule| rule.stands_at(said.at) && rule.crates.overlaps(crates))
    {
        notes.push(format!(
            "{losers}: {} in the configuration wins over it, and goes on to {wins} where both mean the same version",
            rule.crates
        ));
    }
    if said.verb == Verb::Allow {
        let denied = rules
            .with(Verb::Deny)
            .filter(|denied| denied.rule.crates.overlaps(crates));
        for denied in denied.filter(|denied| before.is_none_or(|before| before != *denied)) {
            notes.push(format!(
                "a deny wins over it where both mean the same version: {}",
                RuleRow::of(denied)
            ));
        }
    }
    notes
}

/// Lets a server on this directory know; says whether there is such a directory.
fn tell(config: &ServeConfig, said: &CommandRule) -> bool {
    let data_dir = &config.serve.data_dir;
    if !data_dir.is_dir() {
        return false;
    }
    let path = data_dir.join(COMMANDED);
    let text = format!("{} {} {}\n", said.at, said.verb, said.rule.crates);
    replace(&path, &text)
        .inspect_err(|error| warn!("cannot write {}: {error}", path.display()))
        .is_ok()
}

impl fmt::Display for Commanded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.changed, self.dry_run, self.verb) {
            (false, ..) => write!(f, "nothing to do: ")?,
            (true, true, _) => write!(f, "would be made: ")?,
            (true, false, Verb::Reset) => write!(f, "removed: ")?,
            (true, false, _) => write!(f, "made: ")?,
        }
        write!(f, "{}", self.rule)?;
        if let Some(sha256) = &self.released {
            write!(
                f,
                "\nreleased, though upstream took it back: the crate file with SHA-256 {sha256}, and no other"
            )?;
        }
        for note in &self.notes {
            write!(f, "\n{note}")?;
        }
        Ok(())
    }
}
