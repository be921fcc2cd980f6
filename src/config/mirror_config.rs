//! The configuration of the commands that work on a mirror.

use super::environment::Environment;
use super::job::{self, Job};
use super::load::{self, Flags};
use super::secrets::Secrets;
use super::sections::{Mail, Mirror, Network, Policy, Private, Upstream};
use super::settings::Settings;
use super::{mail, network};
use crate::error::Result;
use crate::index::ReservedNames;

/// Everything that a command on a mirror needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the index comes from (`upstream:`).
    pub upstream: Upstream,
    /// Where the index goes (`mirror:`).
    pub mirror: Mirror,
    /// The names that are never taken from upstream (`policy.reserved`, `private.names`).
    pub reserved: ReservedNames,
    /// Time limits and retries (`network:`).
    pub network: Network,
    /// The mails that tell a person of failures (`mail:`).
    pub mail: Mail,
    /// The CI job around the process (GitLab's predefined variables).
    pub job: Job,
    /// What comes from the environment only.
    pub secrets: Secrets,
}

impl Config {
    /// Reads the configuration: flags over variables over the file over defaults.
    ///
    /// # Errors
    /// `config`, naming the key, and the flag, the variable, or the file with line and column.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self> {
        Self::from_settings(&load::load(flags, environment)?.settings, environment)
    }

    pub(super) fn from_settings(settings: &Settings, environment: &Environment) -> Result<Self> {
        Ok(Self {
            upstream: Upstream::from_settings(settings)?,
            mirror: Mirror::from_settings(settings)?,
            reserved: reserved(
                &Policy::from_settings(settings)?,
                &Private::from_settings(settings)?,
            ),
            network: network::read(settings, environment)?,
            mail: mail::read(settings)?,
            job: job::job(environment),
            secrets: Secrets::from_environment(environment)?,
        })
    }

    /// Returns the text without any secret of this configuration: a server may have repeated one in its answer.
    pub fn scrub(&self, text: &str) -> String {
        self.secrets
            .scrub(&[&self.upstream.url, &self.mirror.url], text)
    }
}

/// Returns the names that are never taken from upstream.
pub(super) fn reserved(policy: &Policy, private: &Private) -> ReservedNames {
    let names = policy.reserved.iter().chain(&private.names);
    ReservedNames::new(names.cloned().collect())
}
