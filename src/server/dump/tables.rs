//! Which tables and columns of the dump are read, and what their fields are. All others are left alone.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::types::Value;

use Field::{Address, Crate, Number, OptionalNumber, Text, Time, Word};

use crate::index::CrateName;
use crate::server::crate_archive::manifest as texts;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// A number of the dump's own, or a count: not negative, and never empty.
    Number,
    /// The same, but it may be empty.
    OptionalNumber,
    /// The name of a crate, which is never empty.
    Crate,
    /// A text on one line, cut after so many characters.
    Text(usize),
    /// A keyword, a category's slug, or a version.
    Word,
    /// An address of the web.
    Address,
    /// A time, in seconds since 1970.
    Time,
}

/// A column that is read.
#[derive(Debug)]
pub(super) struct Column {
    /// Its name in the table's header.
    pub(super) name: &'static str,
    pub(super) field: Field,
    /// Without it the table says nothing.
    pub(super) is_needed: bool,
}

/// A table that is read into a table of the same name and columns.
#[derive(Debug)]
pub(super) struct Table {
    /// The name of its file, without `.csv`.
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    /// What no two rows have in common.
    pub(super) key: &'static str,
}

const fn table(name: &'static str, key: &'static str, columns: &'static [Column]) -> Table {
    Table { name, columns, key }
}

const fn needed(name: &'static str, field: Field) -> Column {
    Column {
        name,
        field,
        is_needed: true,
    }
}

const fn optional(name: &'static str, field: Field) -> Column {
    Column {
        name,
        field,
        is_needed: false,
    }
}

/// The table of crates, without which a file is no dump.
pub(super) const CRATES: &str = "crates";
/// The downloads of each version and day, which are added up and not staged.
pub(super) const VERSION_DOWNLOADS: &str = "version_downloads";

/// All of them: the name of each, what no two of its rows have in common, and its columns.
#[rustfmt::skip]
pub(super) const TABLES: &[Table] = &[
    table(CRATES, "PRIMARY KEY (id), UNIQUE (name COLLATE NOCASE)", &[
        needed("id", Number), needed("name", Crate), optional("created_at", Time), optional("updated_at", Time),
        optional("description", Text(texts::DESCRIPTION)), optional("homepage", Address), optional("documentation", Address),
        optional("repository", Address),
    ]),
    table("versions", "PRIMARY KEY (id)", &[
        needed("id", Number), needed("crate_id", Number), needed("num", Word), optional("created_at", Time),
        optional("downloads", OptionalNumber), optional("crate_size", OptionalNumber), optional("license", Text(texts::LICENSE)),
    ]),
    table("crate_downloads", "PRIMARY KEY (crate_id)", &[needed("crate_id", Number), needed("downloads", Number)]),
    table("default_versions", "PRIMARY KEY (crate_id)", &[needed("crate_id", Number), needed("version_id", Number)]),
    table("keywords", "PRIMARY KEY (id)", &[needed("id", Number), needed("keyword", Word), optional("created_at", Time)]),
    table("crates_keywords", "PRIMARY KEY (crate_id, keyword_id)", &[needed("crate_id", Number), needed("keyword_id", Number)]),
    table("categories", "PRIMARY KEY (id)", &[
        needed("id", Number), needed("slug", Word), optional("category", Text(NAME)),
        optional("description", Text(texts::DESCRIPTION)), optional("created_at", Time),
    ]),
    table("crates_categories", "PRIMARY KEY (crate_id, category_id)", &[needed("crate_id", Number), needed("category_id", Number)]),
    table("crate_owners", "PRIMARY KEY (crate_id, owner_kind, owner_id)", &[
        needed("crate_id", Number), needed("owner_id", Number), needed("owner_kind", Number),
    ]),
    table("users", "PRIMARY KEY (id)", &[
        needed("id", Number), needed("gh_login", Text(NAME)), optional("name", Text(NAME)), optional("gh_avatar", Address),
    ]),
    table("teams", "PRIMARY KEY (id)", &[
        needed("id", Number), needed("login", Text(NAME)), optional("name", Text(NAME)), optional("avatar", Address),
    ]),
];

