//! Lines of foreign text with their numbers, on pages of bounded size.

use std::ops::Range;

use super::text::number;
use crate::count::noun_of;
use crate::server::highlight::{Language, Marks, line_ranges};

/// How many bytes of lines a page has, with what the template adds to each.
const BYTES: usize = 44 << 10;
/// How many lines a page has.
const LINES: usize = 1_000;
/// What a line takes beside its text, in bytes.
const MARKUP: usize = 20;
/// What a mark takes beside its text and its class, in bytes.
const MARK: usize = 22;
/// How many bytes of a line are shown.
pub(super) const LONGEST: usize = 4_000;
/// How many bytes the marks of a line may take; one with more is shown without.
const MARKED: usize = 4_000;

/// A part of a line, and the class of the page's style that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) class: Option<&'static str>,
}

/// A line, and its number from 1 on.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) pieces: Vec<Piece>,
}

/// A part of a text.
pub(super) struct Part {
    pub(super) lines: Vec<Line>,
    /// The number of its page, from 1 on, and of the last one.
    pub(super) page: usize,
    pub(super) last: usize,
    /// How many lines the whole text has.
    pub(super) total: usize,
}

impl Part {
    /// Returns the page of this number, or the one that has this line. One that there is not is the last.
    pub(super) fn of(
        text: &str,
        language: Option<Language>,
        page: usize,
        line: Option<usize>,
    ) -> Self {
        let marks = Marks::of(text, language);
        let all = line_ranges(text);
        let costs = all.iter().map(|line| {
            let marks = marks_cost(&marks, line.clone());
            MARKUP + cost(&text[line.clone()]) + marks.unwrap_or_default()
        });
        let pages = pages(costs, BYTES);
        let last = pages.len();
        let place = match line {
            Some(line) => pages.iter().position(|page| page.end >= line),
            None => Some(page - 1),
        };
        let place = place.unwrap_or(usize::MAX).min(last - 1);
        let range = pages.get(place).cloned().unwrap_or_default();
        let lines = range.map(|at| Line {
            number: at + 1,
            pieces: pieces(text, &marks, all.get(at).cloned().unwrap_or_default()),
        });
        Self {
            lines: lines.collect(),
            page: place + 1,
            last,
            total: all.len(),
        }
    }

    /// Says how many lines the whole text has.
    pub(super) fn counted(&self) -> String {
        let noun = noun_of(self.total as u64, "line");
        format!("{} {noun}", number(self.total as u64))
    }

    /// Returns the number of its first line.
    pub(super) fn first(&self) -> usize {
        self.lines.first().map_or(1, |line| line.number)
    }
}

/// Returns how many bytes the marks of a line take on a page; `None` where there are too many, or the line is too long.
pub(super) fn marks_cost(marks: &Marks, line: Range<usize>) -> Option<usize> {
    if line.len() > LONGEST {
        return None;
    }
    let mut bytes = 0;
    for mark in marks.within(line) {
        bytes += MARK + mark.kind.class().len();
        if bytes > MARKED {
            return None;
        }
    }
    Some(bytes)
}

/// Cuts a line of a text into what is marked and what is between.
pub(super) fn pieces(text: &str, marks: &Marks, line: Range<usize>) -> Vec<Piece> {
    if marks_cost(marks, line.clone()).is_none() {
        let text = cut(&text[line]);
        return vec![Piece { text, class: None }];
    }
    let pieces = marks.pieces(text, line).into_iter();
    let pieces = pieces.map(|(text, class)| Piece {
        text: text.to_owned(),
        class,
    });
    pieces.collect()
}

/// Divides lines of these costs into pages; there is one at least.
pub(super) fn pages(costs: impl IntoIterator<Item = usize>, bytes: usize) -> Vec<Range<usize>> {
    let (mut pages, mut start, mut used, mut end) = (Vec::new(), 0, 0, 0);
    for (at, cost) in costs.into_iter().enumerate() {
        if at > start && (used + cost > bytes || at - start >= LINES) {
            pages.push(start..at);
            (start, used) = (at, 0);
        }
        used += cost;
        end = at + 1;
    }
    pages.push(start..end);
    pages
}

