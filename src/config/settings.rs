//! The values that were given for keys, each with where it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::keys::{Key, Shape};
use super::values::Parse;
use super::values::policy::crates_of;
use crate::error::{Error, Kind, Result};

/// Where the value of a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The key was not given.
    Default,
    /// A place in the configuration file.
    File {
        /// The file, as it was named.
        file: String,
        /// The line, from 1 on.
        line: usize,
        /// The column, from 1 on.
        column: usize,
    },
    /// A variable, for example `FERRY_MIRROR_URL`.
    Variable(String),
    /// A flag, for example `--mirror`.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Where the values of all keys come from, for errors that are found when the values are used.
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeMap<&'static str, Origin>);

impl Origins {
    /// Returns where the value of a key such as `serve.listen` comes from.
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }

    /// Puts the key of an error, and where its value comes from, in front of the message.
    #[must_use]
    pub fn blame(&self, key: &str, error: Error) -> Error {
        self.locate(error.on(key))
    }

    /// Puts where the value comes from in front of a message that begins with a key and a colon.
    ///
    /// This locates also what shows only when a value is used: a file that cannot be read, an address that is taken.
    #[must_use]
    pub fn locate(&self, error: Error) -> Error {
        let message = error.to_string();
        // What is no key has no origin, so any other message stays as it is.
        let key = message.split(": ").next().unwrap_or_default();
        match self.of(key) {
            Origin::Default => error,
            origin => error.on(origin),
        }
    }
}

/// The text of a value, or of each of its elements, and where it comes from.
#[derive(Clone)]
struct Given {
    origin: Origin,
    texts: Vec<String>,
}

/// The values that were given, by the path of the key. A text may hold a password, so there is no `Debug`.
#[derive(Clone, Default)]
pub(super) struct Settings(BTreeMap<&'static str, Given>);

impl Settings {
    /// Sets a key; a later value replaces an earlier one.
    ///
    /// # Errors
    /// `config` for a list that holds an element twice, or a map that holds a name twice.
    pub(super) fn set(&mut self, key: &Key, origin: Origin, texts: Vec<String>) -> Result<()> {
        if let Some(name) = repeated(key, &texts) {
            let reason = format!("`{}` is given twice", name.escape_debug());
            return Err(refused(key, &origin, reason));
        }
        self.0.insert(key.path, Given { origin, texts });
        Ok(())
    }

    /// Says whether no key was given.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the texts that were given for a key, and where they come from.
    pub(super) fn given(&self, path: &str) -> Option<(&[String], &Origin)> {
        let given = self.0.get(path)?;
        Some((&given.texts, &given.origin))
    }

    /// Returns where all values come from.
    pub(super) fn origins(&self) -> Origins {
        let given = self.0.iter();
        Origins(
            given
                .map(|(path, given)| (*path, given.origin.clone()))
                .collect(),
        )
    }

    /// Returns the value of a key that may be left out.
    pub(super) fn optional<T>(&self, key: &Key, parse: Parse<T>) -> Result<Option<T>> {
        Ok(self.all(key, parse)?.and_then(|mut all| all.pop()))
    }

    /// Returns the value of a key, or its default.
    pub(super) fn or_default<T>(&self, key: &Key, parse: Parse<T>) -> Result<T> {
        match self.optional(key, parse)? {
            Some(value) => Ok(value),
            // The default passes the same parser, so that the table can state it as the documentation does: `15m`,
            // `20%`.
            None => parse(key.default.unwrap_or_default())
                .map_err(|reason| refused(key, &Origin::Default, reason)),
        }
    }

    /// Returns the elements of a list, which is empty by default.
    pub(super) fn list<T>(&self, key: &Key, parse: Parse<T>) -> Result<Vec<T>> {
        Ok(self.all(key, parse)?.unwrap_or_default())
    }

    /// Returns rules about crates, none by default.
    pub(super) fn rules<T>(&self, key: &Key, parse: Parse<T>) -> Result<Vec<T>> {
        self.list(key, parse)
    }

    /// Returns rules about jobs of CI, none by default.
    pub(super) fn trusted<T>(&self, key: &Key, parse: Parse<T>) -> Result<Vec<T>> {
        self.list(key, parse)
    }

    /// Returns mail addresses, none by default.
    pub(super) fn mailboxes<T>(&self, key: &Key, parse: Parse<T>) -> Result<Vec<T>> {
        self.list(key, parse)
    }

    /// Returns the names and values of a map, which is empty by default.
    pub(super) fn map<T>(
        &self,
        key: &Key,
        parse: Parse<(String, T)>,
    ) -> Result<BTreeMap<String, T>> {
        Ok(self.list(key, parse)?.into_iter().collect())
    }

    /// Returns the value of a key that must be given.
    pub(super) fn needed<T>(&self, key: &Key, parse: Parse<T>) -> Result<T> {
        self.optional(key, parse)?.ok_or_else(|| {
            Error::new(Kind::Config, format!("{} is not set", key.path))
                .advise(format!("Set it by {}.", key.how_to_set()))
        })
    }

    fn all<T>(&self, key: &Key, parse: Parse<T>) -> Result<Option<Vec<T>>> {
        let Some(given) = self.0.get(key.path) else {
            return Ok(None);
        };
        let parsed = given.texts.iter().map(|text| parse(text));
        let parsed = parsed.collect::<Result<_, _>>();
        parsed
            .map(Some)
            .map_err(|reason| refused(key, &given.origin, reason))
    }
}

/// Returns the first element of a list, or name of a map, that is there twice. A map's value may be a token, and is not shown.
fn repeated<'a>(key: &Key, texts: &'a [String]) -> Option<&'a str> {
    let mut seen = BTreeSet::new();
    let mut names = texts.iter().map(|text| name_in(key.shape, text));
    names.find(|name| !seen.insert(*name))
}

/// Returns what may be in a list, or be a name in a map, only once.
pub(super) fn name_in(shape: Shape, text: &str) -> &str {
    match shape {
        Shape::Map => text.split('=').next().unwrap_or_default().trim(),
        Shape::Rules => crates_of(text),
        Shape::One | Shape::List | Shape::Mailboxes | Shape::Trusted => text,
    }
}

/// Makes the error of a value that cannot be used: where it comes from, its key, and what was expected.
pub(super) fn refused(key: &Key, origin: &Origin, reason: impl fmt::Display) -> Error {
    let message = format!("{origin}: {}: {reason}", key.path);
    Error::new(Kind::Config, message)
}
