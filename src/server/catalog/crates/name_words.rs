//! The words of the names of all crates, in memory: which names have a word that begins with what was typed.
//!
//! ```text
//! words      json      serde         yaml
//! crates     2         1 2 3         3          of 1 serde, 2 serde_json, 3 serde_yaml
//! ```

use std::collections::HashMap;
use std::ops::Range;

use super::names::CrateId;

/// The words, in order, and the crates that have each.
#[derive(Debug, Default)]
pub(super) struct NameWords {
    /// The words, one after the other.
    text: String,
    words: Vec<Word>,
    /// The crates of the first word, of the second, and so on.
    crates: Vec<CrateId>,
}

#[derive(Debug)]
struct Word {
    /// Where it begins in `text`, and where its crates do; both end where those of the next begin.
    text: u32,
    crates: u32,
}

impl NameWords {
    /// Takes names in lower case, each with its crate.
    pub(super) fn new<'n>(names: impl Iterator<Item = (&'n str, CrateId)>) -> Self {
        let mut with = HashMap::<&str, Vec<CrateId>>::new();
        for (name, id) in names {
            for word in words(name) {
                let crates = with.entry(word).or_default();
                if crates.last() != Some(&id) {
                    crates.push(id);
                }
            }
        }
        let mut sorted: Vec<_> = with.into_iter().collect();
        sorted.sort_unstable_by_key(|(word, _)| *word);
        let mut made = Self::default();
        for (word, crates) in sorted {
            made.begin_word();
            made.text.push_str(word);
            made.crates.extend(crates);
        }
        // The end of the last one.
        made.begin_word();
        made
    }

    fn begin_word(&mut self) {
        // A catalog has fewer than 60 million bytes of names.
        let place = |length| u32::try_from(length).unwrap_or(u32::MAX);
        self.words.push(Word {
            text: place(self.text.len()),
            crates: place(self.crates.len()),
        });
    }

    /// Returns the crates with a word in their names that is this one, or begins with it if `is_prefix`; one is returned for
    /// each such word.
    pub(super) fn with(&self, word: &str, is_prefix: bool) -> &[CrateId] {
        let all = 0..self.words.len().saturating_sub(1);
        let first = partition(all.clone(), |at| self.word(at) < word);
        let end = partition(first..all.end, |at| match is_prefix {
            true => self.word(at).starts_with(word),
            false => self.word(at) == word,
        });
        match (self.words.get(first), self.words.get(end)) {
            (Some(first), Some(end)) => &self.crates[first.crates as usize..end.crates as usize],
            _ => &[],
        }
    }

    fn word(&self, at: usize) -> &str {
        &self.text[self.words[at].text as usize..self.words[at + 1].text as usize]
    }
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
        assert_eq!(NameWords::default().with("a", true), [0; 0]);
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
            prop_assert_eq!(found, expected.map(|(_, id)| id).collect::<Vec<_>>());
        }
    }
}