/// Returns how many bytes a line takes on a page, escaped and cut.
pub(super) fn cost(line: &str) -> usize {
    let shown = &line.as_bytes()[..line.len().min(LONGEST)];
    let escaped = shown.iter().filter(|byte| b"&<>\"'".contains(byte)).count();
    shown.len() + 4 * escaped
}

/// Cuts a line that is too long.
pub(super) fn cut(line: &str) -> String {
    if line.len() <= LONGEST {
        return line.to_owned();
    }
    let start = &line[..line.floor_char_boundary(LONGEST)];
    let left = line.len() - start.len();
    format!("{start} … and {left} bytes more")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a line as a page has it.
    fn html(line: &Line) -> String {
        let pieces = line.pieces.iter().map(|piece| match piece.class {
            Some(class) => format!("<span class=\"{class}\">{}</span>", piece.text),
            None => piece.text.clone(),
        });
        pieces.collect()
    }

    #[test]
    fn every_line_is_on_one_page() {
        let text: String = (0..5_000)
            .map(|number| {
                format!("line <{number}> and what else there is on it, so that bytes count\n")
            })
            .collect();
        let first = Part::of(&text, None, 1, None);
        assert_eq!((first.first(), first.page, first.total), (1, 1, 5_000));
        let mut next = 1;
        for page in 1..=first.last {
            let part = Part::of(&text, None, page, None);
            assert_eq!(part.first(), next, "{page}");
            let bytes: usize = part
                .lines
                .iter()
                .map(|line| cost(&html(line)) + MARKUP)
                .sum();
            assert!(bytes <= BYTES && part.lines.len() <= LINES);
            next += part.lines.len();
        }
        assert_eq!(next, 5_001);
        let found = Part::of(&text, None, 1, Some(2_345));
        assert!(found.lines.iter().any(|line| line.number == 2_345));
        assert_eq!(Part::of(&text, None, 99, None).page, first.last);
        assert_eq!(Part::of(&text, None, 1, Some(9_999)).page, first.last);
    }

    #[test]
    fn a_long_line_is_cut_and_no_text_has_one_page() {
        let part = Part::of(&"é".repeat(10_000), None, 1, None);
        assert!(
            part.lines[0].pieces[0]
                .text
                .ends_with("é … and 16000 bytes more")
        );
        assert_eq!(Part::of("", None, 1, None).last, 1);
    }

    #[test]
    fn code_has_marks_within_the_bounds_of_a_page() {
        let text = "/// Of <two>\n/* lines\n*/ fn a() {}\n".repeat(2_000);
        let whole = Part::of(&text, Some(Language::Rust), 1, None);
        let shown: Vec<_> = whole.lines.iter().take(3).map(html).collect();
        let expected = [
            "<span class=\"doc\">/// Of <two></span>",
            "<span class=\"com\">/* lines</span>",
            "<span class=\"com\">*/</span> <span class=\"kw\">fn</span> a() {}",
        ];
        assert_eq!(shown, expected);
        // Every second letter, and a line that is too long for them.
        for code in ["1'a ".repeat(900), "1 ".repeat(2_001)] {
            let text = format!("fn\n{code}\n").repeat(60);
            let mut next = 1;
            loop {
                let part = Part::of(&text, Some(Language::Rust), 1, Some(next));
                let bytes: usize = part
                    .lines
                    .iter()
                    .map(|line| html(line).len() + MARKUP)
                    .sum();
                assert!(bytes <= BYTES, "{bytes}");
                next = part.first() + part.lines.len();
                if next > part.total {
                    break;
                }
                assert!(part.lines.iter().all(|line| line.pieces.len() == 1));
            }
        }
    }
}
