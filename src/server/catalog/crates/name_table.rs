//! Which names there are, in their order: what stays as it is while only the numbers of crates change, and is shared then.

use std::cmp::Ordering;
use std::ops::Range;

use super::letter_sets::LetterSets;
use super::name_words::NameWords;
use super::place::{ABSENT, Place, place};

/// A crate's number in the catalog.
pub type CrateId = u32;

/// The names of all crates, which are alike whether they are written with `-` or `_`, or in capitals.
#[derive(Debug)]
pub(super) struct NameTable {
    /// The names in lower case, in no order; those that are gone stay until all are read again.
    text: String,
    /// In the order of their names.
    spans: Vec<Span>,
    letters: LetterSets,
    /// The places of the ids.
    by_id: Vec<Place>,
    words: NameWords,
}

/// A crate, and where its name is in the text.
#[derive(Debug, Clone, Copy)]
struct Span {
    id: CrateId,
    start: u32,
    length: u8,
}

/// Compares names as search does: `_` is `-`. Both are in lower case.
fn compare(one: &str, other: &str) -> Ordering {
    alike(one).cmp(alike(other))
}

/// Compares names as [`compare`] does, and tells apart those that are alike.
fn order(one: &str, other: &str) -> Ordering {
    compare(one, other).then_with(|| one.cmp(other))
}

/// Returns the bytes of a name, with `-` for `_`.
pub(super) fn alike(name: &str) -> impl Iterator<Item = u8> {
    name.bytes()
        .map(|byte| if byte == b'_' { b'-' } else { byte })
}

/// Names that come, in lower case, each with the id of its crate: all in one text, and not each in memory of its own.
#[derive(Debug, Default)]
pub(super) struct Unordered {
    text: String,
    spans: Vec<Span>,
}

impl Unordered {
    pub(super) fn push(&mut self, name: &str, id: CrateId) {
        // A name of an index has 64 bytes at most, and there are fewer than 60 million.
        let (Ok(start), Ok(length)) = (u32::try_from(self.text.len()), u8::try_from(name.len()))
        else {
            return;
        };
        self.text
            .extend(name.chars().map(|c| c.to_ascii_lowercase()));
        self.spans.push(Span { id, start, length });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Says whether these are the names of the table, all of them, with the same ids.
    pub(super) fn are_in(&self, table: &NameTable) -> bool {
        let is_there = |span: &Span| {
            let place = table.place_of_id(span.id);
            place.is_some_and(|place| table.name(place) == span.name(&self.text))
        };
        self.spans.len() == table.len() && self.spans.iter().all(is_there)
    }

    fn sort(&mut self) {
        let name = |span: &Span| span.name(&self.text);
        self.spans
            .sort_unstable_by(|one, other| order(name(one), name(other)));
    }
}

impl Span {
    fn name<'t>(&self, text: &'t str) -> &'t str {
        let start = self.start as usize;
        &text[start..start + usize::from(self.length)]
    }
}

impl NameTable {
    /// Takes the names of all crates.
    pub(super) fn new(mut names: Unordered) -> Self {
        names.sort();
        names.text.shrink_to_fit();
        let mut made = Self {
            letters: LetterSets::default(),
            text: names.text,
            spans: names.spans,
            by_id: Vec::new(),
            words: NameWords::new([].into_iter()),
        };
        made.spans.shrink_to_fit();
        made.find_letters();
        made.find_ids();
        made.words = NameWords::new((0..).map_while(|place| Some((made.get(place)?, place))));
        made
    }

    /// Returns the table without the names at the places of `gone`, and with those that come.
    pub(super) fn after(&self, gone: &[Place], mut come: Unordered) -> Self {
        come.sort();
        let mut is_gone = vec![false; self.len()];
        for place in gone {
            is_gone[*place as usize] = true;
        }
        let mut made = Self {
            text: [self.text.as_str(), come.text.as_str()].concat(),
            spans: Vec::with_capacity(self.len() + come.spans.len()),
            letters: LetterSets::default(),
            by_id: Vec::new(),
            words: NameWords::new([].into_iter()),
        };
        let mut moved = vec![ABSENT; self.len()];
        let (mut from, mut places) = (0, Vec::new());
        for new in &come.spans {
            let name = new.name(&come.text);
            let before = |span: &Span| order(span.name(&self.text), name).is_lt();
            let at = self.spans.partition_point(before);
            made.copy(self, from..at, &is_gone, &mut moved);
            from = at;
            places.push(place(made.len()));
            made.spans.push(Span {
                start: new.start + place(self.text.len()),
                ..*new
            });
        }
        made.copy(self, from..self.len(), &is_gone, &mut moved);
        made.find_letters();
        made.find_ids();
        let come = places.iter().map(|place| (made.name(*place), *place));
        made.words = self.words.after(&moved, &NameWords::new(come));
        made
    }

    /// Adds the names of a part of another table that are not gone, and says where they are now.
    fn copy(&mut self, from: &Self, part: Range<usize>, is_gone: &[bool], moved: &mut [Place]) {
        for at in part.filter(|at| !is_gone[*at]) {
            moved[at] = place(self.len());
            self.spans.push(from.spans[at]);
        }
    }

    fn find_letters(&mut self) {
        let names = self.spans.iter().map(|span| span.name(&self.text));
        self.letters = LetterSets::new(names);
    }

    fn find_ids(&mut self) {
        let most = self.ids().max().map_or(0, |last| last as usize + 1);
        self.by_id = vec![ABSENT; most];
        for (at, span) in self.spans.iter().enumerate() {
            self.by_id[span.id as usize] = place(at);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns the ids of the crates, in the order of their names.
    pub(super) fn ids(&self) -> impl Iterator<Item = CrateId> + '_ {
        self.spans.iter().map(|span| span.id)
    }

    /// Returns the place of the crate with this id.
    pub(super) fn place_of_id(&self, id: CrateId) -> Option<Place> {
        let place = self.by_id.get(id as usize).copied();
        place.filter(|place| *place != ABSENT)
    }

    /// Returns the name at a place, in lower case.
    pub(super) fn name(&self, place: Place) -> &str {
        self.spans[place as usize].name(&self.text)
    }

    fn get(&self, place: Place) -> Option<&str> {
        Some(self.spans.get(place as usize)?.name(&self.text))
    }

    /// Returns the words of the names.
    pub(super) fn words(&self) -> &NameWords {
        &self.words
    }

    /// Returns the places of the crates with this name, in lower case: in a private registry `a-b` and `a_b` may be two.
    pub(super) fn exact(&self, name: &str) -> Range<Place> {
        self.range(|at| compare(at, name))
    }

    /// Returns the places of the crates whose names begin with this, in lower case.
    pub(super) fn prefixed(&self, start: &str) -> Range<Place> {
        self.range(|name| alike(name).take(start.len()).cmp(alike(start)))
    }

    fn range(&self, order: impl Fn(&str) -> Ordering) -> Range<Place> {
        let order = |span: &Span| order(span.name(&self.text));
        let first = self.spans.partition_point(|span| order(span).is_lt());
        let rest = &self.spans[first..];
        let end = first + rest.partition_point(|span| order(span).is_eq());
        place(first)..place(end)
    }

    /// Returns the places of the names that may be so many typing errors away from this one.
    pub(super) fn maybe_near(&self, name: &str, errors: usize) -> impl Iterator<Item = Place> {
        self.letters.maybe_near(name, errors)
    }
}
