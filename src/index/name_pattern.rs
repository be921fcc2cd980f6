//! What people write for the names of some crates: `serde`, `acme-*`; and which paths of an index those have.

use std::fmt;
use std::str::FromStr;

use globset::{Glob, GlobMatcher};

use super::CrateName;

/// The name of a crate, or with `*` of several. Case does not matter, and `-` and `_` are alike, as on crates.io.
#[derive(Debug, Clone)]
pub struct NamePattern {
    text: String,
    /// What is before the first `*`, folded.
    beginning: String,
    /// `None` if there is no `*`.
    glob: Option<GlobMatcher>,
}

/// Returns what names that mean the same crate have in common: no two of them can be on crates.io.
pub fn folded(name: &str) -> String {
    let fold = |byte: char| match byte {
        '-' => '_',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).collect()
}

impl NamePattern {
    /// Says whether it means the crate with this name, which is [`folded`].
    pub fn means(&self, folded: &str) -> bool {
        match &self.glob {
            None => self.beginning == folded,
            Some(glob) => glob.is_match(folded),
        }
    }

    /// Says whether it means one crate alone.
    pub fn is_one(&self) -> bool {
        self.glob.is_none()
    }

    /// Returns what is before the first `*`, folded; all of it, if there is none.
    pub fn beginning(&self) -> &str {
        &self.beginning
    }

    /// Says whether a directory of an index may hold the file of a crate that it means.
    fn may_be_below(&self, directory: &str) -> bool {
        let length = self.beginning.len();
        // A name with so many characters may be meant.
        let has_length = |wanted: usize| match self.glob {
            None => length == wanted,
            Some(_) => length <= wanted,
        };
        let begins = |start: &str| {
            let both = length.min(start.len());
            self.beginning.as_bytes()[..both] == folded(start).as_bytes()[..both]
        };
        match directory.as_bytes() {
            [b'1'] => has_length(1),
            [b'2'] => has_length(2),
            [b'3'] => has_length(3),
            [b'3', b'/', _] => has_length(3) && begins(&directory[2..]),
            [_, _] => begins(directory),
            [_, _, b'/', _, _] => begins(&directory.replacen('/', "", 1)),
            _ => false,
        }
    }
}

impl FromStr for NamePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
        if text.is_empty() || !text.chars().all(is_allowed) {
            return Err(format!(
                "`{}` is neither a crate name nor a pattern with `*`",
                text.escape_debug()
            ));
        }
        let folded = folded(text);
        let beginning = folded.split('*').next().unwrap_or_default().to_owned();
        let glob = match beginning.len() < folded.len() {
            true => Some(Glob::new(&folded).map_err(|error| error.to_string())?),
            false => None,
        };
        Ok(Self {
            text: text.to_owned(),
            beginning,
            glob: glob.map(|glob| glob.compile_matcher()),
        })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for NamePattern {}

/// The names that are never taken from upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReservedNames(Vec<NamePattern>);

impl ReservedNames {
    /// Reserves what these mean.
    pub fn new(patterns: Vec<NamePattern>) -> Self {
        Self(patterns)
    }

    /// Says whether none is reserved.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the patterns.
    pub fn patterns(&self) -> &[NamePattern] {
        &self.0
    }

    /// Returns the first pattern that means the crate with this name, which is [`folded`].
    pub fn find(&self, folded: &str) -> Option<&NamePattern> {
        self.0.iter().find(|pattern| pattern.means(folded))
    }

    /// Says whether a path of an index is the file of a crate whose name is reserved.
    pub fn covers(&self, path: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let path = std::str::from_utf8(path).ok();
        let path = path.filter(|path| CrateName::is_index_path(path));
        let name = path.and_then(|path| path.rsplit('/').next());
        name.is_some_and(|name| self.find(&folded(name)).is_some())
    }

    /// Says whether a file below a directory of an index may be that of such a crate. May say yes where none is, never no where
    /// one is.
    pub fn may_be_below(&self, directory: &[u8]) -> bool {
        let directory = std::str::from_utf8(directory).ok();
        directory.is_some_and(|directory| {
            let mut patterns = self.0.iter();
            directory.is_ascii() && patterns.any(|pattern| pattern.may_be_below(directory))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn reserved(patterns: &[&str]) -> ReservedNames {
        ReservedNames::new(patterns.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn a_reserved_name_covers_its_path_in_any_spelling() {
        let names = reserved(&["acme-*", "My_Crate", "abc"]);
        for path in [
            "ac/me/acme-core",
            "ac/me/acme_core",
            "my/_c/my_crate",
            "my/-c/my-crate",
            "3/a/abc",
        ] {
            assert!(names.covers(path.as_bytes()), "{path}");
        }
        for path in [
            "ac/me/acme",
            "ac/me",
            "acme-core",
            "xx/yy/acme-core",
            "my/cr/mycrate",
            "config.json",
        ] {
            assert!(!names.covers(path.as_bytes()), "{path}");
        }
        assert!(!ReservedNames::default().covers(b"ac/me/acme-core"));
    }

    #[test]
    fn only_the_directories_on_the_way_to_a_reserved_name_are_entered() {
        let names = reserved(&["acme-*", "ab"]);
        for directory in ["ac", "ac/me", "2"] {
            assert!(names.may_be_below(directory.as_bytes()), "{directory}");
        }
        for directory in ["1", "3", "3/a", "ac/mf", "ad", "se", "ac/me/acme", ""] {
            assert!(!names.may_be_below(directory.as_bytes()), "{directory}");
        }
    }

    proptest! {
        #[test]
        fn a_path_that_is_covered_is_below_directories_that_may_be(
            pattern in "[a-z_-]{1,4}\\*?[a-z]{0,2}",
            name in "[a-z][a-z_-]{0,6}",
        ) {
            let names = reserved(&[&pattern]);
            let path = CrateName::new(&name).unwrap().index_path();
            if names.covers(path.as_bytes()) {
                let mut above = path.as_str();
                while let Some((directory, _)) = above.rsplit_once('/') {
                    prop_assert!(names.may_be_below(directory.as_bytes()), "{directory} {path}");
                    above = directory;
                }
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*", path in prop::collection::vec(any::<u8>(), 0..9)) {
            let _ = text.parse::<NamePattern>();
            let names = reserved(&["ab*"]);
            names.covers(&path);
            names.may_be_below(&path);
        }
    }
}
