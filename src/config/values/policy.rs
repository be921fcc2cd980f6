//! Rules about crates: which versions, until when, and why.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::index::{CratePattern, NamePattern};

/// What comes before the end of a rule in its text, and before its reason.
const UNTIL: &str = " until=";
const WHY: &str = " why=";
/// The most characters of a reason.
const LONGEST_REASON: usize = 500;

/// A rule about some crates, or some of their versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which crates and versions.
    pub crates: CratePattern,
    /// When it ends, if it does.
    pub until: Option<Timestamp>,
    /// Why it was made, for those who meet it.
    pub why: Option<String>,
}

impl Rule {
    /// Says whether it has not ended yet.
    pub fn stands_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Reads a rule: `time@<0.2.23`, perhaps with ` until=2027-01-31`, and ` why=` before the rest of the text.
pub(in super::super) fn rule(text: &str) -> Result<Rule, String> {
    let (rest, why) = cut(text, WHY);
    let (crates, until) = cut(rest, UNTIL);
    if why.is_some_and(|why| why.contains(UNTIL)) {
        return Err("`until=` comes before `why=`, which is followed by words".to_owned());
    }
    // What looks like a word with a value is meant as one of the two.
    let mut parts = crates.split_whitespace().skip(1);
    let is_value = |word: &&str| word.split_once('=').is_some_and(|(name, _)| is_name(name));
    if let Some((name, _)) = parts.find(is_value).and_then(|word| word.split_once('=')) {
        return Err(format!(
            "`{name}=` is nothing that a rule has: it may have `until=`, and after it `why=`"
        ));
    }
    let crates = crates.trim().parse().map_err(|why| {
        format!("expected a crate such as serde, acme-*, serde@1.0.219 or time@<0.2.23: {why}")
    })?;
    Ok(Rule {
        crates,
        until: until.map(|until| moment(until.trim())).transpose()?,
        why: why.map(reason).transpose()?,
    })
}

/// Reads why a rule is made: words in one line.
///
/// # Errors
/// Which length is too long.
pub fn reason(text: &str) -> Result<String, String> {
    let words = words(text);
    match words.chars().count() {
        length if length > LONGEST_REASON => Err(format!(
            "a reason has at most {LONGEST_REASON} characters, and this one {length}: cargo shows it to whoever meets the rule"
        )),
        _ => Ok(words),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_lowercase())
}

/// What becomes of versions that upstream took back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// They are refused.
    Refuse,
    /// Nothing: what the index lists is served.
    Serve,
}

/// Reads what becomes of versions that upstream took back.
pub(in super::super) fn withdrawn(text: &str) -> Result<Withdrawn, String> {
    match text {
        "refuse" => Ok(Withdrawn::Refuse),
        "serve" => Ok(Withdrawn::Serve),
        _ => Err(format!(
            "expected refuse or serve, found `{}`",
            text.escape_debug()
        )),
    }
}

/// What becomes of versions that an advisory is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAdvisory {
    /// Nothing: it is not looked at.
    Off,
    /// They are served, and marked.
    Warn,
    /// They are on hold, for as long as the advisory is about them.
    Hold,
    /// They are refused.
    Deny,
}

impl OnAdvisory {
    /// All of them, the mildest first.
    const ALL: [Self; 4] = [Self::Off, Self::Warn, Self::Hold, Self::Deny];

    /// Returns the word that the configuration uses.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }
}

/// Reads what becomes of versions that an advisory is about.
pub(in super::super) fn on_advisory(text: &str) -> Result<OnAdvisory, String> {
    let mut known = OnAdvisory::ALL.into_iter();
    known.find(|known| known.word() == text).ok_or_else(|| {
        format!(
            "expected off, warn, hold or deny, found `{}`",
            text.escape_debug()
        )
    })
}

/// How many characters a reserved name has at least before its first `*`: a sync reads each directory in which one may be.
const LEAST: usize = 2;

/// Reads a name that upstream may never fill, or with `*` several.
pub(in super::super) fn reserved(text: &str) -> Result<NamePattern, String> {
    const EXPECTED: &str = "expected a crate name, or a pattern such as acme-*";
    let pattern: NamePattern = text
        .trim()
        .parse()
        .map_err(|why| format!("{EXPECTED}: {why}"))?;
    match pattern.beginning().len() < LEAST && text.contains('*') {
        true => Err(format!(
            "{EXPECTED}: `{text}` has less than {LEAST} characters before its `*`"
        )),
        false => Ok(pattern),
    }
}

