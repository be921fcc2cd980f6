//! The words of the names of all crates, in memory: which names have a word that begins with what was typed.
//!
//! ```text
//! words      json      serde         yaml
//! names      1         0 1 2         2          of 0 serde, 1 serde_json, 2 serde_yaml
//! ```

use std::cmp::Ordering;
use std::ops::Range;

use super::place::{ABSENT, Place};

/// The words, in order, and the places of the names that have each.
#[derive(Debug)]
pub(super) struct NameWords {
    /// The words, one after the other.
    text: String,
    words: Vec<Word>,
    /// The names of the first word, of the second, and so on.
    names: Vec<Place>,
}

#[derive(Debug)]
struct Word {
    /// Where it begins in `text`, and where its names do; both end where those of the next begin.
    text: u32,
    names: u32,
}

impl NameWords {
    /// Takes names in lower case, each with its place.
    pub(super) fn new<'n>(named: impl Iterator<Item = (&'n str, Place)>) -> Self {
        let pairs = named.flat_map(|(name, place)| words(name).map(move |word| (word, place)));
        // Sorted, and not in a map: that would be a hundred thousand small pieces of memory, which stay as holes.
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        pairs.dedup();
        let mut made = Self::with_capacity(0, pairs.len());
        for of_word in pairs.chunk_by(|(one, _), (other, _)| one == other) {
            made.push(of_word[0].0, of_word.iter().map(|(_, place)| *place));
        }
        made.end();
        made
    }

    /// Returns the words after names moved to the places of `moved`, and those of `added` came.
    pub(super) fn after(&self, moved: &[Place], added: &Self) -> Self {
        let mut made = Self::with_capacity(
            self.text.len() + added.text.len(),
            self.names.len() + added.names.len(),
        );
        let (mut old, mut new) = (0, 0);
        loop {
            let order = match (old < self.len(), new < added.len()) {
                (true, true) => self.word(old).cmp(added.word(new)),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => break,
            };
            let (has_old, has_new) = (order.is_le(), order.is_ge());
            let kept = if has_old { self.names_of(old) } else { &[] };
            let come = if has_new { added.names_of(new) } else { &[] };
            let kept = kept.iter().map(|place| moved[*place as usize]);
            let kept = kept.filter(|place| *place != ABSENT);
            let word = if has_old {
                self.word(old)
            } else {
                added.word(new)
            };
            made.push(word, kept.chain(come.iter().copied()));
            old += usize::from(has_old);
            new += usize::from(has_new);
        }
        made.end();
        made
    }

    fn with_capacity(text: usize, names: usize) -> Self {
        Self {
            text: String::with_capacity(text),
            words: Vec::new(),
            names: Vec::with_capacity(names),
        }
    }

    /// Adds a word, if there are names that have it.
    fn push(&mut self, word: &str, names: impl Iterator<Item = Place>) {
        let before = self.names.len();
        self.names.extend(names);
        if self.names.len() > before {
            self.words.push(Word {
                text: offset(self.text.len()),
                names: offset(before),
            });
            self.text.push_str(word);
        }
    }

    /// Adds where the last word ends.
    fn end(&mut self) {
        self.words.push(Word {
            text: offset(self.text.len()),
            names: offset(self.names.len()),
        });
    }

    fn len(&self) -> usize {
        self.words.len() - 1
    }

    /// Returns the places of the names with a word that is this one, or begins with it if `is_prefix`; one is returned for each
    /// such word.
    pub(super) fn with(&self, word: &str, is_prefix: bool) -> &[Place] {
        let all = 0..self.len();
        let first = partition(all.clone(), |at| self.word(at) < word);
        let end = partition(first..all.end, |at| match is_prefix {
            true => self.word(at).starts_with(word),
            false => self.word(at) == word,
        });
        &self.names[self.words[first].names as usize..self.words[end].names as usize]
    }

    fn word(&self, at: usize) -> &str {
        &self.text[self.words[at].text as usize..self.words[at + 1].text as usize]
    }

    fn names_of(&self, at: usize) -> &[Place] {
        &self.names[self.words[at].names as usize..self.words[at + 1].names as usize]
    }
}

/// A catalog has fewer than 60 million bytes of names.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Returns the first place of a range for which something does not hold that holds up to it.
fn partition(range: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        match holds(middle) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

/// Returns the words of a text: letters and digits.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_is_found_by_its_beginning() {
        let names = ["serde", "serde_json", "my-serde", "json5", "serde-serde"];
        let words = NameWords::new(names.into_iter().zip(1..));
        assert_eq!(words.with("serde", false), [1, 2, 3, 5]);
        assert_eq!(words.with("json", false), [2]);
        assert_eq!(words.with("json", true), [2, 4]);
        assert_eq!(words.with("se", true), [1, 2, 3, 5]);
        assert_eq!(words.with("z", true), [0; 0]);
        assert_eq!(words.with("a", true), [0; 0]);
        let none = NameWords::new([].into_iter());
        assert_eq!(none.with("a", true), [0; 0]);
    }

    proptest! {
        #[test]
        fn what_a_look_at_all_names_finds_is_found(
            names in prop::collection::vec("[ab_-]{0,6}", 0..20), wanted in "[ab]{1,3}", is_prefix: bool
        ) {
            let numbered = || names.iter().map(String::as_str).zip(1..);
            let all = NameWords::new(numbered());
            let mut found = all.with(&wanted, is_prefix).to_vec();
            found.sort_unstable();
            found.dedup();
            let is_it = |word: &str| if is_prefix { word.starts_with(&wanted) } else { word == wanted };
            let expected = numbered().filter(|(name, _)| words(name).any(is_it));
            prop_assert_eq!(found, expected.map(|(_, place)| place).collect::<Vec<_>>());
        }
    }
}
