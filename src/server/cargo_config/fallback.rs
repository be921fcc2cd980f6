//! `cargo-config --fallback`: prepares cargo's configuration for a `probe` that switches between crates.io and the mirror.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use semver::Version;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;
use tracing::warn;

use super::edit::Edited;
use super::switch::{self, Switch};
use super::{Index, Options, Place, Registry, edit};
use crate::config::{Origin, ServeConfig};
use crate::error::{Error, Kind, Result};
use crate::server::probe;

/// The first cargo that includes a file which may be missing.
const FIRST_CARGO: Version = Version::new(1, 94, 0);
/// How long `cargo --version` may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Which of the two cargo takes while both answer, and which while the first is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// crates.io first; while it is down, the mirror.
    Mirror,
    /// The mirror first; while it is down, crates.io.
    CratesIo,
}

/// What was prepared.
#[derive(Debug, Clone, Serialize)]
pub struct FallbackReport {
    /// The line that includes the file, in TOML.
    pub include: String,
    /// What the file says while it is there, in TOML.
    pub snippet: String,
    /// The file that is there or not; `None` where nothing is written.
    pub switch: Option<PathBuf>,
    /// The configuration file that includes it; in a dry run, that would.
    pub written: Option<PathBuf>,
    /// Whether the configuration file was changed, or would be.
    pub changed: bool,
    /// In a dry run, the text of the file if it would be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_be: Option<String>,
    /// What cargo takes while the other is down.
    pub fallback: Fallback,
    /// How `probe` is called.
    pub probe: String,
}

/// Makes the configuration include the file that `probe` makes and removes.
///
/// `cargo` are the variables that cargo is started with, to ask its version.
///
/// # Errors
/// `config` if cargo is too old, or the configuration contradicts; `permission` if crates.io must not replace the mirror;
/// `network` or `server` if the mirror does not say whether it may.
pub async fn set_up(
    config: &ServeConfig,
    options: &Options,
    fallback: Fallback,
    cargo: &[(String, OsString)],
) -> Result<FallbackReport> {
    if options.index == Index::Git {
        return Err(
            Error::new(Kind::Usage, "`--fallback` works with the sparse index only")
                .advise("Leave out `--index git`."),
        );
    }
    let registry = Registry::of(config, options)?;
    probe::check_apart(config)?;
    if fallback == Fallback::CratesIo {
        probe::check_open(config, &registry.name).await?;
    }
    let snippet = registry.snippet();
    let mut report = FallbackReport {
        include: include_line(&registry)?,
        snippet: snippet.clone(),
        switch: None,
        written: None,
        changed: false,
        would_be: None,
        fallback,
        probe: probe_command(config, options, fallback),
    };
    let Some(write) = &options.write else {
        return Ok(report);
    };
    check_cargo(&write.place, cargo).await?;
    let switch = Switch::new(write.place.folder()?, &registry.name);
    let edited = Edited::of(&write.place, |document| {
        switch::include(document, &switch, &registry)
    })?;
    // Before the configuration changes: a file that is somebody else's ends it.
    let is_on = switch.is_on()?;
    let written = edited.write(write.dry_run)?;
    if !write.dry_run {
        probe::note(config, &switch, fallback).await?;
        if fallback == Fallback::CratesIo && !is_on {
            switch.turn_on(&snippet)?;
        }
    }
    report.switch = Some(switch.path());
    report.written = Some(written.path);
    report.changed = written.changed;
    report.would_be = written.would_be;
    Ok(report)
}

fn include_line(registry: &Registry) -> Result<String> {
    let mut document = edit::empty();
    let switch = Switch::new(PathBuf::new(), &registry.name);
    switch::include(&mut document, &switch, registry)?;
    Ok(document.to_string().trim_end().to_owned())
}

