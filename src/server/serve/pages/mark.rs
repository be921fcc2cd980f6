//! What the policy says of a version, as pages show it.

use super::text::{Link, clean};
use crate::policy::{Advisory, Class, Decided, Decision};
use crate::server::decisions::{DecidedFile, Gone};

/// A class of the style, and the word.
pub(super) type State = (&'static str, &'static str);

/// What the policy says of the version that a page is about.
#[derive(Clone)]
pub(super) struct Mark {
    /// The version.
    pub(super) number: String,
    pub(super) state: State,
    /// Why, and until when.
    pub(super) why: String,
    /// What that means for whoever wants the version.
    pub(super) meaning: &'static str,
}

/// Returns how a version is marked in a list; `None` if it is served as it is.
pub(super) fn state(decided: Option<&DecidedFile>, version: &str) -> Option<State> {
    decided?.outcome.of(version).and_then(state_of)
}

/// Returns how a version is marked in a list that an advisory is about; `None` if none is that counts.
pub(super) fn advised(decided: Option<&DecidedFile>, version: &str) -> Option<State> {
    let gravest = decided?.outcome.advised(version).first()?;
    Some(match gravest.class {
        Class::Malicious => ("bad", "malicious"),
        Class::Vulnerable => ("warn", "vulnerable"),
        Class::Informational => ("warn", "advisory"),
    })
}

/// An advisory about the version that a page is about.
pub(super) struct Told {
    pub(super) state: State,
    pub(super) id: String,
    /// Where more is told.
    pub(super) link: Option<Link>,
    pub(super) title: String,
    /// Its day, its severity, its ids elsewhere.
    pub(super) more: String,
}

impl Told {
    /// Makes all of a version, the gravest first.
    pub(super) fn all(decided: Option<&DecidedFile>, version: &str) -> Vec<Self> {
        let advisories = decided.map_or(&[][..], |decided| decided.outcome.advised(version));
        advisories.iter().map(|it| Self::new(it)).collect()
    }

    fn new(advisory: &Advisory) -> Self {
        let state = match (advisory.class, advisory.kind.as_deref()) {
            (Class::Malicious, _) => ("bad", "malicious"),
            (Class::Vulnerable, _) => ("warn", "vulnerable"),
            (Class::Informational, Some("unmaintained")) => ("warn", "unmaintained"),
            (Class::Informational, Some("unsound")) => ("warn", "unsound"),
            (Class::Informational, _) => ("warn", "advisory"),
        };
        let date = advisory.date.to_string();
        let mut more = vec![date];
        more.extend(advisory.severity.clone());
        more.extend(advisory.aliases.iter().cloned());
        Self {
            state,
            id: clean(&advisory.id),
            link: advisory.url.as_deref().and_then(Link::of),
            title: clean(&advisory.title),
            more: clean(&more.join(", ")),
        }
    }
}

/// Says why a version is served that is young, if an advisory releases it.
pub(super) fn released(decided: Option<&DecidedFile>, version: &str) -> Option<String> {
    let why = decided?.outcome.released(version)?.why.as_ref()?;
    Some(clean(&why.to_string()))
}

fn state_of(decided: &Decided) -> Option<State> {
    match decided.decision {
        Decision::Serve => None,
        Decision::Hold { .. } | Decision::HoldYank { .. } => {
            Some(("warn", decided.decision.word()))
        }
        Decision::Deny => Some(("bad", decided.decision.word())),
    }
}

/// Says why, and since when or until when; the word is shown before it.
fn why(decided: &Decided) -> String {
    let text = decided.to_string();
    let why = text.strip_prefix(decided.decision.word()).unwrap_or(&text);
    clean(why.trim_start_matches(':'))
}

fn meaning(decision: Decision) -> &'static str {
    match decision {
        Decision::Serve => "",
        Decision::Hold { .. } => "cargo takes this version only where a lockfile names it already.",
        Decision::HoldYank { .. } => "Until then cargo treats this version as not yanked.",
        Decision::Deny => "This server refuses its crate file.",
    }
}

impl Mark {
    /// Makes it of a version that upstream took back and of which the index has no line.
    pub(super) fn gone(gone: &Gone) -> Self {
        let decided = &gone.decided;
        Self {
            number: clean(&gone.version),
            state: ("bad", "withdrawn"),
            why: why(decided),
            meaning: meaning(decided.decision),
        }
    }

    /// Makes it of what was decided; `None` if the version is served as it is.
    pub(super) fn of(decided: Option<&DecidedFile>, version: &str) -> Option<Self> {
        let decided = decided?.outcome.of(version)?;
        Some(Self {
            number: clean(version),
            state: state_of(decided)?,
            why: why(decided),
            meaning: meaning(decided.decision),
        })
    }
}
