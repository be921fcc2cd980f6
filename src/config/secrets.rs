//! The secrets: read from the environment only. `mask` takes them out of texts that may repeat them.

mod mask;
mod private_key;
#[cfg(test)]
mod tests;

use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use tracing::{debug, warn};

use super::certificates;
use super::environment::{Environment, unusable};
use super::text_file;
use crate::error::Result;
use crate::git::transport::KnownHostsText;

pub use mask::Mask;

/// The fewest characters of a secret.
pub(super) const SHORTEST: usize = 8;

/// Names the certificates that AWS's own tools trust.
pub const AWS_CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// The variables of the secrets, except those of AWS.
pub(super) const VARIABLES: [&str; 10] = [
    "SSH_PRIVATE_KEY",
    "SSH_KEY_PASSPHRASE",
    "SSH_KNOWN_HOSTS",
    "FERRY_MIRROR_TOKEN",
    "FERRY_SMTP_PASSWORD",
    "GITLAB_TRIGGER_TOKEN",
    "GITLAB_READ_TOKEN",
    "FERRY_TRIGGER_TOKEN",
    "FERRY_HOOK_TOKEN",
    "CI_JOB_TOKEN",
];

/// Returns the variable of each secret, and whether it is set.
pub(super) fn set_or_unset(environment: &Environment) -> Vec<(String, bool)> {
    let aws = environment.names_that_begin_with("AWS_");
    let names = VARIABLES.into_iter().chain(aws);
    names
        .map(|name| (name.to_owned(), environment.is_set(name)))
        .collect()
}

/// Keys, tokens and passwords. `Debug` shows none of them.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// `SSH_PRIVATE_KEY`, already read: the key's text in OpenSSH or PEM form.
    pub ssh_private_key: Option<SecretString>,
    /// `SSH_KEY_PASSPHRASE`.
    pub ssh_key_passphrase: Option<SecretString>,
    /// `SSH_KNOWN_HOSTS` or `~/.ssh/known_hosts`, already read.
    pub ssh_known_hosts: KnownHostsText,
    /// `FERRY_MIRROR_TOKEN`.
    pub mirror_token: Option<SecretString>,
    /// `FERRY_SMTP_PASSWORD`: the password of the user that `mail.smtp` names.
    pub smtp_password: Option<SecretString>,
    /// `GITLAB_TRIGGER_TOKEN`: creates pipelines.
    pub gitlab_trigger_token: Option<SecretString>,
    /// `GITLAB_READ_TOKEN`: may read pipelines.
    pub gitlab_read_token: Option<SecretString>,
    /// `FERRY_TRIGGER_TOKEN`: whoever knows it may ask the trigger helper for a pipeline.
    pub trigger_token: Option<SecretString>,
    /// `FERRY_HOOK_TOKEN`, else `FERRY_TRIGGER_TOKEN`: the secret of webhooks that come to the trigger helper and the server.
    pub hook_token: Option<SecretString>,
    /// `CI_JOB_TOKEN` and the server that it is for.
    pub job_token: Option<JobToken>,
    /// `AWS_…`: how a bucket is reached, by the names that AWS's own tools read.
    pub aws: Vec<(String, SecretString)>,
    /// What else in the environment is masked.
    pub(super) others: Vec<SecretString>,
}

/// GitLab's token of a running job: good for one server only.
#[derive(Debug, Clone)]
pub struct JobToken {
    /// `CI_JOB_TOKEN`.
    pub token: SecretString,
    /// `CI_SERVER_HOST`.
    pub host: String,
    /// `CI_SERVER_PORT`, 443 where it is not set.
    pub port: u16,
}