/// Returns the command that switches, with the flags that it needs.
fn probe_command(config: &ServeConfig, options: &Options, fallback: Fallback) -> String {
    let place = match options.write.as_ref().map(|write| &write.place) {
        Some(Place::Home(_)) => "--home".to_owned(),
        Some(Place::Project(project)) => {
            let project = project.display().to_string();
            format!("--project {}", crate::shown::shell_word(&project))
        }
        None => "--project DIRECTORY".to_owned(),
    };
    let name = match options.name.as_str() {
        "mirror" => String::new(),
        name => format!(" --name {name}"),
    };
    let fallback = match fallback {
        Fallback::Mirror => "",
        Fallback::CratesIo => " --fallback crates-io",
    };
    // What came by a flag is not there for the next command, which would look at another mirror.
    let address = match config.origins.of("serve.public_url") {
        Origin::Flag(_) => format!(" --public-url {}", config.public_url()),
        _ => String::new(),
    };
    format!("crates-ferry probe {place}{name}{fallback}{address}")
}

/// Refuses a cargo that would ignore the file, and so would never be switched.
async fn check_cargo(place: &Place, variables: &[(String, OsString)]) -> Result<()> {
    let folder = match place {
        // Its `rust-toolchain.toml` may choose another cargo.
        Place::Project(project) => project.clone(),
        Place::Home(_) => PathBuf::from("."),
    };
    let mut command = Command::new("cargo");
    command
        .arg("--version")
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (name, value)))
        // Asking for a version must not download a toolchain.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = timeout(LIMIT, command.output()).await;
    let said = match &ended {
        Ok(Ok(output)) if output.status.success() => String::from_utf8_lossy(&output.stdout),
        _ => "".into(),
    };
    match version_in(&said) {
        // A machine that prepares a configuration for others may have none.
        None => {
            warn!(
                "the version of cargo is not known here. The fallback works with cargo {FIRST_CARGO} and newer: an older one \
                 ignores the `include`."
            );
            Ok(())
        }
        Some(version) if version < FIRST_CARGO => Err(Error::new(
            Kind::Config,
            format!("cargo {version} cannot include a file that may be missing"),
        )
        .advise(format!(
            "Use cargo {FIRST_CARGO} or newer, or point cargo at the mirror for good with `crates-ferry cargo-config --write`. \
             Nothing was changed."
        ))),
        Some(_) => Ok(()),
    }
}

/// Reads the version of `cargo 1.95.0 (f2d3ce0bd 2026-03-21)`; a nightly counts as its release.
fn version_in(said: &str) -> Option<Version> {
    let version = said.strip_prefix("cargo ")?.split_whitespace().next()?;
    let version: Version = version.parse().ok()?;
    Some(Version::new(version.major, version.minor, version.patch))
}

impl fmt::Display for FallbackReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(path), Some(switch)) = (&self.written, &self.switch) else {
            return f.write_str(&self.include);
        };
        match &self.would_be {
            Some(text) => write!(f, "would write {}:\n\n{}", path.display(), text.trim_end())?,
            None if self.changed => write!(f, "wrote {}", path.display())?,
            None => write!(f, "{} is up to date", path.display())?,
        }
        let (when, otherwise) = match self.fallback {
            Fallback::Mirror => ("while crates.io is down", "afterwards"),
            Fallback::CratesIo => ("while the mirror answers", "while that is down"),
        };
        write!(
            f,
            "\n\n`{}` makes {} {when}, and removes it {otherwise}. It says:\n\n{}",
            self.probe,
            switch.display(),
            self.snippet.trim_end()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_cargo_is_read() {
        let read = |said| version_in(said).map(|version| version.to_string());
        let wanted = |version: &str| Some(version.to_owned());
        assert_eq!(
            read("cargo 1.95.0 (f2d3ce0bd 2026-03-21)\n"),
            wanted("1.95.0")
        );
        assert_eq!(read("cargo 1.94.0-nightly (a b)"), wanted("1.94.0"));
        assert_eq!(read("error: no such command"), None);
        assert_eq!(read("cargo"), None);
    }
}
