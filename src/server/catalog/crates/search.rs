//! Finds crates: by name first, then by the words of name, keywords and description.

use std::cmp::Reverse;
use std::ops::Range;

use rusqlite::{Connection, Row, Rows};

use super::filter::Filter;
use super::name_words;
use super::names::{CrateId, Entry, Names};

/// The longest text that is searched for, in characters; a crate's name has 64.
const LONGEST: usize = 200;
/// How many words of it count.
const WORDS: usize = 8;
/// From how many letters on the beginning of a word is enough.
const PREFIX: usize = 2;
/// How many crates the full-text search finds at most, of those that have the words anywhere: a word such as `a` is in most
/// descriptions. Names have no such bound.
const MATCHES: usize = 2_000;
/// How many names are suggested where nothing is found.
const SUGGESTIONS: usize = 5;

/// In which order crates are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sort {
    /// The best match first: the name itself, names that begin so, names that have the words, then keywords and
    /// descriptions; of each the heaviest.
    #[default]
    Relevance,
    /// By name.
    Alphabetical,
    /// The most downloads first, or dependents where the downloads are not known.
    Downloads,
    /// The most downloads in the last 90 days first.
    RecentDownloads,
    /// The latest published version first.
    RecentUpdates,
    /// The latest first version first.
    New,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Query {
    /// What was typed; all crates are listed where it is empty.
    pub text: String,
    /// The order.
    pub sort: Sort,
    /// How many results come before the first that is wanted.
    pub offset: usize,
    /// How many results are wanted.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The wanted part of the results, in their order.
    pub crates: Vec<CrateId>,
    /// How many there are in all, of which at most 2,000 have the words elsewhere than in their names.
    pub total: usize,
    /// The crate whose name is the text.
    pub exact: Option<CrateId>,
    /// The crates whose names are near the text, where nothing was found.
    pub near: Vec<CrateId>,
}

/// How well a crate matches, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    Exact,
    NamePrefix,
    NameWords,
    Words,
}

/// Finds crates.
pub(super) fn search(
    names: &Names,
    database: &Connection,
    query: &Query,
    filter: &Filter,
) -> rusqlite::Result<Found> {
    let text: String = query.text.trim().chars().take(LONGEST).collect();
    let passing = filter.passing(names, database)?;
    if text.is_empty() {
        let all = names.all().iter().map(|entry| (Match::Words, entry));
        return Ok(page(passing.of(all).collect(), query, None));
    }
    let name = text.to_lowercase().replace([' ', '_'], "-");
    let exact = names.exact(&name);
    let mut results = Results::new(names);
    results.add_places(exact.clone(), Match::Exact);
    results.add_places(names.prefixed(&name), Match::NamePrefix);
    let words = words(&text);
    if !words.is_empty() {
        results.add_named(&words);
        results.add_matches(database, &all_of(&words))?;
        if results.found.is_empty() {
            results.add_matches(database, &all_of(&roots(&words)))?;
        }
    }
    let exact = names.all()[exact].first().map(|entry| entry.facts.id);
    let wanted = passing.of(results.found.into_iter());
    let mut found = page(wanted.collect(), query, exact);
    if found.total == 0 && filter.is_empty() {
        found.near = names.near(&name, SUGGESTIONS);
    }
    Ok(found)
}

/// Collects results, each crate once, with its best match.
struct Results<'n> {
    names: &'n Names,
    is_found: Vec<bool>,
    found: Vec<(Match, &'n Entry)>,
}

impl<'n> Results<'n> {
    fn new(names: &'n Names) -> Self {
        Self {
            names,
            is_found: Vec::new(),
            found: Vec::new(),
        }
    }

    fn add(&mut self, entry: &'n Entry, how: Match) {
        let id = entry.facts.id as usize;
        if self.is_found.len() <= id {
            self.is_found.resize(id + 1, false);
        }
        if !std::mem::replace(&mut self.is_found[id], true) {
            self.found.push((how, entry));
        }
    }

    fn add_places(&mut self, places: Range<usize>, how: Match) {
        for entry in &self.names.all()[places] {
            self.add(entry, how);
        }
    }

