//! What comes from the environment only, and never leaves the process in clear.

use secrecy::SecretString;

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
    /// `CI_JOB_TOKEN` and the server that it is for.
    pub job_token: Option<JobToken>,
}

/// The text of a known hosts file, and where it came from, for messages.
#[derive(Debug, Clone, Default)]
pub struct KnownHostsText {
    /// The file's lines; empty where there is no file.
    pub text: String,
    /// For example `SSH_KNOWN_HOSTS` or `~/.ssh/known_hosts`.
    pub origin: String,
}

/// GitLab's token of a running job: good for one server only.
#[derive(Debug, Clone)]
pub struct JobToken {
    /// `CI_JOB_TOKEN`.
    pub token: SecretString,
    /// `CI_SERVER_HOST`.
    pub host: String,
    /// `CI_SERVER_PORT`.
    pub port: u16,
}
