//! Names of crates.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The longest name that crates.io admits, in bytes.
const MAX_LENGTH: usize = 64;

/// The name of a crate as its author wrote it, valid since it was made.
///
/// One to 64 ASCII letters, digits, `-` and `_`, beginning with a letter, a digit or `_`. crates.io admits only a letter in
/// front; private registries and old entries are less strict, and cargo reads them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CrateName(String);

/// Why a text is not the name of a crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CrateNameError {
    /// The text is empty.
    #[error("a crate's name is empty")]
    Empty,
    /// It has more than 64 bytes.
    #[error("a crate's name has at most 64 bytes, this one {0}")]
    TooLong(usize),
    /// It begins with a `-`.
    #[error("a crate's name begins with a letter, a digit or `_`, not with `-`")]
    Start,
    /// It has a character that names do not have.
    #[error("a crate's name has ASCII letters, digits, `-` and `_`, not {0:?}")]
    Character(char),
}

impl CrateName {
    /// Checks a text and makes it a name.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, CrateNameError> {
        if text.is_empty() {
            return Err(CrateNameError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(CrateNameError::TooLong(text.len()));
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if let Some(other) = text.chars().find(|c| !allowed(c)) {
            return Err(CrateNameError::Character(other));
        }
        if text.starts_with('-') {
            return Err(CrateNameError::Start);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether a path is that of some crate's file in an index, as [`CrateName::index_path`] writes it.
    pub fn is_index_path(path: &str) -> bool {
        let allowed =
            |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        // By its bytes, since a path may be anything, and cutting a text within a character would panic.
        let (is_there, name) = match path.as_bytes() {
            [b'1', b'/', name @ ..] if name.len() == 1 => (true, name),
            [b'2', b'/', name @ ..] if name.len() == 2 => (true, name),
            [b'3', b'/', a, b'/', name @ ..] if name.len() == 3 => (name[0] == *a, name),
            [a, b, b'/', c, d, b'/', name @ ..] => (name.starts_with(&[*a, *b, *c, *d]), name),
            _ => return false,
        };
        is_there && name.len() <= MAX_LENGTH && !name.starts_with(b"-") && name.iter().all(allowed)
    }

    /// Returns the path of the crate's file in an index, in lower case: `1/a`, `2/ab`, `3/a/abc`, `ab/cd/abcd`.
    pub fn index_path(&self) -> String {
        let name = self.0.to_ascii_lowercase();
        // A name is ASCII, so it can be cut at any byte.
        match name.len() {
            1 => format!("1/{name}"),
            2 => format!("2/{name}"),
            3 => format!("3/{}/{name}", &name[..1]),
            _ => format!("{}/{}/{name}", &name[..2], &name[2..4]),
        }
    }
}

impl fmt::Display for CrateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CrateName {
    type Err = CrateNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl AsRef<str> for CrateName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_leads_to_its_file_in_lower_case() {
        for (name, path) in [
            ("a", "1/a"),
            ("Ab", "2/ab"),
            ("aBc", "3/a/abc"),
            ("Serde", "se/rd/serde"),
            ("a-_1", "a-/_1/a-_1"),
            ("_abc", "_a/bc/_abc"),
        ] {
            assert_eq!(CrateName::new(name).unwrap().index_path(), path);
        }
    }

    #[test]
    fn a_path_beside_that_of_a_name_is_none() {
        for path in ["1/a", "2/ab", "3/a/abc", "se/rd/serde", "_a/bc/_abc"] {
            assert!(CrateName::is_index_path(path), "{path}");
        }
        for path in [
            "1/ab",
            "2/a",
            "1/",
            "3/b/abc",
            "3/a/abcd",
            "3/a/ab",
            "ab/ce/abcd",
            "ac/cd/abcd",
            "ab/cd/abc",
            "ab/cd/abcd/",
            "ab/cd/abcd/x",
            "AB/CD/ABCD",
            "1/A",
            "a-/-b/-a-b",
            "-a/bc/-abc",
            "1/.",
            "ab/cd/abcd.",
            "abcd",
            "",
        ] {
            assert!(!CrateName::is_index_path(path), "{path}");
        }
        let of = |length| format!("aa/aa/{}", "a".repeat(length));
        assert!(CrateName::is_index_path(&of(64)) && !CrateName::is_index_path(&of(65)));
    }

    #[test]
    fn a_name_keeps_its_case() {
        assert_eq!(
            CrateName::new("Inflector").unwrap().to_string(),
            "Inflector"
        );
    }

    #[test]
    fn a_text_that_is_no_name_says_why() {
        for (text, why) in [
            ("", CrateNameError::Empty),
            ("-a", CrateNameError::Start),
            ("test+package", CrateNameError::Character('+')),
            ("../../etc", CrateNameError::Character('.')),
            ("a/b", CrateNameError::Character('/')),
            ("ä", CrateNameError::Character('ä')),
        ] {
            assert_eq!(CrateName::new(text), Err(why));
        }
        assert!(CrateName::new(&"a".repeat(64)).is_ok());
        assert_eq!(
            CrateName::new(&"a".repeat(65)),
            Err(CrateNameError::TooLong(65))
        );
    }

    proptest! {
        #[test]
        fn only_the_path_of_a_name_is_one(path in prop_oneof![".*", "[1-3a-b-]{0,2}/[a-b-]{0,2}/?[a-bA]{0,4}"]) {
            let name = path.rsplit('/').next().unwrap_or_default();
            let is_one = CrateName::new(name).is_ok_and(|name| name.index_path() == path);
            prop_assert_eq!(CrateName::is_index_path(&path), is_one);
        }

        #[test]
        fn any_text_is_a_name_with_a_path_or_refused(text in prop_oneof![".*", "[a-zA-Z0-9_-]{0,70}"]) {
            if let Ok(name) = CrateName::new(&text) {
                let path = name.index_path();
                let lower = text.to_ascii_lowercase();
                prop_assert_eq!(path.rsplit('/').next(), Some(lower.as_str()));
                prop_assert!(CrateName::is_index_path(&path));
            }
        }
    }
}
