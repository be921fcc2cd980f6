//! The URL of a git repository, in every form that is supported: https, http, ssh, scp-like, git, file and paths.

mod lookalikes;
mod parse;
mod repository;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use url::Url;

pub use parse::{ParseRemoteUrlError, url_fault};

/// The address of a git repository. `Display` and `Debug` show no password.
#[derive(Clone)]
pub enum RemoteUrl {
    /// `https://…` or `http://…`.
    Http {
        /// The address without user and password.
        url: Url,
        /// The user that the address named, percent-decoded. Some hosts take a token in this place.
        user: Option<String>,
        /// The password that the address carried, percent-decoded.
        password: Option<SecretString>,
    },
    /// `ssh://user@host:port/path` or `user@host:path`.
    Ssh(SshAddress),
    /// `git://host:port/path`.
    Git {
        /// Host name or address in lower case, without brackets.
        host: String,
        /// Port, 9418 where none is given.
        port: u16,
        /// The path as the server gets it, with its leading slash (or `~user/…`).
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
    /// Host name or address in lower case, without brackets.
    pub host: String,
    /// Port, 22 where none is given.
    pub port: u16,
    /// The path as the server gets it: `/group/project.git` of an `ssh://` URL, `group/project.git` of the scp-like form.
    pub path: String,
}

const GIT_PORT: u16 = 9418;
const SSH_PORT: u16 = 22;

/// What a path needs escaped so that it reads as one word and is decoded to itself.
const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%').add(b'<').add(b'>');
/// What a user name needs escaped in front of `@`.
const USER: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'+');

impl RemoteUrl {
    /// Says whether both are reached at the same host and port in the same way.
    pub fn has_host_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http { url, .. }, Self::Http { url: other, .. }) => {
                // Scheme, host and port: `http` and `https` of one host are two places for a credential.
                url.origin() == other.origin()
            }
            (Self::Ssh(address), Self::Ssh(other)) => {
                (&address.host, address.port) == (&other.host, other.port)
            }
            (
                Self::Git { host, port, .. },
                Self::Git {
                    host: other_host,
                    port: other_port,
                    ..
                },
            ) => (host, port) == (other_host, other_port),
            (Self::Local(_), Self::Local(_)) => true,
            _ => false,
        }
    }

    /// Returns the host's name or address, without brackets; `None` for a path.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Http { url, .. } => url.host_str().map(|host| host.trim_matches(['[', ']'])),
            Self::Ssh(SshAddress { host, .. }) | Self::Git { host, .. } => Some(host),
            Self::Local(_) => None,
        }
    }

    /// Says whether both are the same address, whatever the user, and with or without `.git` or a slash at the end.
    pub fn is_address_of(&self, other: &Self) -> bool {
        self.has_host_of(other) && self.repository() == other.repository()
    }

    /// Returns the repository's path on its host.
    fn repository(&self) -> &str {
        let path = match self {
            Self::Http { url, .. } => url.path(),
            Self::Ssh(SshAddress { path, .. }) | Self::Git { path, .. } => path,
            // Two folders, which may both be there: `mirror` and `mirror.git`.
            Self::Local(path) => return path.to_str().unwrap_or_default().trim_end_matches('/'),
        };
        let path = path.trim_end_matches('/');
        path.strip_suffix(".git").unwrap_or(path)
    }
}

/// Writes the address so that it parses back to itself; the user and the password of an HTTP address are left out.
impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, .. } => url.fmt(f),
            Self::Ssh(address) => address.fmt(f),
            Self::Git { host, port, path } => {
                write!(f, "git://{}", Authority(host, *port, GIT_PORT))?;
                write_rooted(f, path)
            }
            Self::Local(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUrl({self})")
    }
}

impl fmt::Display for SshAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, host) = (utf8_percent_encode(&self.user, USER), &self.host);
        if self.path.starts_with(['/', '~']) {
            write!(f, "ssh://{user}@{}", Authority(host, self.port, SSH_PORT))?;
            write_rooted(f, &self.path)
        } else if self.port == SSH_PORT && lookalikes::split_port(&self.path).is_some() {
            // In brackets a host has its port with it, so that the path's first folder cannot be taken for one.
            write!(f, "[{}@{host}]:{}", self.user, self.path)
        } else if self.port == SSH_PORT {
            // Nothing is escaped here: the scp-like form knows no percent-encoding.
            write!(f, "{}@{}:{}", self.user, Bracketed(host), self.path)
        } else {
            write!(f, "[{}@{host}:{}]:{}", self.user, self.port, self.path)
        }
    }
}

/// Writes a path behind an authority; `~user` needs the slash that parsing takes away.
fn write_rooted(f: &mut fmt::Formatter<'_>, path: &str) -> fmt::Result {
    let slash = if path.starts_with('~') { "/" } else { "" };
    write!(f, "{slash}{}", utf8_percent_encode(path, PATH))
}

/// A host in brackets where it is an IPv6 address.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]", self.0)
        } else {
            f.write_str(self.0)
        }
    }
}

/// A host with its port, unless that is the protocol's own.
struct Authority<'a>(&'a str, u16, u16);

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bracketed(self.0).fmt(f)?;
        if self.1 == self.2 {
            Ok(())
        } else {
            write!(f, ":{}", self.1)
        }
    }
}
