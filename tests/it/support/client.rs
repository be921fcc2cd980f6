//! The library as a client of the servers: time limits, the keys to an sshd, and the first words of a service.

use std::time::Duration;

use crates_ferry::git::SshAddress;
use crates_ferry::git::transport::ssh::SshRemote;
use crates_ferry::git::transport::{KnownHostsText, Limits, Proxies, SshCredentials, Stream};
use secrecy::SecretString;
use tokio::io::AsyncReadExt;

use super::sshd::Sshd;

/// Returns time limits that a slow machine keeps.
pub fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(30),
        idle_timeout: Duration::from_secs(30),
        extra_cas: None,
        proxies: Proxies::default(),
    }
}

/// Reads pkt-lines up to a flush packet, as one text.
pub async fn advertisement(stream: &mut Stream) -> String {
    let mut text = String::new();
    loop {
        let mut length = [0; 4];
        stream.reader.read_exact(&mut length).await.unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
        if length == 0 {
            return text;
        }
        let mut line = vec![0; length - 4];
        stream.reader.read_exact(&mut line).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&line));
    }
}

impl Sshd {
    /// Returns the address of a repository, taken apart.
    pub fn address(&self, path: &str) -> SshAddress {
        SshAddress {
            user: self.user.clone(),
            host: "127.0.0.1".to_owned(),
            port: self.port(),
            path: path.to_owned(),
        }
    }

    /// Returns credentials with which the server is trusted and accepts us.
    pub fn credentials(&self) -> SshCredentials {
        SshCredentials {
            private_key: Some(SecretString::from(self.private_key_text())),
            known_hosts: KnownHostsText {
                text: self.known_hosts_line(),
                origin: "SSH_KNOWN_HOSTS".to_owned(),
            },
            ..SshCredentials::default()
        }
    }

    /// Returns credentials that the server accepts, with another known hosts file.
    pub fn credentials_trusting(&self, known_hosts: &str) -> SshCredentials {
        let mut credentials = self.credentials();
        credentials.known_hosts.text = known_hosts.to_owned();
        credentials
    }

    /// Returns a remote for the repository `group/index.git`.
    pub fn remote(&self, credentials: &SshCredentials) -> SshRemote {
        SshRemote::new(self.address("/group/index.git"), credentials, &limits()).unwrap()
    }
}
