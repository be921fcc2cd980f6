//! The configuration: flag over variable over file over default. The only reader of the environment and of files.
//!
//! `sections` holds the table of keys; everything else here is driven by it.

mod environment;
mod file;
mod job;
mod keys;
mod mail;
mod remotes;
mod secrets;
mod sections;
mod serve;
#[cfg(test)]
mod tests;
mod text_file;
mod trigger;
mod values;

use std::path::{Path, PathBuf};

use tracing::warn;

use crate::error::{Error, Kind, Result};
use keys::Settings;

pub use environment::Environment;
pub use job::Job;
pub use mail::{Mailbox, Route, SmtpServer, SmtpTls};
pub use secrets::{JobToken, Secrets};
pub use sections::{Mail, Mirror, Network, Serve, Trigger, Upstream};
pub use serve::{AccessLog, Downloads, IndexSource, OfflineIndex, ServeConfig, StoreUrl, Tls};
pub use trigger::{Rhythm, TriggerConfig};
pub use values::History;

/// Everything that a command needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the index comes from (`upstream:`).
    pub upstream: Upstream,
    /// Where the index goes (`mirror:`).
    pub mirror: Mirror,
    /// Time limits and retries (`network:`).
    pub network: Network,
    /// The mails that tell a person of failures (`mail:`).
    pub mail: Mail,
    /// The CI job around the process (GitLab's predefined variables).
    pub job: Job,
    /// What comes from the environment only.
    pub secrets: Secrets,
}

/// What the command line says about the configuration; `None` where it says nothing.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the file to read instead of `FERRY_CONFIG` or `./ferry.yml`.
    pub config: Option<PathBuf>,
    /// `--upstream`: `upstream.url`.
    pub upstream: Option<String>,
    /// `--mirror`: `mirror.url`.
    pub mirror: Option<String>,
    /// `--dl`: `mirror.dl`.
    pub dl: Option<String>,
    /// `--api`: `mirror.api`.
    pub api: Option<String>,
    /// `--history`: `mirror.history`.
    pub history: Option<History>,
}

/// A flag, the path of its key, and its value.
type Flag = (&'static str, &'static str, fn(&Flags) -> Option<&str>);

const FLAGS: [Flag; 5] = [
    ("--upstream", "upstream.url", |flags| {
        flags.upstream.as_deref()
    }),
    ("--mirror", "mirror.url", |flags| flags.mirror.as_deref()),
    ("--dl", "mirror.dl", |flags| flags.dl.as_deref()),
    ("--api", "mirror.api", |flags| flags.api.as_deref()),
    ("--history", "mirror.history", |flags| {
        flags.history.map(History::name)
    }),
];

impl Config {
    /// Reads the configuration: flags over variables over the file over defaults.
    ///
    /// Fails with [`Kind::Config`], naming the flag, the variable, or the file with line and column.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self> {
        Self::of(&given(flags, environment)?, environment)
    }

    fn of(settings: &Settings, environment: &Environment) -> Result<Self> {
        Ok(Self {
            upstream: Upstream::from_settings(settings)?,
            mirror: Mirror::from_settings(settings)?,
            network: network(settings, environment)?,
            mail: checked_mail(settings)?,
            job: job::job(environment),
            secrets: Secrets::from_environment(environment)?,
        })
    }
}

/// Returns what is given: flags over variables over the file.
fn given(flags: &Flags, environment: &Environment) -> Result<Settings> {
    let mut settings = Settings::default();
    if let Some(path) = locate(flags, environment)? {
        settings.read_file(&path)?;
    }
    settings.read_variables(environment)?;
    for (flag, path, value_in) in FLAGS {
        if let Some(text) = value_in(flags) {
            settings.read_flag(flag, path, text)?;
        }
    }
    Ok(settings)
}

fn network(settings: &Settings, environment: &Environment) -> Result<Network> {
    let mut network = Network::from_settings(settings)?;
    if network.extra_cas.is_none() {
        network.extra_cas = conventional_cas(environment)?;
    }
    Ok(network)
}

/// Reads the mail section, which must make a way for mails or none.
fn checked_mail(settings: &Settings) -> Result<Mail> {
    let mail = Mail::from_settings(settings)?;
    mail.route()?;
    Ok(mail)
}

/// Finds the file: the named one, which must then be there, or `ferry.yml` of the current folder.
fn locate(flags: &Flags, environment: &Environment) -> Result<Option<PathBuf>> {
    let Some(folder) = environment.folder() else {
        return Ok(flags.config.clone());
    };
    if let Some(path) = &flags.config {
        return Ok(Some(folder.join(path)));
    }
    if let Some(path) = environment.text("FERRY_CONFIG")? {
        return Ok(Some(folder.join(path)));
    }
    let usual = folder.join("ferry.yml");
    Ok(usual.exists().then_some(usual))
}

/// Reads the certificates that other tools' variables name. Those variables are not ours, so a bad one only warns.
fn conventional_cas(environment: &Environment) -> Result<Option<String>> {
    let mut texts = Vec::new();
    for name in ["GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "CI_SERVER_TLS_CA_FILE"] {
        let Some(path) = environment.text(name)? else {
            continue;
        };
        match text_file::read_certificates(Path::new(path)) {
            Ok(text) => texts.push(text),
            Err(reason) => warn!("{name} is left aside: {reason}"),
        }
    }
    Ok((!texts.is_empty()).then(|| texts.join("\n")))
}

/// Makes the error of a variable, flag or file that cannot be used.
fn unusable(origin: &str, reason: impl std::fmt::Display) -> Error {
    Error::new(Kind::Config, format!("{origin}: {reason}"))
}
