//! What a transport needs besides an address: credentials, timeouts and certificates.

use std::time::Duration;

use super::Proxies;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};

/// The user that GitLab expects with a job's token.
pub const JOB_TOKEN_USER: &str = "gitlab-ci-token";

/// The credentials for a server; each transport uses its own.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The user and password or token for HTTP.
    pub http: Option<BasicAuth>,
    /// The key for ssh, and the hosts that are known.
    pub ssh: SshCredentials,
}

/// User and password for HTTP's basic authentication. `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct BasicAuth {
    /// The user.
    pub user: String,
    /// The password or token.
    pub password: SecretString,
}

impl BasicAuth {
    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.user, Some(self.password.expose_secret()))
    }
}

/// A private key and the known hosts. `Debug` shows neither key nor passphrase.
#[derive(Debug, Clone, Default)]
pub struct SshCredentials {
    /// The key's text in OpenSSH or PEM form.
    pub private_key: Option<SecretString>,
    /// The key's passphrase.
    pub passphrase: Option<SecretString>,
    /// The hosts whose keys are known.
    pub known_hosts: KnownHostsText,
}

/// The text of a known hosts file, and where it came from, for messages.
#[derive(Debug, Clone, Default)]
pub struct KnownHostsText {
    /// The file's lines; empty where there is no file.
    pub text: String,
    /// For example `SSH_KNOWN_HOSTS` or `~/.ssh/known_hosts`.
    pub origin: String,
}

/// Timeouts, the certificates that are trusted, and proxies.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Until a connection is usable: connecting, TLS or ssh handshake, authentication.
    pub connect_timeout: Duration,
    /// The longest that a server may neither send nor accept a byte.
    pub idle_timeout: Duration,
    /// Certificate authorities in PEM form, trusted besides the system's.
    pub extra_cas: Option<String>,
    /// The proxies that HTTP goes through.
    pub proxies: Proxies,
}
