//! The address of a git repository, in every form that git accepts and we support.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

/// The address of a git repository. `Display` shows no password.
#[derive(Debug, Clone)]
pub enum RemoteUrl {
    /// `https://…` or `http://…`.
    Http {
        /// The address without user and password.
        url: Url,
        /// The user that the address named.
        user: Option<String>,
        /// The password that the address carried.
        password: Option<SecretString>,
    },
    /// `ssh://user@host:port/path` or `user@host:path`.
    Ssh(SshAddress),
    /// `git://host:port/path`.
    Git {
        /// Host name or address, without brackets.
        host: String,
        /// Port, 9418 where none is given.
        port: u16,
        /// The path as the server gets it, with its leading slash.
        path: String,
    },
    /// A path or `file://…`.
    Local(PathBuf),
}

/// A repository behind an sshd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAddress {
    /// The user, `git` where none is given.
    pub user: String,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port, 22 where none is given.
    pub port: u16,
    /// The path as the server gets it: `/group/project.git` of an `ssh://` URL, `group/project.git` of the scp-like form.
    pub path: String,
}
