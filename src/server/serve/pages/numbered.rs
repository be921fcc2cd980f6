//! Lines of foreign text with their numbers, on pages of bounded size.

use std::ops::Range;

/// How many bytes of lines a page has, with what the template adds to each.
const BYTES: usize = 44 << 10;
/// How many lines a page has.
const LINES: usize = 1_000;
/// What a line takes beside its text, in bytes.
const MARKUP: usize = 20;
/// How many bytes of a line are shown.
pub(super) const LONGEST: usize = 4_000;

/// A line, and its number from 1 on.
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
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
    pub(super) fn of(text: &str, page: usize, line: Option<usize>) -> Self {
        let all: Vec<&str> = text.lines().collect();
        let pages = pages(all.iter().map(|line| cost(line) + MARKUP), BYTES);
        let last = pages.len();
        let place = match line {
            Some(line) => pages.iter().position(|page| page.end >= line),
            None => Some(page - 1),
        };
        let place = place.unwrap_or(usize::MAX).min(last - 1);
        let range = pages.get(place).cloned().unwrap_or_default();
        let lines = range.map(|at| Line {
            number: at + 1,
            text: cut(all.get(at).copied().unwrap_or_default()),
        });
        Self {
            lines: lines.collect(),
            page: place + 1,
            last,
            total: all.len(),
        }
    }

    /// Returns the number of its first line.
    pub(super) fn first(&self) -> usize {
        self.lines.first().map_or(1, |line| line.number)
    }
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

    #[test]
    fn every_line_is_on_one_page() {
        let text: String = (0..5_000)
            .map(|number| {
                format!("line <{number}> and what else there is on it, so that bytes count\n")
            })
            .collect();
        let first = Part::of(&text, 1, None);
        assert_eq!((first.first(), first.page, first.total), (1, 1, 5_000));
        let mut next = 1;
        for page in 1..=first.last {
            let part = Part::of(&text, page, None);
            assert_eq!(part.first(), next, "{page}");
            let bytes: usize = part
                .lines
                .iter()
                .map(|line| cost(&line.text) + MARKUP)
                .sum();
            assert!(bytes <= BYTES && part.lines.len() <= LINES);
            next += part.lines.len();
        }
        assert_eq!(next, 5_001);
        let found = Part::of(&text, 1, Some(2_345));
        assert!(found.lines.iter().any(|line| line.number == 2_345));
        assert_eq!(Part::of(&text, 99, None).page, first.last);
        assert_eq!(Part::of(&text, 1, Some(9_999)).page, first.last);
    }

    #[test]
    fn a_long_line_is_cut_and_no_text_has_one_page() {
        let part = Part::of(&"é".repeat(10_000), 1, None);
        assert!(part.lines[0].text.ends_with("é … and 16000 bytes more"));
        assert_eq!(Part::of("", 1, None).last, 1);
    }
}
