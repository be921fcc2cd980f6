//! Who owns the private crates: a file of names for each, in the index's repository, so that every change has its commit.
//!
//! ```text
//! .owners/ac/me/acme-core        alice
//!                                group:release
//! .groups/release                bob
//!                                ci
//! ```
//!
//! The names are those of tokens. Lines that are empty or begin with `#` say nothing, and stay.

use super::refusal::Refusal;
use crate::index::CrateName;
use crate::shown::one_line;

/// What comes before the name of a group.
const GROUP: &str = "group:";
/// The most owners that a crate gets by command: whoever is none of them is told all.
pub const MOST: usize = 32;
/// The longest name of an owner, in bytes.
const LONGEST: usize = 100;

/// The owners of a crate, as its file has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owners {
    lines: Vec<String>,
}

impl Owners {
    /// Reads a file.
    pub fn parse(content: &[u8]) -> Self {
        let text = String::from_utf8_lossy(content);
        let lines = text.lines().map(|line| line.trim().to_owned());
        Self {
            lines: lines.collect(),
        }
    }

    /// Returns the owners, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let lines = self.lines.iter().map(String::as_str);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// Returns the groups among them, without what marks them.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.names().filter_map(group)
    }

    /// Says whether this name is listed.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|owner| owner == name)
    }

    /// Adds an owner; says whether that changed anything.
    pub fn add(&mut self, name: &str) -> bool {
        let is_new = !self.has(name);
        if is_new {
            self.lines.push(name.to_owned());
        }
        is_new
    }

    /// Removes an owner; says whether that changed anything.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| line != name);
        self.lines.len() < before
    }

    /// Returns the file.
    pub fn content(&self) -> Vec<u8> {
        let lines = self.lines.iter().map(|line| format!("{line}\n"));
        lines.collect::<String>().into_bytes()
    }
}

/// Returns the name of a group, if an owner is one.
pub fn group(owner: &str) -> Option<&str> {
    owner.strip_prefix(GROUP)
}

/// Returns the path of a crate's file.
pub fn path_of(name: &CrateName) -> String {
    format!(".owners/{}", name.index_path())
}

/// Returns the path of a group's file; `None` for a name that none can have.
pub fn path_of_group(group: &str) -> Option<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let is_one = !group.is_empty() && group.len() <= LONGEST && group.chars().all(is_part);
    is_one.then(|| format!(".groups/{group}"))
}

/// Checks the name of somebody who is to become an owner.
///
/// # Errors
/// What is wrong with it.
pub fn check(name: &str) -> Result<(), Refusal> {
    let wrong = |why: &str| {
        let name = one_line(&name.chars().take(LONGEST).collect::<String>()).into_owned();
        Err(Refusal::invalid(format!(
            "`{name}` cannot be an owner: {why}"
        )))
    };
    if name.is_empty() || name.len() > LONGEST {
        return wrong("an owner is the name of a token, or `group:NAME`");
    }
    if name.starts_with('#') || name.trim() != name || name.contains(char::is_control) {
        return wrong("it would be no line of a file");
    }
    if name.starts_with("github:") {
        return wrong("this registry has groups of its own, `group:NAME`");
    }
    match group(name).map(path_of_group) {
        Some(None) => wrong("a group's name has ASCII letters, digits, `-` and `_`"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_file_keeps_its_comments_and_its_order() {
        let mut owners = Owners::parse(b"# of the core\nalice\n\n  group:release\r\n");
        assert_eq!(
            owners.names().collect::<Vec<_>>(),
            ["alice", "group:release"]
        );
        assert_eq!(owners.groups().collect::<Vec<_>>(), ["release"]);
        assert!(owners.add("bob") && !owners.add("bob"));
        assert!(owners.remove("alice") && !owners.remove("alice"));
        assert!(!owners.has("# of the core"));
        assert_eq!(owners.content(), b"# of the core\n\ngroup:release\nbob\n");
    }

    #[test]
    fn what_would_be_another_line_or_path_is_no_owner() {
        for name in ["alice", "ci/deploy", "group:release", "Zoë"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "#a",
            " a",
            "a\nb",
            "group:",
            "group:../x",
            "github:org:team",
        ] {
            assert!(check(name).is_err(), "{name}");
        }
        let name = CrateName::new("Acme-Core").unwrap();
        assert_eq!(path_of(&name), ".owners/ac/me/acme-core");
    }
}
