//! Reads `Cargo.lock`. Uses cargo-lock.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cargo_lock::{Checksum as LockChecksum, Lockfile, Package};
use tokio::task::spawn_blocking;
use toml_edit::{Document, Item};

use super::own_sources::OwnSources;
use crate::config::ServeConfig;
use crate::error::{Error, Kind, Result};
use crate::guarded::guarded;
use crate::index::{Checksum, CrateName, CrateVersion};

/// The largest lockfile that is read, in bytes: a thousand packages take some 300 KB.
const LARGEST: u64 = 64 << 20;
/// The newest version of the format that cargo-lock reads.
const NEWEST: i64 = 4;
/// How many foreign sources of lockfiles a warning names.
const SHOWN_SOURCES: usize = 3;
const GENERATE: &str = "Restore it from version control. Without one, `cargo generate-lockfile` in its folder makes it again, \
                        of the newest versions.";

/// A package of a lockfile, from crates.io or from the mirror itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Its crate.
    pub name: CrateName,
    /// Its version.
    pub version: CrateVersion,
    /// `None` in lockfiles of version 1, which list checksums under `[metadata]`.
    pub checksum: Option<Checksum>,
}

/// The packages of lockfiles.
#[derive(Debug, Default)]
pub struct Locks {
    /// Packages from crates.io.
    pub packages: Vec<Locked>,
    /// Packages of other registries and of git repositories.
    pub other_sources: BTreeSet<String>,
    /// What these are, as the lockfiles write them.
    pub others: BTreeSet<String>,
    /// How many packages are members of the workspace, or path dependencies.
    pub members: usize,
}

impl Locks {
    /// Adds the packages of a lockfile's text.
    ///
    /// # Errors
    /// `config`, with the path.
    pub fn add(&mut self, path: &Path, text: &str, own: &OwnSources) -> Result<()> {
        let unreadable = || unreadable(path);
        check(text).map_err(|(why, advice)| unreadable().because(why).advise(advice))?;
        // cargo-lock panics at a checksum of 64 bytes that are not ASCII.
        let parsed =
            guarded(|| text.parse::<Lockfile>()).map_err(|panic| unreadable().because(panic))?;
        let lockfile = parsed.map_err(|error| unreadable().because(plain(&error)))?;
        for package in lockfile.packages {
            let Some(source) = &package.source else {
                self.members += 1;
                continue;
            };
            // Other sources have an index of their own, whose checksums the mirror does not know.
            match own.contain(source) {
                true => self
                    .packages
                    .push(locked(&package).map_err(|why| unreadable().because(why))?),
                false => {
                    let name = format!("{} {}", package.name, package.version);
                    self.other_sources.insert(name);
                    // Without the commit of a git repository.
                    let source = source.with_precise(None).to_string();
                    self.others.insert(source);
                }
            }
        }
        Ok(())
    }

    /// Says where packages come from that are not this mirror's, and what to do if they are.
    pub fn from_elsewhere(&self, config: &ServeConfig) -> String {
        let sources = self.others.iter().map(String::as_str);
        let sources = sources.take(SHOWN_SOURCES).collect::<Vec<_>>().join(", ");
        let server = config.public_url();
        format!(
            "from {sources}. If that is this mirror, set serve.public_url (now {server}) or mirror.url to its address there"
        )
    }
}

/// Reads lockfiles.
///
/// # Errors
/// `config`, with the path.
pub async fn read_all(paths: &[PathBuf], own: &OwnSources) -> Result<Locks> {
    let mut locks = Locks::default();
    for path in paths {
        locks.add(path, &text(path).await?, own)?;
    }
    Ok(locks)
}

/// Reads the text of a lockfile; on a thread of its own, since a pipe that nobody writes to never ends.
///
/// # Errors
/// `config`, with the path.
pub async fn text(path: &Path) -> Result<String> {
    let named = path.to_owned();
    let reading = spawn_blocking(move || {
        let mut text = String::new();
        let read = File::open(named)?
            .take(LARGEST + 1)
            .read_to_string(&mut text)?;
        match read as u64 > LARGEST {
            true => Err(io::Error::other("it is larger than 64 MiB")),
            false => Ok(text),
        }
    });
    let read = reading.await.map_err(io::Error::other).flatten();
    read.map_err(|error| unreadable(path).because(error))
}

fn unreadable(path: &Path) -> Error {
    let message = format!("cannot read the lockfile {}", path.display());
    Error::new(Kind::Config, message).advise("Name a Cargo.lock as cargo writes it.")
}

/// Checks what cargo-lock would tell in its own words, or not at all; returns what is wrong and what to do.
fn check(text: &str) -> Result<(), (String, &'static str)> {
    if text.trim().is_empty() {
        return Err(("it is empty".to_owned(), GENERATE));
    }
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| 1 + before.matches('\n').count());
            let message = error.message().replace('\n', ", ");
            return Err((format!("line {line} is not TOML: {message}"), GENERATE));
        }
    };
    match document.get("version").and_then(Item::as_integer) {
        Some(version) if version > NEWEST => Err((
            format!("it has the version {version}, and versions up to {NEWEST} are read"),
            "Update crates-ferry, or let an older cargo write the lockfile.",
        )),
        _ => Ok(()),
    }
}

/// Returns what cargo-lock says: the line and what is wrong there, without the drawing of it between both.
fn plain(error: &cargo_lock::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("parse error: ").unwrap_or(&text);
    let mut lines = text.lines();
    match (lines.next(), lines.next_back()) {
        (Some(place), Some(what)) => match place.split_once(" at ") {
            Some((_, place)) => format!("{place}: {what}"),
            None => format!("{place}: {what}"),
        },
        _ => text.to_owned(),
    }
}

fn locked(package: &Package) -> Result<Locked, String> {
    let checksum = package.checksum.as_ref().map(|checksum| match checksum {
        LockChecksum::Sha256(bytes) => Checksum::from_bytes(*bytes),
    });
    Ok(Locked {
        name: CrateName::new(package.name.as_str()).map_err(|error| error.to_string())?,
        version: CrateVersion::new(&package.version.to_string())?,
        checksum,
    })
}
