//! Which version an advisory releases early: the one that mends what it tells of would otherwise be on hold, and everybody would
//! have to stay with what it mends.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use semver::Version;

use super::advisories::Class;
use super::outcome::compatible_line;
use super::{AboutCrate, Advisory, Dated, Decided, Decision, Span, Why, later};

/// A version that the index lists, or that was there.
pub(super) struct Candidate {
    /// When it came; one of which nobody knows when is old, and one that upstream took back has no time.
    pub(super) came: Option<Dated>,
    /// Whether upstream took it back. It releases nothing, and is in the way of those after it.
    pub(super) is_gone: bool,
    /// Whether a rule lets it pass.
    pub(super) is_allowed: bool,
    /// The advisories about it that count.
    pub(super) advisories: Vec<Arc<Advisory>>,
}

/// The versions of a crate, by their numbers.
pub(super) type Candidates = BTreeMap<Version, Candidate>;

impl AboutCrate<'_> {
    /// Says which version is released early, and by which advisory, if that is so for one that is on hold by its age.
    ///
    /// `patched` of an advisory is an open range, in which whoever took an account over may publish, too. So it is the *lowest*
    /// version alone that leaves what is affected, within its compatible line; only where no other version of that line that was not on
    /// hold is unaffected; and only where the advisory was young. What was so is asked of one moment, at which version and
    /// advisory were there: with all else equal nothing changes as time passes.
    pub(super) fn released_early(
        &self,
        version: &Version,
        all: &Candidates,
        now: Timestamp,
        span: &mut Span,
    ) -> Option<Decided> {
        let min_age = self.policy.min_age?;
        let of = all.get(version)?;
        let came = of.came?.at();
        // A fix that is itself known to be bad is none.
        let is_bad = |advisory: &Arc<Advisory>| advisory.class != Class::Informational;
        if of.advisories.iter().any(is_bad) {
            return None;
        }
        let line = || {
            let same = |other: &Version| compatible_line(other) == compatible_line(version);
            all.iter().filter(move |(other, _)| same(other))
        };
        let vulnerable = self.advisories.iter();
        let vulnerable = vulnerable.filter(|weighed| weighed.advisory.class == Class::Vulnerable);
        for weighed in vulnerable {
            let advisory = weighed.advisory;
            let begins = advisory.begins();
            let moment = came.max(begins);
            if moment >= later(begins, min_age) {
                continue;
            }
            let affected = |(other, _): &(&Version, &Candidate)| advisory.affects(other);
            // The lowest that leaves it: yanked ones and those that were taken back count, or who yanks or deletes could choose.
            let mut leaving = line().skip_while(|other| !affected(other));
            let leaves = leaving.find(|other| !affected(other));
            if leaves.is_none_or(|(lowest, _)| lowest != version) {
                continue;
            }
            let is_free = |other: &Candidate| {
                let is_held = |came: Dated| moment < later(came.at(), min_age);
                !other.is_gone && (other.is_allowed || !other.came.is_some_and(is_held))
            };
            let mut others = line().filter(|(other, _)| *other != version);
            if others.any(|other| !affected(&other) && is_free(other.1)) {
                continue;
            }
            span.cut(moment, now);
            if weighed.counts(now, span) && now >= moment {
                let why = Why::of_fix(advisory);
                return Some(Decided::new(Decision::Serve, Some(why), *span));
            }
        }
        None
    }
}
