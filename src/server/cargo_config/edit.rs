//! Puts the lines into a `.cargo/config.toml`, of which everything else stays as it is. Uses toml_edit.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use toml_edit::{DocumentMut, Item, Table, value};

use super::Registry;
use crate::error::{Error, Kind, Result};

pub(super) fn empty() -> DocumentMut {
    DocumentMut::new()
}

/// Writes the project's file, or leaves it where it says the same already; returns its path and whether it changed.
///
/// # Errors
/// `config` where the project is not there, or the file is no TOML, replaces crates.io by another source, or cannot be written.
pub(super) fn write(project: &Path, registry: &Registry) -> Result<(PathBuf, bool)> {
    if !project.is_dir() {
        let message = format!("{} is no folder", project.display());
        return Err(Error::new(Kind::Config, message)
            .advise("Give --write the folder of a project that is there; nothing was changed."));
    }
    let path = place(project);
    let failed = |error: io::Error| {
        Error::new(Kind::Config, format!("cannot write {}", path.display())).because(error)
    };
    let before = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.map_err(failed)?,
    };
    let mut document: DocumentMut = before.parse().map_err(|error: toml_edit::TomlError| {
        Error::new(Kind::Config, format!("{} is no TOML", path.display()))
            .because(error)
            .advise("Mend the file; nothing was changed.")
    })?;
    put(&mut document, registry).map_err(|error| error.on(path.display()))?;
    let after = document.to_string();
    if after == before {
        return Ok((path, false));
    }
    replace(&path, &after).map_err(failed)?;
    Ok((path, true))
}

/// Finds the file: `config.toml`, or the older `config` where only that is there; a link leads on.
fn place(project: &Path) -> PathBuf {
    let folder = project.join(".cargo");
    let (new, old) = (folder.join("config.toml"), folder.join("config"));
    let path = if !new.exists() && old.is_file() {
        old
    } else {
        new
    };
    fs::canonicalize(&path).unwrap_or(path)
}

/// Writes the file at once or not at all, with the permissions that it had.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    let permissions = match fs::metadata(path) {
        Ok(about) => about.permissions(),
        Err(_) => std::os::unix::fs::PermissionsExt::from_mode(0o644),
    };
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Puts the lines into a document.
///
/// # Errors
/// `config` where something else stands in their place.
pub(super) fn put(document: &mut DocumentMut, registry: &Registry) -> Result<()> {
    let name = registry.name.as_str();
    let source = table(document.as_table_mut(), &["source", "crates-io"])?;
    match source.get("replace-with").map(Item::as_str) {
        None => {
            source.insert("replace-with", value(name));
        }
        Some(Some(there)) if there == name => {}
        Some(there) => {
            let there = there.unwrap_or("something that is no name");
            return Err(Error::new(
                Kind::Config,
                format!("crates.io is replaced by `{there}` there, not by `{name}`"),
            )
            .advise(format!("Take `replace-with` out of [source.crates-io], or use --name {there}; nothing was changed.")));
        }
    }
    check_source(document, registry)?;
    let entry = table(document.as_table_mut(), &["registries", name])?;
    set(entry, "index", &registry.index);
    if registry.needs_token {
        let providers = "credential-provider";
        if !entry.contains_key(providers) {
            set(entry, providers, "cargo:token");
        }
    }
    Ok(())
}

/// Looks for a source of the registry's name: cargo takes that one, and not the registry, in crates.io's place.
///
/// # Errors
/// `config` where it leads elsewhere.
fn check_source(document: &DocumentMut, registry: &Registry) -> Result<()> {
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
        format!("[source.{name}] is another source there, which cargo takes before the registry `{name}`"),
    )
    .advise(format!(
        "Take [source.{name}] out, or use --name with another name; nothing was changed."
    )))
}

/// Sets a key; one that says the same keeps its form and its comments.
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

/// Returns a table within tables, made where it is missing.
fn table<'d>(root: &'d mut Table, path: &[&str]) -> Result<&'d mut dyn toml_edit::TableLike> {
    let mut table: &mut dyn toml_edit::TableLike = root;
    for (depth, name) in path.iter().enumerate() {
        let is_last = depth + 1 == path.len();
        let item = table.entry(name).or_insert_with(|| {
            let mut made = Table::new();
            // Only the innermost has a head of its own.
            made.set_implicit(!is_last);
            Item::Table(made)
        });
        table = item.as_table_like_mut().ok_or_else(|| {
            let path = path.join(".");
            Error::new(Kind::Config, format!("`{path}` is no table there"))
                .advise("Mend the file; nothing was changed.")
        })?;
    }
    Ok(table)
}