/// Returns the crates of a rule's text.
pub(in super::super) fn crates_of(text: &str) -> &str {
    cut(cut(text, WHY).0, UNTIL).0.trim()
}

/// Makes the text of a rule, as [`rule`] reads it.
pub(in super::super) fn in_one_line(
    crates: &str,
    until: Option<String>,
    why: Option<String>,
) -> String {
    let until = until.map(|until| format!("{UNTIL}{until}"));
    let why = why.map(|why| format!("{WHY}{}", words(&why)));
    format!(
        "{crates}{}{}",
        until.unwrap_or_default(),
        why.unwrap_or_default()
    )
}

fn cut<'t>(text: &'t str, at: &str) -> (&'t str, Option<&'t str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Joins the lines of a text.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reads when something ends: the beginning of a day in UTC, or a time.
///
/// # Errors
/// What was expected.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let day = text
        .parse::<Date>()
        .ok()
        .filter(|_| !text.contains(['T', 't', ' ']));
    let begin = day.and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    match begin {
        Some(begin) => Ok(begin.timestamp()),
        None => text.parse().map_err(|_| {
            format!(
                "expected a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z, found `{}`",
                text.escape_debug()
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_rule_may_have_an_end_and_a_reason() {
        let read = |text: &str| {
            let rule = rule(text).unwrap();
            let until = rule.until.map(|until| until.to_string());
            (rule.crates.to_string(), until, rule.why)
        };
        let of = |crates: &str, until: Option<&str>, why: Option<&str>| {
            let owned = |text: &str| text.to_owned();
            (owned(crates), until.map(owned), why.map(owned))
        };
        for (text, wanted) in [
            ("serde", of("serde", None, None)),
            ("time@>=0.1, <0.2.23", of("time@>=0.1, <0.2.23", None, None)),
            (
                "serde until=2027-01-31",
                of("serde", Some("2027-01-31T00:00:00Z"), None),
            ),
            (
                "acme-* until=2027-01-31T12:00:00+01:00 why=asked for  by ops",
                of(
                    "acme-*",
                    Some("2027-01-31T11:00:00Z"),
                    Some("asked for by ops"),
                ),
            ),
        ] {
            assert_eq!(read(text), wanted, "{text}");
            assert_eq!(crates_of(text), wanted.0, "{text}");
        }
        let made = in_one_line("a", Some("2027-01-31".to_owned()), Some("b\n c".to_owned()));
        assert_eq!(made, "a until=2027-01-31 why=b c");
    }

    #[test]
    fn a_reason_is_one_line_and_no_book() {
        let longest = "é".repeat(LONGEST_REASON);
        assert_eq!(reason(" it\n steals "), Ok("it steals".to_owned()));
        assert_eq!(reason(&longest), Ok(longest.clone()));
        assert!(reason(&format!("{longest}x")).is_err());
        assert!(rule(&format!("foo why={longest}x")).is_err());
    }

    #[test]
    fn what_becomes_of_an_advisory_is_one_of_four_words() {
        for word in ["off", "warn", "hold", "deny"] {
            assert_eq!(on_advisory(word).unwrap().word(), word);
        }
        for text in ["", "Deny", "block"] {
            let refused = on_advisory(text).unwrap_err();
            assert!(
                refused.starts_with("expected off, warn, hold or deny"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_reserved_name_has_a_beginning() {
        assert_eq!(reserved(" acme-* ").unwrap().to_string(), "acme-*");
        assert!(reserved("a").is_ok() && reserved("ab*").is_ok());
        for text in ["", "*", "a*", "*-acme", "acme@1.0.0"] {
            let refused = reserved(text).unwrap_err();
            assert!(
                refused.contains("a pattern such as acme-*"),
                "{text}: {refused}"
            );
        }
    }

    #[test]
    fn a_rule_that_cannot_be_used_says_what_was_expected() {
        for (text, expected) in [
            ("", "expected a crate such as serde"),
            ("serde@1", "begins with an operator"),
            ("serde whyy=gone", "`whyy=` is nothing that a rule has"),
            ("serde until=soon", "expected a date such as 2027-01-31"),
            ("serde until=", "expected a date such as 2027-01-31"),
            (
                "serde why=gone until=2027-01-31",
                "`until=` comes before `why=`",
            ),
        ] {
            let refused = rule(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }
}
