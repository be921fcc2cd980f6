//! What a policy decides of all versions of a crate, and what the crate's file then looks like.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use semver::Version;

use super::early::{Candidate, Candidates};
use super::{
    AboutCrate, Advisory, Class, DENY, Dated, Decided, Decision, MIN_AGE, Policy, Seen,
    SeenOfCrate, Sight, Span, Why, YANK_HOLD, later,
};
use crate::index::{Published, shown_yanked};

/// What a policy decides of the versions in a crate's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The versions that are not served as they are.
    changed: BTreeMap<String, Decided>,
    /// The versions that are served although they are young, since they mend what an advisory tells of.
    released: BTreeMap<String, Decided>,
    /// The advisories that count, by the versions that they are about.
    advised: BTreeMap<String, Vec<Arc<Advisory>>>,
    /// When all of it is the same, with all else equal.
    span: Span,
}

impl Policy {
    /// Decides on all versions in a crate's file.
    pub fn outcome(&self, content: &[u8], seen: &Seen, now: Timestamp) -> Outcome {
        let mut outcome = Outcome {
            changed: BTreeMap::new(),
            released: BTreeMap::new(),
            advised: BTreeMap::new(),
            span: Span::ALWAYS,
        };
        let mut about: Option<(String, &SeenOfCrate, AboutCrate<'_>)> = None;
        let seen_of_all = seen;
        let mut candidates = Candidates::new();
        for text in content.split(|byte| *byte == b'\n') {
            let Some(line) = Published::read(text) else {
                continue;
            };
            // All lines of a file name the same crate; one that does not is decided by what it names.
            let (_, of_crate, about) = match &mut about {
                Some(about) if about.0 == *line.name => about,
                other => {
                    let name = line.name.to_string();
                    let about = self
                        .about(&line.name)
                        .advised(seen.advisories().of(&line.name));
                    other.insert((name, seen.of(&line.name), about))
                }
            };
            let seen = || of_crate.at(Sight::Line, &line.version).map(Dated::Seen);
            let came = line.at.map(Dated::Published).or_else(seen);
            let (decided, advisories) = about.weigh(&line.version, came, now);
            if !about.advisories.is_empty() {
                outcome.span.meet(decided.span);
                outcome.advise(&line.version, came, &decided, advisories, &mut candidates);
            }
            let decided = match of_crate.withdrawn(&line.version) {
                // The checksum is read of these few alone.
                Some(_) if decided.why.as_ref().is_none_or(|why| why.key != DENY) => {
                    let whole = Published::read_whole(text);
                    let withdrawn =
                        self.withdrawn(&line.name, &line.version, whole.as_ref(), seen_of_all);
                    withdrawn.unwrap_or(decided)
                }
                _ => decided,
            };
            outcome.span.meet(decided.span);
            // Of two lines for a version the last one counts, as for cargo.
            match decided.is_served() {
                true => drop(outcome.changed.remove(&*line.version)),
                false => drop(outcome.changed.insert(line.version.into_owned(), decided)),
            }
        }
        if let Some((_, of_crate, about)) = about
            && about.own.is_none()
        {
            if !about.advisories.is_empty() {
                outcome.release_early(&about, of_crate, candidates, now);
            }
            self.hold_yanks(content, of_crate, now, &mut outcome);
        }
        outcome
    }

    /// Shows yanks late that would leave their compatible lines with nothing but versions that are on hold or denied: whoever
    /// publishes a bad version and yanks the good ones before it drives everybody to the bad one. Any other yank shows at once.
    fn hold_yanks(
        &self,
        content: &[u8],
        seen: &SeenOfCrate,
        now: Timestamp,
        outcome: &mut Outcome,
    ) {
        let Some(hold) = self.yank_hold else {
            return;
        };
        let mut young = Vec::new();
        for (version, at) in seen.yanks() {
            let until = later(at, hold);
            outcome.span.cut(until, now);
            if now < until {
                young.push((version, at, until));
            }
        }
        if young.is_empty() {
            return;
        }
        let lines = content.split(|byte| *byte == b'\n');
        let lines: BTreeMap<_, _> = lines
            .filter_map(Published::read)
            .filter(|line| !line.is_beyond_cargo)
            .map(|line| (line.version.into_owned(), line.is_yanked))
            .collect();
        for (version, at, until) in young {
            if lines.get(version) != Some(&true) || outcome.of(version).is_some() {
                continue;
            }
            // One that is known to be bad is yanked for that.
            let is_bad = |advisory: &Arc<Advisory>| advisory.class != Class::Informational;
            if outcome.advised(version).iter().any(is_bad) {
                continue;
            }
            let others = lines.iter().filter(|(_, is_yanked)| !**is_yanked);
            let mut others = others
                .filter(|(other, _)| takes_place_of(other, version))
                .peekable();
            // What upstream took back since the yank is not left, and was what everybody was driven to.
            let was_driven = |(other, withdrawn): (&str, Timestamp)| {
                withdrawn >= at && !lines.contains_key(other) && takes_place_of(other, version)
            };
            let is_driven = others.peek().is_some()
                || self.refuses_withdrawn && seen.withdrawals().any(was_driven);
            // Where nothing is left at all, nobody is driven anywhere.
            if is_driven && others.all(|(other, _)| outcome.is_unusable(other)) {
                let why = Why::of_yank(YANK_HOLD, at, hold);
                let decided = Decided::new(Decision::HoldYank { until }, Some(why), outcome.span);
                outcome.changed.insert(version.to_owned(), decided);
            }
        }
    }
}

/// Says whether cargo may take a version where it took the other one before: it is compatible, and no pre-release in place of a
/// release.
fn takes_place_of(version: &str, other: &str) -> bool {
    let (Ok(version), Ok(other)) = (Version::parse(version), Version::parse(other)) else {
        return false;
    };
    compatible_line(&version) == compatible_line(&other)
        && (version.pre.is_empty() || !other.pre.is_empty())
}

/// Returns what cargo takes for compatible: versions of which the first part that is not zero is the same.
pub(super) fn compatible_line(version: &Version) -> [u64; 3] {
    match (version.major, version.minor, version.patch) {
        (0, 0, patch) => [0, 0, patch],
        (0, minor, _) => [0, minor, 0],
        (major, ..) => [major, 0, 0],
    }
}

impl Outcome {
    /// Notes the advisories on a version, and what matters of it for others.
    fn advise(
        &mut self,
        version: &str,
        came: Option<Dated>,
        decided: &Decided,
        advisories: Vec<Arc<Advisory>>,
        candidates: &mut Candidates,
    ) {
        if let Ok(number) = Version::parse(version) {
            let candidate = Candidate {
                came,
                is_gone: false,
                is_allowed: decided.is_served() && decided.why.is_some(),
                advisories: advisories.clone(),
            };
            candidates.insert(number, candidate);
        }
        match advisories.is_empty() {
            true => drop(self.advised.remove(version)),
            false => drop(self.advised.insert(version.to_owned(), advisories)),
        }
    }

