//! The configuration of the trigger helper, which does not need the address of a mirror.

use secrecy::SecretString;

use super::environment::Environment;
use super::load::{self, Flags};
use super::mirror_config::Config;
use super::secrets::Secrets;
use super::sections::{Mail, Network, Trigger};
use super::settings::{Origins, Settings};
use super::{mail, network};
use crate::error::{Error, Kind, Result};
use crate::git::RemoteUrl;

/// Everything that the trigger helper needs to know.
#[derive(Debug, Clone)]
pub struct TriggerConfig {
    /// Which pipelines are created, and when (`trigger:`).
    pub trigger: Trigger,
    /// Time limits and retries (`network:`).
    pub network: Network,
    /// The mails that tell a person of failures (`mail:`).
    pub mail: Mail,
    /// What comes from the environment only.
    pub secrets: Secrets,
    /// Both repositories, where `mirror.url` is given: without it neither can be polled.
    pub repositories: Option<Config>,
    /// Where the values come from.
    pub origins: Origins,
}

impl TriggerConfig {
    /// Reads the configuration as [`Config::load`] does; `trigger.project` is needed, `mirror.url` is not.
    ///
    /// # Errors
    /// `config`, naming the key, and the flag, the variable, or the file with line and column.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self> {
        Self::from_settings(&load::load(flags, environment)?.settings, environment)
    }

    pub(super) fn from_settings(settings: &Settings, environment: &Environment) -> Result<Self> {
        let repositories = match settings.given("mirror.url") {
            Some(_) => Some(Config::from_settings(settings, environment)?),
            None => None,
        };
        Ok(Self {
            trigger: Trigger::from_settings(settings)?,
            network: network::read(settings, environment)?,
            mail: mail::read(settings)?,
            secrets: Secrets::from_environment(environment)?,
            repositories,
            origins: settings.origins(),
        })
    }

    /// Returns the token that creates pipelines.
    ///
    /// # Errors
    /// `config` where it is not set.
    pub fn gitlab_token(&self) -> Result<&SecretString> {
        self.secrets.gitlab_trigger_token.as_ref().ok_or_else(|| {
            Error::new(Kind::Config, "GITLAB_TRIGGER_TOKEN is not set").advise(
                "Make one in the project: Settings, CI/CD, Pipeline trigger tokens; it begins with glptt-.",
            )
        })
    }

    /// Returns both repositories.
    ///
    /// # Errors
    /// `config` where `mirror.url` is not set; `what` names what needs it.
    pub fn repositories(&self, what: &str) -> Result<&Config> {
        self.repositories.as_ref().ok_or_else(|| {
            Error::new(
                Kind::Config,
                format!("mirror.url is not set, and {what} needs it"),
            )
            .advise("Set it by the variable FERRY_MIRROR_URL, or the key mirror.url of ferry.yml.")
        })
    }

    /// Refuses an endpoint that others can reach and anybody may use.
    ///
    /// # Errors
    /// `config` where `trigger.listen` is not loopback and there is no token.
    pub fn check_endpoint(&self) -> Result<()> {
        let listen = self.trigger.listen;
        // Whoever may ask for a pipeline spends the project's compute minutes.
        if listen.ip().is_loopback() || self.secrets.trigger_token.is_some() {
            return Ok(());
        }
        let message =
            format!("other machines can reach {listen}, and FERRY_TRIGGER_TOKEN is not set");
        let error = Error::new(Kind::Config, message).advise(
            "Set FERRY_TRIGGER_TOKEN to a long random text, or listen on 127.0.0.1. Let a proxy in front speak TLS.",
        );
        Err(self.origins.blame("trigger.listen", error))
    }

    /// Returns the text without any secret of this configuration.
    pub fn scrub(&self, text: &str) -> String {
        let repositories = self.repositories.iter();
        let urls: Vec<&RemoteUrl> = repositories
            .flat_map(|config| [&config.upstream.url, &config.mirror.url])
            .collect();
        self.secrets.scrub(&urls, text)
    }
}
