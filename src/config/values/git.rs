//! What git has names for: branches, authors, globs of paths, and how much history is carried.

use crate::git::is_branch_name;
use crate::git::objects::Author;

/// How much of upstream's history the mirror carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum History {
    /// All of it: upstream's tip is a parent of the mirror's commit.
    Merge,
    /// None of it: a stand-in with upstream's tree is the parent.
    Snapshot,
}

impl History {
    /// Returns the word that the configuration and the command line use, for example `merge`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Reads `merge` or `snapshot`.
pub(in super::super) fn history(text: &str) -> Result<History, String> {
    let known = [History::Merge, History::Snapshot];
    known
        .into_iter()
        .find(|history| history.name() == text)
        .ok_or_else(|| format!("expected merge or snapshot, found `{text}`"))
}

/// Reads the name of a branch; refuses a full ref name.
pub(in super::super) fn branch(text: &str) -> Result<String, String> {
    // git would accept it, and look for `refs/heads/refs/heads/…`.
    if let Some(name) = text.strip_prefix("refs/heads/") {
        let name = name.escape_debug();
        return Err(format!(
            "expected the name of a branch, such as `{name}`: leave out `refs/heads/`"
        ));
    }
    match is_branch_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected the name of a branch, found `{}`",
            text.escape_debug()
        )),
    }
}

/// Reads the name of a branch or tag, with or without `refs/heads/` or `refs/tags/`.
pub(in super::super) fn reference(text: &str) -> Result<String, String> {
    let name = text
        .strip_prefix("refs/heads/")
        .or_else(|| text.strip_prefix("refs/tags/"));
    branch(name.unwrap_or(text)).map_err(|_| {
        format!(
            "expected the name of a branch or tag, found `{}`",
            text.escape_debug()
        )
    })
}

/// Reads `Name <address>`.
pub(in super::super) fn author(text: &str) -> Result<Author, String> {
    let read = || {
        let (name, email) = text.trim().strip_suffix('>')?.split_once('<')?;
        let (name, email) = (name.trim_end(), email.trim());
        // In a commit, `<` and `>` enclose the address, and a line break ends the header.
        let bad = |part: &str| part.is_empty() || part.contains(['<', '>']);
        (!text.contains(char::is_control) && !bad(name) && !bad(email)).then(|| Author {
            name: name.to_owned(),
            email: email.to_owned(),
        })
    };
    read().ok_or_else(|| format!("expected `Name <address>`, found `{}`", text.escape_debug()))
}

/// Reads a glob of paths.
pub(in super::super) fn glob(text: &str) -> Result<String, String> {
    let expected = "expected a path or a glob such as ac/me/acme-*";
    if text.is_empty() || text.contains(char::is_control) {
        return Err(format!("{expected}, found `{}`", text.escape_debug()));
    }
    match globset::Glob::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => Err(format!("{expected}: {}", e.kind())),
    }
}