impl Secrets {
    /// Reads the secrets; variables of GitLab's type "file" hold the path of a file, which is read here.
    pub(super) fn from_environment(environment: &Environment) -> Result<Self> {
        let trigger_token = token(environment, "FERRY_TRIGGER_TOKEN")?;
        Ok(Self {
            ssh_private_key: private_key::read(environment)?,
            ssh_key_passphrase: password(environment, "SSH_KEY_PASSPHRASE")?,
            ssh_known_hosts: known_hosts(environment)?,
            mirror_token: token(environment, "FERRY_MIRROR_TOKEN")?,
            smtp_password: password(environment, "FERRY_SMTP_PASSWORD")?,
            gitlab_trigger_token: token(environment, "GITLAB_TRIGGER_TOKEN")?,
            gitlab_read_token: token(environment, "GITLAB_READ_TOKEN")?,
            hook_token: token(environment, "FERRY_HOOK_TOKEN")?.or_else(|| trigger_token.clone()),
            trigger_token,
            job_token: job_token(environment)?,
            aws: aws(environment)?,
            others: mask::others(environment),
        })
    }

    /// Reads the certificates that `AWS_CA_BUNDLE` names, in PEM form: a bucket's server is trusted with them, too. Only
    /// where there is a bucket is it an error if they cannot be read.
    ///
    /// # Errors
    /// `config`, with the path.
    pub fn aws_cas(&self) -> Result<Option<String>> {
        let named = self.aws.iter().find(|(name, _)| name == AWS_CA_BUNDLE);
        let Some((_, path)) = named else {
            return Ok(None);
        };
        let read = certificates::read(Path::new(path.expose_secret()));
        read.map(Some).map_err(|why| unusable(AWS_CA_BUNDLE, why))
    }
}

/// Reads a secret that goes into an HTTP header, of whose ends spaces are no part.
fn token(environment: &Environment, name: &str) -> Result<Option<SecretString>> {
    let token = password(environment, name)?;
    let is_padded = |text: &str| text.trim().len() < text.len();
    match &token {
        Some(secret) if is_padded(secret.expose_secret()) => {
            Err(unusable(name, "the token begins or ends with a space")
                .advise("Set it again without the space, which was probably copied along with it."))
        }
        _ => Ok(token),
    }
}

/// Reads a secret of one line, or the file whose absolute path the variable holds.
fn password(environment: &Environment, name: &str) -> Result<Option<SecretString>> {
    // Not trimmed: spaces may be part of a passphrase. Only the line break at the end is dropped, below.
    let Some(value) = environment.raw(name)? else {
        return Ok(None);
    };
    let path = Path::new(value.trim());
    let text = if path.is_absolute() && path.is_file() {
        text_file::read(path).map_err(|e| {
            unusable(name, format!("cannot read the file {}", path.display())).because(e)
        })?
    } else if is_path_of_nothing(path) {
        // Not shown: it may be a secret after all.
        return Err(unusable(
            name,
            "the value is an absolute path, and there is no such file",
        )
        .advise(
            "Correct the path. If the secret itself looks like a path, write it to a file and set the variable to that file's path.",
        ));
    } else {
        value.to_owned()
    };
    let text = text.trim_end_matches(['\r', '\n']);
    refuse_private_key(name, text)?;
    // No HTTP header can carry these; most likely too much was pasted.
    if text.contains(char::is_control) {
        return Err(unusable(
            name,
            "the secret contains a line break or another control character",
        ));
    }
    check_length(name, text)?;
    Ok((!text.is_empty()).then(|| text.into()))
}

/// Refuses a private key, or base64 of one, in a variable that is for something else: it would be sent to a server, or told as
/// what cannot be read.
fn refuse_private_key(name: &str, text: &str) -> Result<()> {
    match private_key::is_in(text) {
        false => Ok(()),
        true => Err(unusable(name, "it holds a private key").advise(
            "Set SSH_PRIVATE_KEY to the key, and this variable to what it is for, or unset it.",
        )),
    }
}

/// Refuses a secret that is so short that it would stand in texts by chance: it could not be masked in them.
fn check_length(name: &str, text: &str) -> Result<()> {
    match text.is_empty() || is_long_enough(text) {
        true => Ok(()),
        false => Err(unusable(
            name,
            format!("the secret has fewer than {SHORTEST} characters"),
        )
        .advise("Use a longer secret: one this short is easily guessed, and cannot be masked where a server repeats it.")),
    }
}

