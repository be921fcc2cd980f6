//! How texts, times, numbers and addresses are shown.

use std::borrow::Borrow;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::{Url, form_urlencoded};

use crate::shown::one_line;

/// The longest text that is shown of a line that others wrote, in characters.
pub(super) const LONGEST: usize = 300;

/// Returns a text that others wrote in one line that can be read, cut where it is long.
pub(super) fn clean(text: &str) -> String {
    let mut letters = text.trim().chars();
    let cut: String = letters.by_ref().take(LONGEST).collect();
    let mut shown = one_line(&cut).into_owned();
    if letters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A point in time: for programs, exactly, and as people say it.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) iso: String,
    pub(super) exact: String,
    pub(super) ago: String,
}

impl Moment {
    pub(super) fn of(at: Timestamp) -> Self {
        // What is still to come, by a clock that is wrong, is now.
        let since = Timestamp::now().duration_since(at);
        let since = Duration::try_from(since).unwrap_or_default();
        Self {
            iso: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            exact: at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
            ago: ago(since),
        }
    }

    pub(super) fn of_seconds(at: i64) -> Option<Self> {
        Timestamp::from_second(at).ok().map(Self::of)
    }
}

/// Says how long ago something was, in its largest unit.
pub(super) fn ago(since: Duration) -> String {
    const UNITS: [(u64, &str); 6] = [
        (365 * 86_400, "year"),
        (30 * 86_400, "month"),
        (7 * 86_400, "week"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
    ];
    let seconds = since.as_secs();
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit);
    unit.map_or_else(
        || "just now".to_owned(),
        |(unit, noun)| format!("{} ago", crate::count::counted(seconds / unit, noun)),
    )
}

/// Writes a number with its thousands apart.
pub(super) fn number(number: impl Borrow<u64>) -> String {
    let digits = number.borrow().to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Writes a size in KiB, MiB and so on.
pub(super) fn size(bytes: impl Borrow<u64>) -> String {
    ByteSize(*bytes.borrow()).display().iec().to_string()
}

/// An address that a page may link to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) href: String,
    pub(super) shown: String,
}

impl Link {
    /// Reads an address that others wrote; `None` unless it leads to a web site, without a password.
    pub(super) fn of(address: &str) -> Option<Self> {
        let url = Url::parse(address.trim()).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https");
        if !is_web || url.password().is_some() || url.as_str().len() > LONGEST {
            return None;
        }
        let (_, shown) = url.as_str().split_once("://")?;
        Some(Self {
            shown: clean(shown.trim_end_matches('/')),
            href: url.into(),
        })
    }
}

/// What a path may not have as it is, beside what is no ASCII.
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\\');

/// Writes the path of a file as a part of an address.
pub(super) fn in_path(path: &str) -> String {
    utf8_percent_encode(path, IN_PATH).to_string()
}

/// A part of a text; `is_hit` if it is one of the words that were searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) is_hit: bool,
}

/// Cuts a text into words and what is between, and says which words match one of those that were searched for.
pub(super) fn marked(text: &str, searched: &[String]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphanumeric();
        let end = rest.find(|letter: char| letter.is_alphanumeric() != is_word);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        let hit = searched.iter().filter(|_| is_word);
        let hit = hit.filter_map(|word| hit_length(piece, word)).max();
        let (marked, plain) = piece.split_at(hit.unwrap_or(0));
        for (text, is_hit) in [(marked, true), (plain, false)] {
            match pieces.last_mut() {
                _ if text.is_empty() => {}
                Some(last) if last.is_hit == is_hit => last.text.push_str(text),
                _ => pieces.push(Piece {
                    text: text.to_owned(),
                    is_hit,
                }),
            }
        }
        rest = after;
    }
    pieces
}