    /// Adds the crates whose names have all of the words, or beginnings of words.
    fn add_named(&mut self, words: &[String]) {
        let crates = words
            .iter()
            .map(|word| self.names.words().with(word, is_prefix(word)));
        let mut crates: Vec<_> = crates.collect();
        // The fewest first: the others only say which of them stay.
        crates.sort_by_key(|crates| crates.len());
        let Some((fewest, others)) = crates.split_first() else {
            return;
        };
        let others: Vec<_> = others
            .iter()
            .map(|crates| self.names.set_of(crates))
            .collect();
        for id in *fewest {
            if others.iter().all(|others| others[*id as usize])
                && let Some(entry) = self.names.by_id(*id)
            {
                self.add(entry, Match::NameWords);
            }
        }
    }

    /// Adds what SQLite's full-text search finds, the heaviest crates first, as far as the bound.
    fn add_matches(&mut self, database: &Connection, expression: &str) -> rusqlite::Result<()> {
        let mut query =
            database.prepare_cached("SELECT rowid FROM words WHERE words MATCH ?1 LIMIT ?2")?;
        let mut rows = query.query((expression, MATCHES))?;
        while let Some(row) = next(&mut rows)? {
            // One that came after the names were read is found next time.
            if let Some(entry) = self.names.by_id(row.get(0)?) {
                self.add(entry, Match::Words);
            }
        }
        Ok(())
    }
}

/// Reads a row; none where SQLite cuts a word into several, which it cannot search for without their places.
fn next<'r>(rows: &'r mut Rows<'_>) -> rusqlite::Result<Option<&'r Row<'r>>> {
    match rows.next() {
        Err(rusqlite::Error::SqliteFailure(_, Some(message)))
            if message.contains("queries are not supported") =>
        {
            Ok(None)
        }
        read => read,
    }
}

/// Returns the words of a text as the full-text search cuts them: letters and digits.
fn words(text: &str) -> Vec<String> {
    let words = name_words::words(text).take(WORDS);
    words.map(str::to_lowercase).collect()
}

/// Returns the expression for all of the words, or beginnings of words. Quoted, so that no text is an operator; what SQLite
/// cuts further cannot be searched for.
fn all_of(words: &[String]) -> String {
    let quoted = words.iter().map(|word| match is_prefix(word) {
        false => format!("\"{word}\""),
        true => format!("\"{word}\" *"),
    });
    quoted.collect::<Vec<_>>().join(" AND ")
}

/// Says whether the beginning of a word is meant.
fn is_prefix(word: &str) -> bool {
    word.chars().nth(PREFIX - 1).is_some()
}

/// Cuts the ends of long words: words are found by their stems, which may be shorter than what was typed so far.
fn roots(words: &[String]) -> Vec<String> {
    let root = |word: &String| {
        let length = word.chars().count();
        let kept = if length > 6 { length - 3 } else { length };
        word.chars().take(kept).collect()
    };
    words.iter().map(root).collect()
}

/// Orders the results, and takes the wanted part.
fn page(mut results: Vec<(Match, &Entry)>, query: &Query, exact: Option<CrateId>) -> Found {
    let total = results.len();
    let end = query.offset.saturating_add(query.limit).min(total);
    // The places of the entries are in the order of the names, and decide between equals.
    let key = |(how, entry): &(Match, &Entry)| {
        let facts = &entry.facts;
        let descending = match query.sort {
            Sort::Relevance => (*how as u64, facts.weight),
            Sort::Alphabetical => (0, 0),
            Sort::Downloads => (0, facts.weight),
            Sort::RecentDownloads => (0, facts.recent_downloads),
            Sort::RecentUpdates => (0, u64::try_from(facts.updated).unwrap_or(0)),
            Sort::New => (0, u64::try_from(facts.created).unwrap_or(0)),
        };
        (
            descending.0,
            Reverse(descending.1),
            std::ptr::from_ref(*entry),
        )
    };
    // Of tens of thousands of results a few are shown: only those are put in order.
    if end < total {
        results.select_nth_unstable_by_key(end, key);
        results.truncate(end);
    }
    results.sort_unstable_by_key(key);
    let wanted = results.get(query.offset..).unwrap_or_default();
    Found {
        crates: wanted.iter().map(|(_, entry)| entry.facts.id).collect(),
        total,
        exact,
        near: Vec::new(),
    }
}
