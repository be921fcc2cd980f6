//! Reads `Cargo.lock`. Uses cargo-lock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_lock::{Checksum as LockChecksum, Lockfile, Package};

use super::own_sources::OwnSources;
use crate::error::{Error, Kind, Result};
use crate::guarded::guarded;
use crate::index::{Checksum, CrateName, CrateVersion};

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
    pub other_sources: Vec<String>,
    /// What these are, as the lockfiles write them.
    pub others: BTreeSet<String>,
}

/// Reads lockfiles.
///
/// # Errors
/// `config`, with the path.
pub fn read_all(paths: &[PathBuf], own: &OwnSources) -> Result<Locks> {
    let mut locks = Locks::default();
    for path in paths {
        read(path, own, &mut locks)?;
    }
    locks.other_sources.sort();
    locks.other_sources.dedup();
    Ok(locks)
}

fn read(path: &Path, own: &OwnSources, locks: &mut Locks) -> Result<()> {
    let unreadable = || {
        Error::new(
            Kind::Config,
            format!("cannot read the lockfile {}", path.display()),
        )
        .advise("Name a Cargo.lock as cargo writes it.")
    };
    // Not `Lockfile::load`, which tells only the kind of an I/O error.
    let text = std::fs::read_to_string(path).map_err(|error| unreadable().because(error))?;
    // cargo-lock panics at a checksum of 64 bytes that are not ASCII.
    let parsed =
        guarded(|| text.parse::<Lockfile>()).map_err(|panic| unreadable().because(panic))?;
    let lockfile = parsed.map_err(|error| unreadable().because(error))?;
    for package in lockfile.packages {
        let Some(source) = &package.source else {
            // A member of the workspace, or a path dependency.
            continue;
        };
        // Other sources have an index of their own, whose checksums the mirror does not know.
        match own.contain(source) {
            true => locks
                .packages
                .push(locked(&package).map_err(|why| unreadable().because(why))?),
            false => {
                let name = format!("{} {}", package.name, package.version);
                locks.other_sources.push(name);
                // Without the commit of a git repository.
                let source = source.with_precise(None).to_string();
                locks.others.insert(source);
            }
        }
    }
    Ok(())
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
