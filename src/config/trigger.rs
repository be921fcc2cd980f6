//! What the `trigger` section holds, and the configuration of the trigger helper, which may do without a mirror's address.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::sections::{Mail, Network, Trigger};
use super::{Config, Environment, Flags, Secrets, values};
use crate::error::{Error, Kind, Result};
use crate::git::RemoteUrl;

/// Everything that the trigger helper needs to know.
#[derive(Debug, Clone)]
pub struct TriggerConfig {
    /// What is fired, and when (`trigger:`).
    pub trigger: Trigger,
    /// Time limits and retries (`network:`).
    pub network: Network,
    /// The mails that tell a person of failures (`mail:`).
    pub mail: Mail,
    /// What comes from the environment only.
    pub secrets: Secrets,
    /// Both repositories, where `mirror.url` is given: without it nothing can be looked at.
    pub repositories: Option<Config>,
}

impl TriggerConfig {
    /// Reads the configuration as [`Config::load`] does; `trigger.project` is needed, `mirror.url` is not.
    ///
    /// Fails with [`Kind::Config`], naming the variable, or the file with line and column.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self> {
        let settings = super::given(flags, environment)?;
        let repositories = match settings.has("mirror", "url") {
            true => Some(Config::of(&settings, environment)?),
            false => None,
        };
        Ok(Self {
            trigger: Trigger::from_settings(&settings)?,
            network: super::network(&settings, environment)?,
            mail: super::checked_mail(&settings)?,
            secrets: Secrets::from_environment(environment)?,
            repositories,
        })
    }

    /// Returns the token that fires pipelines.
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
    /// `config` where `mirror.url` is not set; `what` says what needs it.
    pub fn repositories(&self, what: &str) -> Result<&Config> {
        self.repositories.as_ref().ok_or_else(|| {
            Error::new(
                Kind::Config,
                format!("mirror.url is not set, and {what} needs it"),
            )
            .advise("Give it by the variable FERRY_MIRROR_URL, or the key mirror.url of ferry.yml.")
        })
    }

    /// Refuses an endpoint that others can reach and anybody may use.
    ///
    /// # Errors
    /// `config` where `trigger.listen` is not loopback and there is no token.
    pub fn check_endpoint(&self) -> Result<()> {
        let listen = self.trigger.listen;
        if listen.ip().is_loopback() || self.secrets.trigger_token.is_some() {
            return Ok(());
        }
        let message = format!(
            "trigger.listen is {listen}, which other machines can reach, and FERRY_TRIGGER_TOKEN is not set"
        );
        Err(Error::new(Kind::Config, message).advise(
            "Set FERRY_TRIGGER_TOKEN to a long random text, or listen on 127.0.0.1. TLS is left to a proxy in front.",
        ))
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

/// When the clock ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rhythm {
    /// After each such time.
    Every(Duration),
    /// As a cron expression says.
    Cron(String),
}

/// Tells a duration from a cron expression; what the latter means is read where it is used.
pub(super) fn rhythm(text: &str) -> Result<Rhythm, String> {
    let is_cron = text.starts_with('@') || text.split_whitespace().count() >= 5;
    match is_cron {
        true => Ok(Rhythm::Cron(text.to_owned())),
        false => values::duration(text).map(Rhythm::Every).map_err(|reason| {
            format!("{reason}; a cron expression such as `*/10 * * * *` has five fields")
        }),
    }
}

pub(super) fn server(text: &str) -> Result<Url, String> {
    const EXPECTED: &str =
        "expected the address of a GitLab server, such as https://gitlab.example.com";
    let mut url = Url::parse(text).map_err(|e| format!("{EXPECTED} ({e})"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(EXPECTED.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "{EXPECTED}, without user and password: the token comes from GITLAB_TRIGGER_TOKEN"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{EXPECTED}, with nothing behind it"));
    }
    if url.path().contains("/api/v") {
        return Err(format!("{EXPECTED}, without the path of its API"));
    }
    // A server below a path needs the slash, or the path would be replaced.
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

pub(super) fn project(text: &str) -> Result<String, String> {
    let path = text.trim_matches('/').trim_end_matches(".git");
    let strange = |c: char| c.is_control() || c.is_whitespace() || "?#%\\".contains(c);
    match path.is_empty() || path.contains(strange) || path.contains("://") {
        true => Err(format!(
            "expected a project's path such as rust/mirror, or its number, found `{}`",
            text.escape_debug()
        )),
        false => Ok(path.to_owned()),
    }
}

pub(super) fn reference(text: &str) -> Result<String, String> {
    let name = text
        .strip_prefix("refs/heads/")
        .or_else(|| text.strip_prefix("refs/tags/"));
    values::branch(name.unwrap_or(text)).map_err(|_| {
        format!(
            "expected the name of a branch or tag, found `{}`",
            text.escape_debug()
        )
    })
}

/// Reads `name=value`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value))
            if !name.is_empty()
                && !name.contains(['[', ']'])
                && !name.contains(char::is_control) =>
        {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        // The text may hold a value that is nobody's business.
        _ => Err("expected name=value, with a name without brackets".to_owned()),
    }
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "expected an IP address and a port, such as 127.0.0.1:8095 or [::1]:8095, found `{}`",
            text.escape_debug()
        )
    })
}

pub(super) fn word(text: &str) -> Result<String, String> {
    match text.contains(char::is_control) {
        true => Err(format!("expected a name, found `{}`", text.escape_debug())),
        false => Ok(text.to_owned()),
    }
}

/// As a duration; nothing at all is admitted too.
pub(super) fn jitter(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) => Ok(duration),
        Err(_) if text == "0" => Ok(Duration::ZERO),
        Err(e) => Err(format!(
            "expected a duration such as 0s or 30s, found `{text}` ({e})"
        )),
    }
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| format!("expected true or false, found `{text}`"))
}

pub(super) fn rate(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(rate) if rate > 0 => Ok(rate),
        _ => Err(format!("expected a whole number from 1 up, found `{text}`")),
    }
}
