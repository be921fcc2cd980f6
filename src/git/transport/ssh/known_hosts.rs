//! Which host keys are trusted for which hosts: OpenSSH's known hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT")
//! and the keys that gitlab.com publishes.
//!
//! The lines are parsed by the crate `ssh-key`, which does not match hosts. russh's own `check_known_hosts` matches whole names
//! only: no wildcards, negations or `@revoked`, and it skips malformed lines.

use aws_lc_rs::hmac;
use russh::keys::ssh_key::Fingerprint;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

use crate::error::{Error, Kind, Result};
use crate::transport::KnownHostsText;

#[cfg(test)]
mod tests;

/// The port that a known hosts file leaves out.
const DEFAULT_PORT: u16 = 22;

/// The addresses of gitlab.com that have its published keys.
const GITLAB_COM: &[(&str, u16)] = &[("gitlab.com", 22), ("altssh.gitlab.com", 443)];

/// The fingerprints that gitlab.com publishes in its documentation ("SSH host keys fingerprints").
const GITLAB_COM_KEYS: &[(Algorithm, &str)] = &[
    (
        Algorithm::Ed25519,
        "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
    ),
    (
        Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP256,
        },
        "SHA256:HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw",
    ),
    (
        Algorithm::Rsa { hash: None },
        "SHA256:ROQFvPThGrW4RuWLoL9tq9I9zJ42fK4XywyRtbOz/EQ",
    ),
];

/// The trusted and revoked host keys.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    lines: Vec<Line>,
    origin: String,
}

#[derive(Debug, Clone)]
struct Line {
    number: usize,
    entry: Entry,
}

/// A host key that is trusted for a host, and where it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// The key's algorithm; an RSA key's has no hash.
    pub algorithm: Algorithm,
    /// The key's SHA-256 fingerprint.
    pub fingerprint: Fingerprint,
    /// For example `SSH_KNOWN_HOSTS, line 3`.
    pub source: String,
}

/// The result of looking a server's key up in the known hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyStatus {
    /// The key is trusted for the host.
    Trusted,
    /// The host is not listed.
    Unknown,
    /// Other keys are trusted for the host.
    Changed(Vec<Trusted>),
    /// The key is marked `@revoked`, in this place.
    Revoked(String),
}

impl KnownHosts {
    /// Reads a known hosts file for a connection to `host` and `port`; skips blank lines and comments. Skips, with a warning, what cannot
    /// be read and is about other hosts, or is a key of a type that is not used here (SSH-1, ed448), as OpenSSH does.
    ///
    /// # Errors
    /// `config` with the line's number if a line for this host is malformed: a typo must not hide a `@revoked`.
    pub fn parse(known_hosts: &KnownHostsText, host: &str, port: u16) -> Result<Self> {
        let origin = match known_hosts.origin.as_str() {
            "" => "the known hosts",
            given => given,
        };
        let mut lines = Vec::new();
        for (number, text) in (1..).zip(known_hosts.text.lines()) {
            // OpenSSH accepts tabs and several spaces between fields; the parser only one space.
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let entry = match text.parse::<Entry>() {
                Ok(entry) => entry,
                Err(error) if is_about(&text, host, port) => {
                    let message = format!("{origin}, line {number}: not a known hosts entry");
                    return Err(Error::new(Kind::Config, message).because(error).advise(
                        "Correct the line or remove it: it must be `HOST KEYTYPE BASE64`, as `ssh-keyscan HOST` prints it.",
                    ));
                }
                Err(error) => {
                    tracing::warn!(
                        "{origin}, line {number} is skipped: it cannot be read: {error}"
                    );
                    continue;
                }
            };
            lines.push(Line { number, entry });
        }
        Ok(Self {
            lines,
            origin: origin.to_owned(),
        })
    }

    /// Returns where the entries came from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Looks up the key of the server at `host` and `port`, which has proven to have the private half.
    pub fn verify(&self, host: &str, port: u16, key: &PublicKey) -> HostKeyStatus {
        let is_key = |line: &&Line| line.entry.public_key().key_data() == key.key_data();
        let with_port = names(host, port);
        // Before trust, built-in trust included: revoking a key must work whatever other line still lists it.
        let revoked = |names| self.marked(names, Some(&Marker::Revoked)).find(is_key);
        let without_port = names(host, DEFAULT_PORT);
        if let Some(line) = revoked(&with_port).or_else(|| revoked(&without_port)) {
            return HostKeyStatus::Revoked(self.place(line));
        }
        let trusted = self.trusted_by_any_name(host, port);
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        // By fingerprint, since gitlab.com publishes no more than that of its keys.
        if trusted.iter().any(|one| one.fingerprint == fingerprint) {
            HostKeyStatus::Trusted
        } else if self.trusted(host, port).is_empty() {
            // What the line without the port says of another server on that host is no reason to speak of a changed key.
            HostKeyStatus::Unknown
        } else {
            HostKeyStatus::Changed(trusted)
        }
    }

    /// Returns the host key algorithms to offer, those of the trusted keys first, so that a server with several keys sends one
    /// that can be verified. RSA keys sign with SHA-2 only.
    pub fn algorithms(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let trusted = self.trusted_by_any_name(host, port);
        let known = |offered: &Algorithm| trusted.iter().any(|one| same_key_type(one, offered));
        let (mut first, rest): (Vec<_>, Vec<_>) = offered().into_iter().partition(known);
        first.extend(rest);
        first
    }

