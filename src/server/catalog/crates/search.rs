//! Finds crates: by name first, then by the words of name, keywords and description.

use std::cmp::Reverse;

use rusqlite::{Connection, Row, Rows};

use super::filter::Filter;
use super::name_table::CrateId;
use super::name_words;
use super::names::{Facts, Names};
use super::place::Place;
use super::rank_set::RankSet;

/// The longest text that is searched for, in characters; a crate's name has 64.
const LONGEST: usize = 200;
/// How many words of it count.
const WORDS: usize = 8;
/// From how many letters on the beginning of a word is enough.
const PREFIX: usize = 2;
/// The longest beginnings of words that have an index, in letters: see the tables.
const INDEXED_PREFIX: usize = 5;
/// How many crates the full-text search finds at most, of those that have the words anywhere: a word such as `a` is in most
/// descriptions. Names have no such bound; where the best come first and as many names have the words, it is not asked.
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
    /// How many there are in all, of which at most 2,000 have the words elsewhere than in their names; none where the best come first
    /// and as many have them there.
    pub total: usize,
    /// The crate whose name is the text.
    pub exact: Option<CrateId>,
    /// The crates whose names are near the text, where nothing was found.
    pub near: Vec<CrateId>,
}

/// Finds crates.
pub(super) fn search(
    names: &Names,
    database: &Connection,
    query: &Query,
    filter: &Filter,
) -> rusqlite::Result<Found> {
    let text: String = query.text.trim().chars().take(LONGEST).collect();
    let mut results = Results::new(names, filter.passing(names, database)?);
    if text.is_empty() {
        let all = 0..u32::try_from(names.len()).unwrap_or(u32::MAX);
        results.add(names.ranks_at(all));
        return Ok(results.page(query));
    }
    let name = text.to_lowercase().replace([' ', '_'], "-");
    let mut exact = names.exact(&name);
    results.add(names.ranks_at(exact.clone()));
    results.add(names.ranks_at(names.prefixed(&name)));
    let words = words(&text);
    if !words.is_empty() {
        results.add(named(names, &words));
    }
    // Only the total would be another: what has the words elsewhere comes after all of these.
    let is_full = query.sort == Sort::Relevance
        && results.found.len() >= MATCHES.max(query.offset.saturating_add(query.limit));
    if !words.is_empty() && !is_full {
        results.add(matches(names, database, &words)?);
        if results.is_nothing {
            results.add(matches(names, database, &roots(&words))?);
        }
    }
    let mut found = results.page(query);
    found.exact = exact.next().map(|place| names.facts(place).id);
    if found.total == 0 && filter.is_empty() && !words.is_empty() {
        found.near = names.near(&name, SUGGESTIONS);
    }
    Ok(found)
}

/// Collects results, those that match best first, and each crate once.
struct Results<'n> {
    names: &'n Names,
    /// The crates that may be among them; all where there is none.
    passing: Option<RankSet>,
    found: RankSet,
    /// What was found first, then what else was found after that, and so on.
    steps: Vec<RankSet>,
    /// Whether nothing was found, even of what may not be among them.
    is_nothing: bool,
}

impl<'n> Results<'n> {
    fn new(names: &'n Names, passing: Option<RankSet>) -> Self {
        Self {
            names,
            passing,
            found: names.no_ranks(),
            steps: Vec::new(),
            is_nothing: true,
        }
    }

    /// Adds what matches less well than what was added before.
    fn add(&mut self, mut ranks: RankSet) {
        self.is_nothing &= ranks.len() == 0;
        ranks.remove(&self.found);
        if let Some(passing) = &self.passing {
            ranks.keep(passing);
        }
        self.found.add(&ranks);
        self.steps.push(ranks);
    }

