//! Edits a `.cargo/config.toml`, and keeps everything else in it as it is. Uses toml_edit.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, value};

use super::place::Place;
use super::whole_file::replace;
use super::{Registry, Written};
use crate::error::{Error, Kind, Result};

pub(super) fn empty() -> DocumentMut {
    DocumentMut::new()
}

/// A configuration file of cargo, as it is and as it shall be.
pub(super) struct Edited {
    path: PathBuf,
    before: String,
    /// The new text.
    pub(super) after: String,
}

impl Edited {
    /// Reads the file in a folder, and edits it.
    ///
    /// # Errors
    /// `config` if the folder's project does not exist, or the file cannot be read, is not TOML, or contradicts the edit.
    pub(super) fn of(
        place: &Place,
        edit: impl FnOnce(&mut DocumentMut) -> Result<()>,
    ) -> Result<Self> {
        let path = place_in(&place.folder()?);
        if path.is_symlink() {
            let message = format!("{} is a dangling symbolic link", path.display());
            return Err(Error::new(Kind::Config, message).advise(
                "Create the file that it points to, or remove the link. Nothing was changed.",
            ));
        }
        let before = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| {
                Error::new(Kind::Config, format!("cannot read {}", path.display()))
                    .because(error)
                    .advise("Make the file readable to this user, and save it as UTF-8.")
            })?,
        };
        let (form, text) = Form::of(&before);
        let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            Error::new(
                Kind::Config,
                format!("{} is not valid TOML", path.display()),
            )
            .because(error)
            .advise("Fix the file, then try again. Nothing was changed.")
        })?;
        edit(&mut document).map_err(|error| error.on(path.display()))?;
        let edited = document.to_string();
        let after = match edited == text {
            true => before.clone(),
            false => form.write(&edited),
        };
        Ok(Self {
            path,
            before,
            after,
        })
    }

    /// Writes the file, unless it is as it shall be or this is a dry run.
    ///
    /// # Errors
    /// `config` if it cannot be written.
    pub(super) fn write(self, dry_run: bool) -> Result<Written> {
        let changed = self.after != self.before;
        if changed && !dry_run {
            replace(&self.path, &self.after).map_err(|error| {
                Error::new(
                    Kind::Config,
                    format!("cannot write {}", self.path.display()),
                )
                .because(error)
                .advise("Give this user write access to that directory, and check that its disk is not full.")
            })?;
        }
        Ok(Written {
            path: self.path,
            changed,
            would_be: (changed && dry_run).then_some(self.after),
        })
    }
}

/// Finds the file that cargo reads: `config.toml`, or the older `config` if that exists, even beside the other; symbolic
/// links are followed.
fn place_in(folder: &Path) -> PathBuf {
    let (new, old) = (folder.join("config.toml"), folder.join("config"));
    let path = if old.exists() { old } else { new };
    // Otherwise renaming the new file into place would replace a link, for example into a user's dotfiles.
    fs::canonicalize(&path).unwrap_or(path)
}

/// How a file writes its lines, which toml_edit forgets.
struct Form {
    has_mark: bool,
    has_returns: bool,
}

/// What editors on Windows put before a text in UTF-8.
const MARK: char = '\u{feff}';

impl Form {
    /// Returns how the file writes its lines, and its text without that.
    fn of(written: &str) -> (Self, String) {
        let text = written.strip_prefix(MARK);
        let form = Self {
            has_mark: text.is_some(),
            has_returns: written
                .split('\n')
                .next()
                .is_some_and(|line| line.ends_with('\r')),
        };
        (form, text.unwrap_or(written).replace("\r\n", "\n"))
    }

    fn write(&self, text: &str) -> String {
        let mark = if self.has_mark {
            MARK.to_string()
        } else {
            String::new()
        };
        match self.has_returns {
            true => mark + &text.replace('\n', "\r\n"),
            false => mark + text,
        }
    }
}

/// Adds the registry to a document.
///
/// # Errors
/// `config` if the document contradicts it.
pub(super) fn put(document: &mut DocumentMut, registry: &Registry) -> Result<()> {
    let name = registry.name.as_str();
    let source = table(document.as_table_mut(), &["source", "crates-io"])?;
    match source.get("replace-with").map(Item::as_str) {
        None => {
            source.insert("replace-with", value(name));
        }
        Some(Some(there)) if there == name => {}
        Some(there) => {
            let there = there.unwrap_or("a value that is not a string");
            return Err(Error::new(
                Kind::Config,
                format!("it replaces crates.io with `{there}`, not with `{name}`"),
            )
            .advise(format!("Remove `replace-with` from [source.crates-io], or use `--name {there}`. Nothing was changed.")));
        }
    }
    check_source(document, registry)?;
    // In `[registries]`, and not in `[source]`: so `cargo --registry NAME` knows the server, too.
    let entry = table(document.as_table_mut(), &["registries", name])?;
    set(entry, "index", &registry.index);
    if registry.needs_token {
        // cargo refuses a registry with `auth-required` for which no provider is set. One that is there stays: it may
        // be a keychain.
        let providers = "credential-provider";
        if !entry.contains_key(providers) {
            set(entry, providers, "cargo:token");
        }
    }
    Ok(())
}

/// Checks that no source has the name of the registry: cargo would replace crates.io with that source.
///
/// # Errors
/// `config` if there is one that leads elsewhere.
pub(super) fn check_source(document: &DocumentMut, registry: &Registry) -> Result<()> {
    let name = registry.name.as_str();
    let source = document.get("source").and_then(|sources| sources.get(name));
    let leads_here = |source: &Item| {
        let address = source.get("registry").and_then(Item::as_str);
        address == Some(&registry.index) && source.get("replace-with").is_none()
    };
    if source.is_none_or(leads_here) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Config,
        format!("it has a [source.{name}], which cargo prefers to the registry `{name}`"),
    )
    .advise(format!(
        "Remove [source.{name}], or use `--name` with another name. Nothing was changed."
    )))
}

/// Sets a key; if it has the value already, its form and its comments stay.
fn set(table: &mut dyn toml_edit::TableLike, key: &str, text: &str) {
    if table.get(key).and_then(Item::as_str) == Some(text) {
        return;
    }
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(there) => {
            let decor = there.decor().clone();
            *there = text.into();
            *there.decor_mut() = decor;
        }
        None => {
            table.insert(key, value(text));
        }
    }
}

/// Returns a nested table, created if it is missing.
fn table<'d>(root: &'d mut Table, path: &[&str]) -> Result<&'d mut dyn toml_edit::TableLike> {
    let mut table: &mut dyn toml_edit::TableLike = root;
    for (depth, name) in path.iter().enumerate() {
        let is_last = depth + 1 == path.len();
        let item = table.entry(name).or_insert_with(|| {
            let mut made = Table::new();
            // Only the innermost table gets a header.
            made.set_implicit(!is_last);
            Item::Table(made)
        });
        table = item.as_table_like_mut().ok_or_else(|| {
            let path = path.join(".");
            Error::new(Kind::Config, format!("`{path}` is not a table"))
                .advise("Fix the file, then try again. Nothing was changed.")
        })?;
    }
    Ok(table)
}
