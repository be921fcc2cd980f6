//! Knows which paths are the mirror's own (`mirror.keep`).

use globset::{Candidate, Glob, GlobBuilder, GlobMatcher};

use crate::error::{Error, Kind, Result};

/// The paths that stay as the mirror has them, absence included, whatever upstream does.
///
/// Globs are over the whole path from the root; `*` and `?` stop at a `/`, `**` does not. A glob that matches a directory
/// keeps everything below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    /// As it is written.
    text: String,
    whole: GlobMatcher,
    /// The glob's parts between slashes, to tell which directories lead to a match.
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Name(GlobMatcher),
    /// Anything may follow: `**`, or a part of a pattern that spans slashes, such as `{a/b,c}`.
    Anything,
}

impl Keep {
    /// Compiles the globs of `mirror.keep`.
    ///
    /// A slash at either end is dropped: `/my/pr/` is the directory `my/pr`.
    ///
    /// # Errors
    /// [`Kind::Config`], naming the glob, where it is empty or malformed.
    pub fn new<S: AsRef<str>>(globs: &[S]) -> Result<Self> {
        let patterns = globs.iter().map(|glob| Pattern::new(glob.as_ref()));
        Ok(Self {
            patterns: patterns.collect::<Result<_>>()?,
        })
    }

    /// Says whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Says whether the path, or a directory above it, is kept.
    pub fn covers(&self, path: &[u8]) -> bool {
        self.find(path).is_some()
    }

    /// Returns the glob that keeps the path, or a directory above it, as it is written.
    pub fn find(&self, path: &[u8]) -> Option<&str> {
        prefixes(path).find_map(|prefix| {
            let candidate = Candidate::from_bytes(prefix);
            let mut patterns = self.patterns.iter();
            let found = patterns.find(|pattern| pattern.whole.is_match_candidate(&candidate));
            found.map(|pattern| pattern.text.as_str())
        })
    }

    /// Says whether a path below the directory may be kept. May say yes for one that is not, never no for one that is.
    pub fn may_match_below(&self, directory: &[u8]) -> bool {
        self.patterns
            .iter()
            .any(|pattern| pattern.leads_below(directory))
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self> {
        let trimmed = text.trim_matches('/');
        if trimmed.is_empty() {
            return Err(
                Error::new(Kind::Config, format!("mirror.keep: {text:?} names no path"))
                    .advise("Name a path or a glob such as `ac/me/acme-*`, or remove the entry."),
            );
        }
        let whole = compile(trimmed).map_err(|error| {
            Error::new(Kind::Config, format!("mirror.keep: {text:?} is not a glob"))
                .because(error)
                .advise(
                    "Use `*`, `?`, `**`, `[a-z]` and `{a,b}`, and a `\\` before a character that stands for itself.",
                )
        })?;
        let steps = trimmed.split('/').map(|part| match compile(part) {
            Ok(glob) if part != "**" => Step::Name(glob.compile_matcher()),
            _ => Step::Anything,
        });
        Ok(Self {
            text: text.to_owned(),
            whole: whole.compile_matcher(),
            steps: steps.collect(),
        })
    }

    fn leads_below(&self, directory: &[u8]) -> bool {
        let mut steps = self.steps.iter();
        for name in directory.split(|byte| *byte == b'/') {
            match steps.next() {
                Some(Step::Anything) => return true,
                Some(Step::Name(glob)) if glob.is_match_candidate(&Candidate::from_bytes(name)) => {
                }
                _ => return false,
            }
        }
        steps.next().is_some()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

fn compile(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text)
        .literal_separator(true)
        // globset's default depends on the platform.
        .backslash_escape(true)
        .build()
}

/// Lists the path and the directories above it, shortest first.
pub fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let ends = slashes.map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn keep(glob: &str) -> Keep {
        Keep::new(&[glob]).unwrap()
    }

    #[test]
    fn a_star_stops_at_a_slash_and_two_do_not() {
        assert!(keep("my/*").covers(b"my/x"));
        assert!(!keep("my*").covers(b"other/my"));
        assert!(!keep("m*r").covers(b"my/pr"));
        assert!(keep("my/**/x").covers(b"my/pr/deep/x"));
        assert!(keep("**/x").covers(b"x"));
    }

    #[test]
    fn a_glob_that_matches_a_directory_keeps_everything_below_it() {
        assert!(keep("my/pr/").covers(b"my/pr/my-private"));
        assert!(keep("/my").covers(b"my/pr/my-private"));
        assert!(!keep("my/pr").covers(b"my/prx"));
    }

    #[test]
    fn only_directories_on_the_way_to_a_match_lead_below() {
        let keep = Keep::new(&["my/pr/*", "a?/b"]).unwrap();
        assert!(keep.may_match_below(b"my"));
        assert!(keep.may_match_below(b"my/pr"));
        assert!(keep.may_match_below(b"ab"));
        assert!(!keep.may_match_below(b"my/other"));
        assert!(!keep.may_match_below(b"my/pr/x"));
        assert!(!keep.may_match_below(b"se"));
        assert!(!Keep::default().may_match_below(b"my"));
    }

    #[test]
    fn globs_whose_parts_depend_on_each_other_lead_everywhere_below() {
        assert!(keep("**/x").may_match_below(b"any/where"));
        assert!(keep("my/**").may_match_below(b"my/a/b"));
        assert!(!keep("my/**").may_match_below(b"other"));
        assert!(keep("{my/pr,ab}/x").covers(b"my/pr/x"));
        assert!(keep("{my/pr,ab}/x").may_match_below(b"my/pr"));
    }

    #[test]
    fn a_malformed_glob_is_a_configuration_error_that_names_it() {
        for glob in ["my/[", "{a", "", "/"] {
            let error = Keep::new(&[glob]).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.to_string().contains(&format!("{glob:?}")), "{error}");
        }
    }
}
