//! The file that cargo's configuration includes where it is there: with it cargo takes the mirror, without it crates.io.
//!
//! cargo has one `replace-with` and no second source for when the first is down. But since 1.94 it includes a file that may be
//! missing, so that making and removing that file is a switch, in one step each.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, InlineTable, Item, Value, value};

use super::whole_file::replace;
use super::{Registry, edit};
use crate::error::{Error, Kind, Result};

/// How the file begins: what begins otherwise is somebody else's, and stays.
const HEAD: &str =
    "# Made by `crates-ferry probe`, which removes it again. Not for version control.\n";

/// The file, and what lies beside it.
#[derive(Debug, Clone)]
pub(in crate::server) struct Switch {
    folder: PathBuf,
    name: String,
}

impl Switch {
    /// Names the files of a registry in the folder of cargo's configuration.
    pub(in crate::server) fn new(folder: PathBuf, registry: &str) -> Self {
        let name = format!("{registry}-fallback");
        Self { folder, name }
    }

    /// Returns the name of the file, as the configuration includes it.
    pub(super) fn file_name(&self) -> String {
        // cargo includes no other ending.
        format!("{}.toml", self.name)
    }

    /// Returns the file.
    pub(in crate::server) fn path(&self) -> PathBuf {
        self.folder.join(self.file_name())
    }

    /// Returns a file beside it, with this ending.
    pub(in crate::server) fn beside(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// Says whether the file is there, and so cargo takes the mirror.
    ///
    /// # Errors
    /// `config` if it cannot be read, or is not ours.
    pub(in crate::server) fn is_on(&self) -> Result<bool> {
        let path = self.path();
        match fs::read_to_string(&path) {
            Ok(text) if text.starts_with(HEAD) => Ok(true),
            Ok(_) => Err(Error::new(
                Kind::Config,
                format!("{} was not made by crates-ferry", path.display()),
            )
            .advise("Move it away, or choose another name with `--name`. Nothing was changed.")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("read", &path, error)),
        }
    }

    /// Returns the address of the mirror that the file names for a registry; `None` if it is not there, or names none.
    pub(in crate::server) fn mirror(&self, registry: &str) -> Option<String> {
        let text = fs::read_to_string(self.path()).ok()?;
        let document: DocumentMut = text.parse().ok()?;
        let index = document.get("registries")?.get(registry)?.get("index")?;
        let address = index.as_str()?.strip_prefix("sparse+")?;
        Some(address.strip_suffix("/index/")?.to_owned())
    }

    /// Makes cargo take the mirror.
    ///
    /// # Errors
    /// `config` if the file cannot be written.
    pub(in crate::server) fn turn_on(&self, snippet: &str) -> Result<()> {
        let path = self.path();
        replace(&path, &format!("{HEAD}{snippet}")).map_err(|error| failed("write", &path, error))
    }

    /// Makes cargo take crates.io.
    ///
    /// # Errors
    /// `config` if the file cannot be removed.
    pub(in crate::server) fn turn_off(&self) -> Result<()> {
        let path = self.path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed("remove", &path, error))
            }
            _ => Ok(()),
        }
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Config, format!("cannot {what} {}", path.display()))
        .because(error)
        .advise(
            "Give this user write access to that file and its directory, and check that the disk is not full.",
        )
}

/// Makes a configuration include the switch's file.
///
/// # Errors
/// `config` if the configuration says something that cargo prefers to the file's lines.
pub(super) fn include(
    document: &mut DocumentMut,
    switch: &Switch,
    registry: &Registry,
) -> Result<()> {
    check(document, registry)?;
    let file = switch.file_name();
    let mut wanted = InlineTable::new();
    wanted.insert("path", file.as_str().into());
    wanted.insert("optional", true.into());
    match document
        .entry("include")
        .or_insert_with(|| value(Array::new()))
    {
        Item::Value(Value::Array(list)) => {
            let at = list.iter().position(|entry| names(entry, &file));
            match at {
                Some(at) if is_optional(list.get(at)) => {}
                Some(at) => {
                    list.replace(at, wanted);
                }
                // Of two files that say the same key, cargo takes the later one.
                None => list.push(wanted),
            }
            Ok(())
        }
        Item::ArrayOfTables(list) => {
            let is_ours =
                |table: &toml_edit::Table| table.get("path").and_then(Item::as_str) == Some(&file);
            if !list.iter().any(is_ours) {
                list.push(wanted.into_table());
            }
            Ok(())
        }
        _ => Err(Error::new(Kind::Config, "its `include` is not a list")
            .advise("Write it as `include = [\"…\"]`, then try again. Nothing was changed.")),
    }
}

/// Says whether the configuration includes the switch's file.
pub(super) fn is_included(document: &DocumentMut, switch: &Switch) -> bool {
    let file = switch.file_name();
    match document.get("include") {
        Some(Item::Value(Value::Array(list))) => list.iter().any(|entry| names(entry, &file)),
        Some(Item::ArrayOfTables(list)) => list
            .iter()
            .any(|table| table.get("path").and_then(Item::as_str) == Some(&file)),
        _ => false,
    }
}

fn names(entry: &Value, file: &str) -> bool {
    let path = match entry {
        Value::InlineTable(table) => table.get("path").and_then(Value::as_str),
        entry => entry.as_str(),
    };
    path == Some(file)
}

fn is_optional(entry: Option<&Value>) -> bool {
    let table = entry.and_then(Value::as_inline_table);
    let optional = table.and_then(|table| table.get("optional"));
    optional.and_then(Value::as_bool) == Some(true)
}

/// Checks that the configuration itself does not say what the file is to say: cargo would prefer that.
///
/// # Errors
/// `config` if it does.
fn check(document: &DocumentMut, registry: &Registry) -> Result<()> {
    let at = |path: [&str; 3]| {
        let found = document.get(path[0])?.get(path[1])?.get(path[2])?;
        Some(found.as_str().unwrap_or("a value that is not a string"))
    };
    if let Some(there) = at(["source", "crates-io", "replace-with"]) {
        let message = format!("it replaces crates.io with `{there}` for good");
        return Err(Error::new(Kind::Config, message).advise(
            "Remove `replace-with` from [source.crates-io]: cargo prefers it to what is included. Nothing was changed.",
        ));
    }
    edit::check_source(document, registry)?;
    let name = registry.name.as_str();
    match at(["registries", name, "index"]) {
        Some(there) if there != registry.index => Err(Error::new(
            Kind::Config,
            format!("its registry `{name}` is {there}, not {}", registry.index),
        )
        .advise(format!(
            "Remove [registries.{name}], or use `--name` with another name. Nothing was changed."
        ))),
        _ => Ok(()),
    }
}