    /// Lists the keys that are trusted for a host, or, where none is for this port, those of the lines without a port, as OpenSSH does.
    fn trusted_by_any_name(&self, host: &str, port: u16) -> Vec<Trusted> {
        match self.trusted(host, port) {
            // Not the built-in keys: they are for the addresses that gitlab.com publishes.
            none if none.is_empty() => self.listed(host, DEFAULT_PORT),
            trusted => trusted,
        }
    }

    /// Lists the keys that are trusted for a host, built-in ones included.
    fn trusted(&self, host: &str, port: u16) -> Vec<Trusted> {
        let mut trusted = self.listed(host, port);
        if GITLAB_COM.contains(&(host.to_lowercase().as_str(), port)) {
            trusted.extend(GITLAB_COM_KEYS.iter().filter_map(|(algorithm, text)| {
                Some(Trusted {
                    algorithm: algorithm.clone(),
                    fingerprint: text.parse().ok()?,
                    source: "published by gitlab.com".to_owned(),
                })
            }));
        }
        trusted
    }

    /// Lists the keys that lines of the file trust for a host.
    fn listed(&self, host: &str, port: u16) -> Vec<Trusted> {
        let names = names(host, port);
        let lines = self.marked(&names, None);
        lines
            .map(|line| Trusted {
                algorithm: line.entry.public_key().algorithm(),
                fingerprint: line.entry.public_key().fingerprint(HashAlg::Sha256),
                source: self.place(line),
            })
            .collect()
    }

    /// Lists the lines for a host with exactly this marker. `@cert-authority` lines are about certificates, which this client
    /// never requests.
    fn marked<'a>(
        &'a self,
        names: &'a [String],
        marker: Option<&'a Marker>,
    ) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| {
            line.entry.marker() == marker && matches(line.entry.host_patterns(), names)
        })
    }

    fn place(&self, line: &Line) -> String {
        format!("{}, line {}", self.origin, line.number)
    }
}

/// Says whether a line that cannot be read is about a host: its first field names it, and it has a marker, no key, or a key of a type
/// that could be verified.
fn is_about(text: &str, host: &str, port: u16) -> bool {
    let fields: Vec<&str> = text.split(' ').collect();
    let (is_marked, fields) = match fields.split_first() {
        Some((first, rest)) if first.starts_with('@') => (true, rest),
        _ => (false, &fields[..]),
    };
    let Some(Ok(patterns)) = fields.first().map(|field| field.parse::<HostPatterns>()) else {
        return false;
    };
    let is_usable = |kind: &&str| offered().iter().any(|one| same_type_name(one, kind));
    let is_host = |port| matches(&patterns, &names(host, port));
    (is_host(port) || is_host(DEFAULT_PORT)) && (is_marked || fields.get(1).is_none_or(is_usable))
}

/// Says whether a key of this type is used with an algorithm: RSA keys have one name, and an algorithm for each hash.
fn same_type_name(algorithm: &Algorithm, kind: &str) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => kind == "ssh-rsa",
        other => kind == other.as_str(),
    }
}

/// Writes a key as a known hosts line for a host, ready to paste.
pub fn line(host: &str, port: u16, key: &PublicKey) -> String {
    let name = names(host, port).swap_remove(0);
    let key = PublicKey::from(key.key_data().clone());
    let key = key.to_openssh().unwrap_or_default();
    format!("{name} {key}")
}

/// Returns the names under which a known hosts file may list a host, the usual one first.
fn names(host: &str, port: u16) -> Vec<String> {
    let host = host.to_lowercase();
    let with_port = format!("[{host}]:{port}");
    if port == DEFAULT_PORT {
        vec![host, with_port]
    } else {
        vec![with_port]
    }
}

fn matches(patterns: &HostPatterns, names: &[String]) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            let is_hash_of = |name: &String| hmac::verify(&key, name.as_bytes(), hash).is_ok();
            names.iter().any(is_hash_of)
        }
        HostPatterns::Patterns(patterns) => names.iter().any(|name| {
            let mut found = false;
            for pattern in patterns {
                let pattern = pattern.to_lowercase();
                match pattern.strip_prefix('!') {
                    // A negation wins wherever it stands on the line (sshd(8)).
                    Some(excluded) if wildcard(excluded, name) => return false,
                    Some(_) => {}
                    None => found |= wildcard(&pattern, name),
                }
            }
            found
        }),
    }
}

/// Says whether `name` matches a pattern in which `*` stands for any characters and `?` for one. Not globset's: there `[` is
/// special, which begins `[host]:port` here.
fn wildcard(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to resume when what follows the last `*` does not match: that `*` then takes one more byte.
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n + 1));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => (p, n) = (p + 1, n + 1),
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, n) = (star + 1, from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

fn same_key_type(trusted: &Trusted, offered: &Algorithm) -> bool {
    match (&trusted.algorithm, offered) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (trusted, offered) => trusted == offered,
    }
}

/// Lists every secure host key algorithm, best first: no DSA, no RSA with SHA-1.
fn offered() -> Vec<Algorithm> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        rsa(HashAlg::Sha512),
        rsa(HashAlg::Sha256),
    ]
}