/// Says whether a secret can be told from ordinary words.
pub(super) fn is_long_enough(text: &str) -> bool {
    text.chars().count() >= SHORTEST
}

/// Says whether a text can only be meant as a path: a mount that is missing must not make its own path, which many know,
/// the secret. A passphrase may begin with a slash.
fn is_path_of_nothing(path: &Path) -> bool {
    let has_spaces = || path.to_string_lossy().contains(char::is_whitespace);
    path.is_absolute() && path.components().count() > 2 && !has_spaces()
}

fn aws(environment: &Environment) -> Result<Vec<(String, SecretString)>> {
    let mut found = Vec::new();
    for name in environment.names_that_begin_with("AWS_") {
        let is_secret = mask::is_secret_of_aws(name);
        let value = match is_secret {
            true => environment.text(name)?,
            false => environment.plain(name)?,
        };
        if let Some(value) = value {
            if is_secret {
                refuse_private_key(name, value)?;
                check_length(name, value)?;
            }
            found.push((name.to_owned(), value.into()));
        }
    }
    Ok(found)
}

fn known_hosts(environment: &Environment) -> Result<KnownHostsText> {
    let name = "SSH_KNOWN_HOSTS";
    if let Some(value) = environment.text(name)? {
        let text = match Path::new(value).is_file() {
            true => text_file::read(Path::new(value))
                .map_err(|e| unusable(name, format!("cannot read the file {value}")).because(e))?,
            false => value.to_owned(),
        };
        let text = private_key::from_base64(&text).unwrap_or(text);
        refuse_private_key(name, &text)?;
        if let Some(reason) = no_known_hosts(value, text.trim()) {
            return Err(unusable(name, reason).advise(
                "Set it to lines as ssh-keyscan prints them, to the path of a file of such lines, or to `base64 -w0` of them.",
            ));
        }
        return Ok(KnownHostsText {
            text,
            origin: name.to_owned(),
        });
    }
    let Some(path) = environment
        .home()
        .map(|home| home.join(".ssh/known_hosts"))
        .filter(|path| path.is_file())
    else {
        return Ok(KnownHostsText::default());
    };
    match text_file::read(&path) {
        Ok(text) => Ok(KnownHostsText {
            text,
            origin: "~/.ssh/known_hosts".to_owned(),
        }),
        // Only a warning: nobody named this file for us, and without it a host is refused, not trusted.
        Err(e) => {
            warn!("~/.ssh/known_hosts is ignored: {e}");
            Ok(KnownHostsText::default())
        }
    }
}

/// Says what a text is that holds no lines of known hosts: these have a host, the key's type and the key, separated by spaces.
///
/// The value is shown only where it is plainly a path: it may be a token.
fn no_known_hosts(value: &str, text: &str) -> Option<String> {
    let is_word = !text.is_empty() && !text.contains(char::is_whitespace);
    match private_key::looks_like_a_path(value) {
        _ if private_key::is_public_key(text) => {
            Some("it holds a public key without the name of its host".to_owned())
        }
        true if is_word => Some(format!(
            "there is no file {value}, and a single word is not a line of known hosts"
        )),
        false if is_word => {
            Some("it names no file, and a single word is not a line of known hosts".to_owned())
        }
        _ => None,
    }
}

fn job_token(environment: &Environment) -> Result<Option<JobToken>> {
    let Some(token) = token(environment, "CI_JOB_TOKEN")? else {
        return Ok(None);
    };
    let Some(host) = environment.plain("CI_SERVER_HOST")? else {
        // Without the name of its server it could go to a stranger.
        debug!("CI_JOB_TOKEN is ignored: CI_SERVER_HOST, which names its server, is not set");
        return Ok(None);
    };
    let name = "CI_SERVER_PORT";
    let port = match environment.plain(name)? {
        None => 443,
        Some(port) => port
            .parse()
            .map_err(|_| unusable(name, format!("expected a port, found `{port}`")))?,
    };
    Ok(Some(JobToken {
        token,
        host: host.to_ascii_lowercase(),
        port,
    }))
}
