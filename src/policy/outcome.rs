//! What a policy decides of all versions of a crate, and what the crate's file then looks like.

use std::collections::BTreeMap;

use jiff::Timestamp;
use semver::Version;

use super::{
    AboutCrate, Dated, Decided, Decision, Policy, Seen, SeenOfCrate, Sight, Span, Why, YANK_HOLD,
    later,
};
use crate::index::{Published, shown_yanked};

/// What a policy decides of the versions in a crate's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The versions that are not served as they are.
    changed: BTreeMap<String, Decided>,
    /// When all of it is the same, with all else equal.
    span: Span,
}

impl Policy {
    /// Decides on all versions in a crate's file.
    pub fn outcome(&self, content: &[u8], seen: &Seen, now: Timestamp) -> Outcome {
        let mut outcome = Outcome {
            changed: BTreeMap::new(),
            span: Span::ALWAYS,
        };
        let mut about: Option<(String, &SeenOfCrate, AboutCrate<'_>)> = None;
        let seen_of_all = seen;
        for text in content.split(|byte| *byte == b'\n') {
            let Some(line) = Published::read(text) else {
                continue;
            };
            // All lines of a file name the same crate; one that does not is decided by what it names.
            let (_, of_crate, about) = match &mut about {
                Some(about) if about.0 == *line.name => about,
                other => {
                    let name = line.name.to_string();
                    other.insert((name, seen.of(&line.name), self.about(&line.name)))
                }
            };
            let seen = || of_crate.at(Sight::Line, &line.version).map(Dated::Seen);
            let came = line.at.map(Dated::Published).or_else(seen);
            let decided = about.decide(&line.version, came, now);
            let decided = match of_crate.withdrawn(&line.version) {
                // The checksum is read of these few alone.
                Some(_) if decided.decision != Decision::Deny => {
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
            && about.reserved.is_none()
        {
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
            let others = lines.iter().filter(|(_, is_yanked)| !**is_yanked);
            let mut others = others
                .filter(|(other, _)| takes_place_of(other, version))
                .peekable();
            // Where nothing is left at all, nobody is driven anywhere.
            if others.peek().is_some() && others.all(|(other, _)| outcome.is_unusable(other)) {
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
fn compatible_line(version: &Version) -> [u64; 3] {
    match (version.major, version.minor, version.patch) {
        (0, 0, patch) => [0, 0, patch],
        (0, minor, _) => [0, minor, 0],
        (major, ..) => [major, 0, 0],
    }
}

impl Outcome {
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