    /// Releases the versions that are on hold by their age and mend what an advisory tells of.
    fn release_early(
        &mut self,
        about: &AboutCrate<'_>,
        seen: &SeenOfCrate,
        mut candidates: Candidates,
        now: Timestamp,
    ) {
        for (version, _) in seen.withdrawals() {
            if let Ok(number) = Version::parse(version) {
                let gone = Candidate {
                    came: None,
                    is_gone: true,
                    is_allowed: false,
                    advisories: Vec::new(),
                };
                candidates.entry(number).or_insert(gone);
            }
        }
        let is_young =
            |decided: &Decided| decided.why.as_ref().is_some_and(|why| why.key == MIN_AGE);
        let young = self.changed.iter().filter(|(_, decided)| is_young(decided));
        let young: BTreeSet<_> = young.map(|(version, _)| version.clone()).collect();
        for version in young {
            let Ok(number) = Version::parse(&version) else {
                continue;
            };
            let mut span = self.span;
            let released = about.released_early(&number, &candidates, now, &mut span);
            self.span = span;
            if let Some(released) = released {
                self.changed.remove(&version);
                self.released.insert(version, released);
            }
        }
    }

    /// Returns the advisories about a version that count, the gravest first.
    pub fn advised(&self, version: &str) -> &[Arc<Advisory>] {
        self.advised.get(version).map_or(&[], Vec::as_slice)
    }

    /// Returns the versions that an advisory is about, each with those that count.
    pub fn all_advised(&self) -> impl Iterator<Item = (&str, &[Arc<Advisory>])> {
        let advised = self.advised.iter();
        advised.map(|(version, advisories)| (version.as_str(), advisories.as_slice()))
    }

    /// Returns why a version is served although it is young, if an advisory releases it early.
    pub fn released(&self, version: &str) -> Option<&Decided> {
        self.released.get(version)
    }

    /// Says whether there is nothing to tell: the file stays as it is, and no advisory is about it.
    pub fn is_silent(&self) -> bool {
        self.is_plain() && self.advised.is_empty() && self.released.is_empty()
    }

    /// Says whether the file stays as it is.
    pub fn is_plain(&self) -> bool {
        self.changed.is_empty()
    }

    /// Returns when all of it is the same, with all else equal.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns the versions that are not served as they are, each with what was decided.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &Decided)> {
        let changed = self.changed.iter();
        changed.map(|(version, decided)| (version.as_str(), decided))
    }

    /// Returns what was decided of a version, if that is not served as it is.
    pub fn of(&self, version: &str) -> Option<&Decided> {
        self.changed.get(version)
    }

    /// Returns what counts most of what it decides: one version that is denied more than those on hold.
    pub fn strictest(&self) -> Decision {
        let mut decisions = self.changed.values().map(|decided| decided.decision);
        let denied = decisions
            .clone()
            .find(|decision| *decision == Decision::Deny);
        denied
            .or_else(|| decisions.next())
            .unwrap_or(Decision::Serve)
    }

    /// Says whether a version is on hold or denied.
    fn is_unusable(&self, version: &str) -> bool {
        let decided = self.of(version).map(|decided| decided.decision);
        matches!(decided, Some(Decision::Hold { .. } | Decision::Deny))
    }

    /// Returns why the crate file of a version is refused; `None` if it is served.
    pub fn refusal(&self, version: &str) -> Option<&Decided> {
        let decided = self.of(version)?;
        (decided.decision == Decision::Deny).then_some(decided)
    }

    /// Returns the crate's file as it is shown: lines say that they are yanked, or not yet.
    pub fn apply(&self, content: &[u8]) -> Vec<u8> {
        shown_yanked(content, |line| {
            let line = Published::read(line)?;
            let decided = self.of(&line.version)?;
            Some(!matches!(decided.decision, Decision::HoldYank { .. }))
        })
    }
}