/// The longest name of a user, a team or a category, in characters.
const NAME: usize = 200;

impl Table {
    /// Returns the table of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// Returns the statement that makes it.
    pub(super) fn create(&self) -> String {
        let columns = self.columns.iter().map(|column| match column.field {
            Field::Number | Field::OptionalNumber | Field::Time => {
                format!("{} INTEGER", column.name)
            }
            Field::Crate | Field::Text(_) | Field::Word | Field::Address => {
                format!("{} TEXT", column.name)
            }
        });
        let columns: Vec<_> = columns.collect();
        format!(
            "CREATE TABLE {} ({}, {});",
            self.name,
            columns.join(", "),
            self.key
        )
    }

    /// Returns the statement that adds a row.
    pub(super) fn insert(&self) -> String {
        let marks = vec!["?"; self.columns.len()].join(", ");
        format!("INSERT INTO {} VALUES ({marks})", self.name)
    }
}

impl Field {
    /// Reads a field. What is too long is cut, and what is no address, word or time is left out; a number that is none, a
    /// text that is not UTF-8 and a crate without a name are errors.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn read(self, bytes: &[u8]) -> Result<Value, String> {
        let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let known = |text: Option<String>| Ok(text.map_or(Value::Null, Value::Text));
        match self {
            Self::OptionalNumber if text.is_empty() => Ok(Value::Null),
            Self::Number | Self::OptionalNumber => {
                let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
                let number = number.ok_or_else(|| unexpected("a number from 0 on", text))?;
                Ok(Value::Integer(number))
            }
            Self::Crate => match CrateName::new(text) {
                Ok(_) => Ok(Value::Text(text.to_owned())),
                Err(_) => Err(unexpected("the name of a crate", text)),
            },
            Self::Text(longest) => known(texts::line(text, longest)),
            Self::Word => known(texts::is_word(text).then(|| text.to_owned())),
            Self::Address => known(texts::address(text)),
            Self::Time => Ok(seconds(text).map_or(Value::Null, Value::Integer)),
        }
    }
}

/// Reads a time as PostgreSQL writes it: in UTC, with or without `+00`.
fn seconds(text: &str) -> Option<i64> {
    let with_zone = text.parse::<Timestamp>().ok();
    let time = with_zone.or_else(|| {
        let date: DateTime = text.parse().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    Some(time?.as_second())
}

/// How many characters of a field an error repeats.
const SHOWN: usize = 40;

fn unexpected(what: &str, text: &str) -> String {
    let shown: String = text.chars().take(SHOWN).collect();
    format!("expected {what}, found `{}`", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn fields_are_read_within_their_bounds() {
        let read = |field: Field, text: &str| field.read(text.as_bytes()).unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(read(Field::Number, "12"), Value::Integer(12));
        assert_eq!(read(Field::OptionalNumber, ""), Value::Null);
        assert_eq!(read(Field::Crate, "Serde_json"), text("Serde_json"));
        assert_eq!(
            read(Field::Text(9), "a\nb \"c\" dd ee"),
            text("a b \"c\" d")
        );
        assert_eq!(read(Field::Word, "no word"), Value::Null);
        assert_eq!(read(Field::Address, "javascript:x"), Value::Null);
        for time in [
            "1970-01-02 00:00:03",
            "1970-01-02 00:00:03.5+00",
            "1970-01-02T00:00:03Z",
        ] {
            assert_eq!(read(Field::Time, time), Value::Integer(86_403), "{time}");
        }
        assert_eq!(read(Field::Time, "never"), Value::Null);
        for (field, wrong) in [
            (Field::Number, "-1"),
            (Field::Number, ""),
            (Field::Number, "99999999999999999999"),
            (Field::OptionalNumber, "x"),
            (Field::Crate, "../x"),
        ] {
            assert!(field.read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Field::Text(9).read(b"\xff").is_err());
    }
}
