//! Reads the text of one value, wherever it was given; a complaint says what was expected.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::text_file;
use crate::git::RemoteUrl;
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

pub(super) fn remote_url(text: &str) -> Result<RemoteUrl, String> {
    text.parse()
        .map_err(|e| format!("expected the address of a repository: {e}"))
}

/// Refuses addresses with a password where a file or a process list would show it.
pub(super) fn refuse_password(text: &str) -> Result<(), String> {
    match Url::parse(text) {
        Ok(url) if url.password().is_some() => Err("the address carries a password, and secrets come from the environment \
             only: leave it out and set FERRY_MIRROR_TOKEN (or give the whole address by its variable)"
            .to_owned()),
        _ => Ok(()),
    }
}

pub(super) fn history(text: &str) -> Result<History, String> {
    let known = [History::Merge, History::Snapshot];
    known
        .into_iter()
        .find(|history| history.name() == text)
        .ok_or_else(|| format!("expected merge or snapshot, found `{text}`"))
}

/// Follows `git check-ref-format --branch`, but for a whole reference, which git would take for the name of a branch too.
pub(super) fn branch(text: &str) -> Result<String, String> {
    if let Some(name) = text.strip_prefix("refs/heads/") {
        let name = name.escape_debug();
        return Err(format!(
            "expected the name of a branch, such as `{name}`: leave `refs/heads/` away"
        ));
    }
    let strange = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let bad = text.starts_with('-')
        || text == "HEAD"
        || text.ends_with('.')
        || text.contains("..")
        || text.contains("@{")
        || text.contains(strange)
        || text.split('/').any(bad_part);
    match bad {
        true => Err(format!(
            "expected the name of a branch, found `{}`",
            text.escape_debug()
        )),
        false => Ok(text.to_owned()),
    }
}

/// An address for cargo, passed on as it is; `dl` may carry cargo's markers.
pub(super) fn web_address(text: &str) -> Result<String, String> {
    let expected = || "expected an address that begins with https:// or http://".to_owned();
    let filled = [
        "{crate}",
        "{version}",
        "{prefix}",
        "{lowerprefix}",
        "{sha256-checksum}",
    ]
    .iter()
    .fold(text.to_owned(), |filled, marker| {
        filled.replace(marker, "x")
    });
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(format!("{} without white space", expected()));
    }
    let url = Url::parse(&filled).map_err(|e| format!("{}: {e}", expected()))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(expected());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address is published in the mirror's config.json and must not carry a user or a password".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn author(text: &str) -> Result<Author, String> {
    let read = || {
        let (name, email) = text.trim().strip_suffix('>')?.split_once('<')?;
        let (name, email) = (name.trim_end(), email.trim());
        let bad = |part: &str| part.is_empty() || part.contains(['<', '>']);
        (!text.contains(char::is_control) && !bad(name) && !bad(email)).then(|| Author {
            name: name.to_owned(),
            email: email.to_owned(),
        })
    };
    read().ok_or_else(|| format!("expected `Name <address>`, found `{}`", text.escape_debug()))
}

pub(super) fn glob(text: &str) -> Result<String, String> {
    let expected = "expected a path or a glob such as my/pr/*";
    if text.is_empty() || text.contains(char::is_control) {
        return Err(format!("{expected}, found `{}`", text.escape_debug()));
    }
    match globset::Glob::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => Err(format!("{expected}: {e}")),
    }
}

/// Reads per cent as a share of 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let percent = text
        .strip_suffix('%')
        .and_then(|number| number.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("expected 0% to 100%, found `{text}`")),
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("expected a duration of more than nothing, such as 10s or 15m".to_owned()),
        Err(e) => Err(format!(
            "expected a duration such as 10s or 15m, found `{text}` ({e})"
        )),
    }
}

pub(super) fn count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count) if count <= 100 => Ok(count),
        _ => Err(format!(
            "expected a whole number from 0 to 100, found `{text}`"
        )),
    }
}

pub(super) fn certificates(path: &str) -> Result<String, String> {
    text_file::read_certificates(Path::new(path))
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    match text.contains(char::is_control) {
        true => Err(format!("expected a path, found `{}`", text.escape_debug())),
        false => Ok(PathBuf::from(text)),
    }
}