    /// Orders the results, and takes the wanted part.
    fn page(&self, query: &Query) -> Found {
        let all = self.found.iter();
        let (from, most) = (query.offset, query.limit);
        let places: Vec<Place> = match query.sort {
            Sort::Relevance => {
                let best = self.steps.iter().flat_map(RankSet::iter);
                let wanted = best.skip(from).take(most);
                wanted.map(|rank| self.names.ranked(rank)).collect()
            }
            Sort::Downloads => {
                let wanted = all.skip(from).take(most);
                wanted.map(|rank| self.names.ranked(rank)).collect()
            }
            Sort::Alphabetical => self.sorted(query, |_| 0),
            Sort::RecentDownloads => self.sorted(query, |facts| facts.recent_downloads),
            Sort::RecentUpdates => self.sorted(query, |facts| time(facts.updated)),
            Sort::New => self.sorted(query, |facts| time(facts.created)),
        };
        let ids = places.iter().map(|place| self.names.facts(*place).id);
        Found {
            crates: ids.collect(),
            total: self.found.len(),
            ..Found::default()
        }
    }

    /// Returns the wanted part of the results, those with the highest value first, and by name where it is equal.
    fn sorted(&self, query: &Query, value: impl Fn(&Facts) -> u64) -> Vec<Place> {
        let places = self.found.iter().map(|rank| self.names.ranked(rank));
        let keyed = places.map(|place| (Reverse(value(self.names.facts(place))), place));
        let mut keyed: Vec<_> = keyed.collect();
        let end = query.offset.saturating_add(query.limit).min(keyed.len());
        // Of tens of thousands of results a few are shown: only those are put in order.
        if end < keyed.len() {
            keyed.select_nth_unstable(end);
            keyed.truncate(end);
        }
        keyed.sort_unstable();
        let wanted = keyed.get(query.offset..).unwrap_or_default();
        wanted.iter().map(|(_, place)| *place).collect()
    }
}

fn time(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0)
}

/// Finds the crates whose names have all of the words, or beginnings of words.
fn named(names: &Names, words: &[String]) -> RankSet {
    let with = words
        .iter()
        .map(|word| names.ranks_with(word, is_prefix(word)));
    let all = with.reduce(|mut all, with| {
        all.keep(&with);
        all
    });
    all.unwrap_or_else(|| names.no_ranks())
}

/// Finds what SQLite's full-text search finds with all of the words, the heaviest crates first, as far as the bound.
fn matches(names: &Names, database: &Connection, words: &[String]) -> rusqlite::Result<RankSet> {
    // SQLite reads the rows of each word before it sees that another has none, as most misspelt ones do.
    for word in words.iter().filter(|word| !names.have_word(word, true)) {
        if ids(database, &expression(names, word), 1)?.is_empty() {
            return Ok(names.no_ranks());
        }
    }
    let all: Vec<_> = words.iter().map(|word| expression(names, word)).collect();
    // One that came after the names were read is found next time.
    Ok(names.ranks_of(ids(database, &all.join(" AND "), MATCHES)?))
}

/// Returns the ids of the first crates that match an expression.
fn ids(database: &Connection, expression: &str, most: usize) -> rusqlite::Result<Vec<CrateId>> {
    let mut query =
        database.prepare_cached("SELECT rowid FROM words WHERE words MATCH ?1 LIMIT ?2")?;
    let mut rows = query.query((expression, most))?;
    let mut found = Vec::new();
    while let Some(row) = next(&mut rows)? {
        found.push(row.get(0)?);
    }
    Ok(found)
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

/// Returns the expression for a word, or for what begins with it. Quoted, so that no text is an operator; what SQLite cuts further
/// cannot be searched for.
fn expression(names: &Names, word: &str) -> String {
    // Beyond the beginnings that have an index, SQLite merges the rows of all words that begin so: tens of thousands, where the
    // word itself is a common one.
    let is_whole = word.chars().nth(INDEXED_PREFIX).is_some() && names.have_word(word, false);
    match is_prefix(word) && !is_whole {
        false => format!("\"{word}\""),
        true => format!("\"{word}\" *"),
    }
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
