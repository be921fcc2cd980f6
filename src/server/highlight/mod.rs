//! Which parts of source code a page shows in which colour: of Rust by rustc's own lexer, as rust-analyzer publishes it, and
//! of TOML by toml_parser's.
//!
//! Nothing but the kinds of words is known here, as an editor knows them without the rest of the crate. Whoever writes a page
//! escapes the text; what is marked are bytes of it, and a class.

mod rust;
#[cfg(test)]
mod tests;
mod toml;

use std::ops::Range;

use tracing::debug;

use crate::guarded::guarded;

/// The longest text that is read, in bytes: a longer one is shown without colours.
const LONGEST: usize = 256 << 10;

/// A language that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust.
    Rust,
    /// TOML.
    Toml,
}

impl Language {
    /// Returns the language of a file with this path.
    pub fn of_path(path: &str) -> Option<Self> {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let end = name.rsplit_once('.').map(|(_, end)| end);
        match (name, end?) {
            (_, "rs") => Some(Self::Rust),
            (_, "toml") | ("Cargo.lock" | "Cargo.toml.orig", _) => Some(Self::Toml),
            _ => None,
        }
    }

    /// Returns the language that a block of Markdown names in what follows its fence, as in `rust,no_run`.
    pub fn of_fence(info: &str) -> Option<Self> {
        let mut words = info.split([',', ' ', '\t', '{']);
        match words.next()?.to_ascii_lowercase().as_str() {
            "rust" | "rs" => Some(Self::Rust),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }
}

/// A kind of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A comment.
    Comment,
    /// A comment that is documentation.
    Doc,
    /// A string, a character, and what else stands in quotes.
    Text,
    /// A number, a date, `true` and `false`.
    Number,
    /// A keyword; of TOML the name of a table.
    Keyword,
    /// A lifetime, or the label of a loop.
    Lifetime,
    /// The name of a macro that is called.
    Macro,
    /// An attribute, but for the texts and numbers in it.
    Attribute,
}

/// The classes of all kinds, for whoever decides which are let through.
pub const CLASSES: [&str; 8] = ["com", "doc", "str", "num", "kw", "lt", "mac", "att"];

impl Kind {
    /// Returns the class of the pages' style.
    pub fn class(self) -> &'static str {
        CLASSES[self as usize]
    }
}

/// What is marked: bytes of a text, and their kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The bytes.
    pub range: Range<usize>,
    /// Their kind.
    pub kind: Kind,
}

/// The marks of a text, in its order. None overlap, and each begins and ends at a character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(Vec<Mark>);

impl Marks {
    /// Marks a text; a text that is too long, or whose language is not known, has none.
    pub fn of(text: &str, language: Option<Language>) -> Self {
        let Some(language) = language.filter(|_| text.len() <= LONGEST) else {
            return Self::default();
        };
        let read = guarded(|| match language {
            Language::Rust => rust::marks(text),
            Language::Toml => toml::marks(text),
        });
        read.unwrap_or_else(|panic| {
            debug!("code is shown without colours: {panic}");
            Self::default()
        })
    }

    /// Returns the marks within a range of the text; where one goes beyond it, the part that is within.
    pub fn within(&self, range: Range<usize>) -> impl Iterator<Item = Mark> {
        let Range { start, end } = range;
        let first = self.0.partition_point(|mark| mark.range.end <= start);
        let marks = self.0.iter().skip(first);
        let marks = marks.take_while(move |mark| mark.range.start < end);
        marks.map(move |mark| Mark {
            range: mark.range.start.max(start)..mark.range.end.min(end),
            kind: mark.kind,
        })
    }

    /// Returns the marks within a range of the text, for a text that is that range alone.
    pub fn only(&self, range: Range<usize>) -> Self {
        let start = range.start;
        let marks = self.within(range).map(|mark| Mark {
            range: mark.range.start - start..mark.range.end - start,
            kind: mark.kind,
        });
        Self(marks.collect())
    }

    /// Cuts a range of the text into what is marked and what is between, each with its class.
    pub fn pieces<'t>(
        &self,
        text: &'t str,
        range: Range<usize>,
    ) -> Vec<(&'t str, Option<&'static str>)> {
        let mut pieces = Vec::new();
        let mut at = range.start;
        for mark in self.within(range.clone()) {
            pieces.push((&text[at..mark.range.start], None));
            at = mark.range.end;
            pieces.push((&text[mark.range], Some(mark.kind.class())));
        }
        pieces.push((&text[at..range.end], None));
        pieces.retain(|(text, _)| !text.is_empty());
        pieces
    }

    /// Marks what follows; words of one kind with only white space between them get one mark.
    fn take(&mut self, text: &str, range: Range<usize>, kind: Kind) {
        if let Some(last) = self.0.last_mut()
            && last.kind == kind
            && text[last.range.end..range.start].trim().is_empty()
        {
            last.range.end = range.end;
            return;
        }
        self.0.push(Mark { range, kind });
    }
}

/// Returns where the lines of a text are, without what ends them.
pub fn line_ranges(text: &str) -> Vec<Range<usize>> {
    let mut end = 0;
    let lines = text.split_inclusive('\n').map(|line| {
        let start = end;
        end += line.len();
        start..start + line.trim_end_matches('\n').len()
    });
    lines.collect()
}
