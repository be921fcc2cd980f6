//! The servers of a mirror's life, and how the program and a stock git reach them.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::daemon::GitDaemon;
use crate::support::ferry::Ferry;
use crate::support::lighttpd::Lighttpd;
use crate::support::sshd::{Options, Sshd};

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// `git://`.
    Git,
    /// `ssh://`, to a server that takes `GIT_PROTOCOL`.
    Ssh,
    /// `ssh://`, to a server that does not, and so speaks version 0 only.
    SshVersion0,
    /// `http://`, smart.
    Http,
    /// `file://`.
    File,
    /// A plain path.
    Folder,
}

impl Transport {
    /// Says whether cargo can read it without a key.
    pub(crate) fn is_read_by_cargo(self) -> bool {
        matches!(self, Self::Git | Self::Http | Self::File)
    }
}

/// The servers, which end with the value.
pub(crate) struct Hosts {
    /// The program, configured for both repositories.
    pub(crate) ferry: Ferry,
    /// Where the mirror is.
    pub(crate) mirror_url: String,
    /// What opens the doors of ssh servers to a stock git.
    ssh_command: Option<String>,
    _daemon: Option<GitDaemon>,
    _http: Option<Lighttpd>,
    _sshds: Vec<Sshd>,
    _keys: TempDir,
}

impl Hosts {
    /// Serves `group/upstream.git` and `group/mirror.git` of a folder; none where the machine lacks a server.
    pub(crate) fn start(repos: &Path, upstream: Transport, mirror: Transport) -> Option<Self> {
        std::fs::create_dir_all(repos).unwrap();
        let wanted = |transport| [upstream, mirror].contains(&transport);
        let daemon = wanted(Transport::Git).then(|| GitDaemon::start(repos));
        let http = match wanted(Transport::Http) {
            true => Some(Lighttpd::start(repos, None)?),
            false => None,
        };
        let mut sshds = Vec::new();
        for (transport, accept_env) in [(Transport::Ssh, true), (Transport::SshVersion0, false)] {
            if wanted(transport) {
                let mut options = Options::new(repos);
                options.accept_env = accept_env;
                sshds.push(Sshd::start(&options)?);
            }
        }
        let url = |transport, name: &str| match transport {
            Transport::Git => format!("git://127.0.0.1:{}/{name}", daemon.as_ref().unwrap().port()),
            Transport::Http => http.as_ref().unwrap().url(name),
            Transport::Ssh | Transport::SshVersion0 => sshds[0].url(name),
            Transport::File => format!("file://{}", repos.join(name).display()),
            Transport::Folder => repos.join(name).display().to_string(),
        };
        let mirror_url = url(mirror, "group/mirror.git");
        let mut ferry = Ferry::new(url(upstream, "group/upstream.git"), &mirror_url);
        let keys = tempfile::tempdir().unwrap();
        let mut ssh_command = None;
        if let Some(sshd) = sshds.first() {
            ferry = ferry
                .with("SSH_PRIVATE_KEY", sshd.private_key_text())
                .with("SSH_KNOWN_HOSTS", sshd.known_hosts_line());
            ssh_command = Some(stock_ssh(keys.path(), sshd));
        }
        Some(Self {
            ferry,
            mirror_url,
            ssh_command,
            _daemon: daemon,
            _http: http,
            _sshds: sshds,
            _keys: keys,
        })
    }

    /// Returns the variables with which a stock git reaches the mirror.
    pub(crate) fn git_environment(&self) -> Option<(&'static str, &str)> {
        let command = self.ssh_command.as_deref()?;
        Some(("GIT_SSH_COMMAND", command))
    }
}

/// Writes a key and a known hosts file, and returns the command line of an OpenSSH client that uses them.
fn stock_ssh(folder: &Path, sshd: &Sshd) -> String {
    let write = |name: &str, text: String| -> PathBuf {
        let path = folder.join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        path
    };
    let key = write("key", sshd.private_key_text());
    let known_hosts = write("known_hosts", sshd.known_hosts_line());
    format!(
        "ssh -F /dev/null -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -i {} -o UserKnownHostsFile={}",
        key.display(),
        known_hosts.display()
    )
}