/// Returns how many bytes of a word match one that was searched for: what it begins with, or all of it where both have the
/// same stem.
fn hit_length(word: &str, searched: &str) -> Option<usize> {
    let lower = word.to_lowercase();
    // Letters whose lower case is longer are rare, and not cut.
    if lower.len() != word.len() {
        return (lower == searched).then_some(word.len());
    }
    if lower.starts_with(searched) {
        return Some(searched.len());
    }
    let alike = lower.chars().zip(searched.chars());
    let alike = alike.take_while(|(one, other)| one == other).count();
    let least = searched.chars().count().saturating_sub(3).max(4);
    (alike >= least).then_some(word.len())
}

/// Returns the words of what was searched for.
pub(super) fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_lowercase).take(8).collect()
}

/// Reads the parameter `page`, from 1 on.
pub(super) fn page_number(query: Option<&str>) -> usize {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut pages = pairs.filter(|(name, _)| name == "page");
    let page = pages.next().and_then(|(_, value)| value.parse().ok());
    page.unwrap_or(1).max(1)
}

/// Rows as far as their texts are within a budget, and how many are left out: what others wrote bounds no page.
#[derive(Debug, Clone)]
pub(super) struct Within<T> {
    pub(super) rows: Vec<T>,
    pub(super) left: usize,
}

impl<T> Within<T> {
    /// Takes rows, each of which `cost` measures in bytes.
    pub(super) fn new(
        rows: impl IntoIterator<Item = T>,
        bytes: usize,
        cost: impl Fn(&T) -> usize,
    ) -> Self {
        let mut within = Self {
            rows: Vec::new(),
            left: 0,
        };
        let mut used = 0;
        for row in rows {
            used += cost(&row);
            match used <= bytes && within.left == 0 {
                true => within.rows.push(row),
                false => within.left += 1,
            }
        }
        within
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, searched: &str) -> String {
        let pieces = marked(text, &words(searched)).into_iter();
        let shown = pieces.map(|piece| match piece.is_hit {
            true => format!("[{}]", piece.text),
            false => piece.text,
        });
        shown.collect()
    }

    #[test]
    fn the_words_that_match_are_marked() {
        for (text, searched, wanted) in [
            ("serde_json", "serde-js", "[serde]_[js]on"),
            (
                "A JSON parser, parsed",
                "json parsing",
                "A [JSON] [parser], [parsed]",
            ),
            ("Über alles", "üb", "[Üb]er alles"),
            ("nothing", "else", "nothing"),
            ("İ", "i", "İ"),
        ] {
            assert_eq!(shown(text, searched), wanted);
        }
    }

    #[test]
    fn only_addresses_of_web_sites_are_links() {
        let link = Link::of(" https://example.com/a/ ").unwrap();
        assert_eq!(link.href, "https://example.com/a/");
        assert_eq!(link.shown, "example.com/a");
        for address in [
            "javascript:alert(1)",
            "data:text/html,x",
            "https://user:secret@example.com",
            "/local",
            "JaVaScRiPt://example.com/%0aalert(1)",
            "",
        ] {
            assert_eq!(Link::of(address), None, "{address}");
        }
    }

    #[test]
    fn times_and_numbers_are_as_people_say_them() {
        for (seconds, wanted) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (86_400 * 3, "3 days ago"),
            (86_400 * 400, "1 year ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), wanted);
        }
        let numbers = [0_u64, 999, 1_000, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(clean("  a\nb\u{202e}c "), "a / b\\u{202e}c");
        assert_eq!(clean(&"ä".repeat(LONGEST + 1)).chars().count(), LONGEST + 1);
        assert_eq!(page_number(Some("q=a&page=7")), 7);
        assert_eq!(page_number(Some("page=-1")), 1);
        assert_eq!(page_number(Some("page=0")), 1);
    }

    #[test]
    fn rows_beyond_the_budget_are_counted() {
        let within = Within::new(["a", "bbb", "c"], 3, |row| row.len());
        assert_eq!((within.rows, within.left), (vec!["a"], 2));
    }

    proptest! {
        #[test]
        fn marking_changes_no_text(text in "\\PC{0,40}", searched in "\\PC{0,10}") {
            let pieces = marked(&text, &words(&searched));
            prop_assert_eq!(pieces.into_iter().map(|piece| piece.text).collect::<String>(), text);
        }
    }
}
