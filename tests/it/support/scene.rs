//! An upstream that is a few commits ahead of its mirror, made once; the mirror is put back after each try.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use crates_ferry::error::{Error, Kind, Result};
use crates_ferry::mirror::report::Report;
use tempfile::TempDir;

use super::daemon::GitDaemon;
use super::ferry::{Ferry, empty_mirror};
use super::lighttpd::Lighttpd;
use super::local_server::LocalServer;
use super::proxy::Proxy;
use super::repo::git;
use super::sshd::{Options, Sshd};
use super::upstream::Upstream;

/// The branch that is carried.
pub const MASTER: &str = "refs/heads/master";

/// How both sides are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `git://`, from git's own daemon.
    Git,
    /// ssh, from OpenSSH's server.
    Ssh,
    /// Smart HTTP, from lighttpd.
    Http,
    /// A folder, served by the local transport; a port before it lets a proxy between.
    Folder,
}

enum Host {
    Git(GitDaemon),
    Ssh(Sshd),
    Http(Lighttpd),
    Folder(LocalServer),
}

impl Host {
    /// Starts the server; none where the machine lacks it.
    fn start(transport: Transport, repos: &Path) -> Option<Self> {
        Some(match transport {
            Transport::Git => Self::Git(GitDaemon::start(repos)),
            Transport::Ssh => Self::Ssh(Sshd::start(&Options::new(repos))?),
            Transport::Http => Self::Http(Lighttpd::start(repos, None)?),
            Transport::Folder => Self::Folder(LocalServer::start(repos)),
        })
    }

    fn port(&self) -> u16 {
        match self {
            Self::Git(daemon) => daemon.port(),
            Self::Ssh(sshd) => sshd.port(),
            Self::Http(lighttpd) => lighttpd.port(),
            Self::Folder(server) => server.port(),
        }
    }

    /// Returns a repository's URL as a proxy on `port` shows it.
    fn url(&self, path: &str, port: u16) -> String {
        let direct = match self {
            Self::Git(daemon) => format!("git://127.0.0.1:{}/{path}", daemon.port()),
            Self::Ssh(sshd) => sshd.url(path),
            Self::Http(lighttpd) => lighttpd.url(path),
            Self::Folder(server) => format!("git://127.0.0.1:{}/{path}", server.port()),
        };
        direct.replace(&format!(":{}/", self.port()), &format!(":{port}/"))
    }

    /// Adds what the program needs to be let in.
    fn admit(&self, ferry: Ferry, ports: [u16; 2]) -> Ferry {
        let Self::Ssh(sshd) = self else {
            return ferry;
        };
        let line = sshd.known_hosts_line();
        let known = |port: u16| line.replace(&sshd.port().to_string(), &port.to_string());
        ferry
            .with("SSH_PRIVATE_KEY", sshd.private_key_text())
            .with("SSH_KNOWN_HOSTS", ports.map(known).concat())
    }
}

/// Both repositories, a server for them, and a proxy before each side.
pub struct Scene {
    /// The folder of the repositories.
    pub folder: TempDir,
    /// What upstream is seen through.
    pub upstream: Proxy,
    /// What the mirror is seen through.
    pub mirror: Proxy,
    /// Upstream's repository.
    pub source: Upstream,
    /// The mirror's branch before the sync.
    pub old: String,
    host: Host,
    history: &'static str,
    copies: Cell<usize>,
}

impl Scene {
    /// Makes an upstream with three crates more than the mirror has.
    pub fn new(history: &'static str) -> Self {
        Self::over(Transport::Git, history).unwrap()
    }

    /// Does the same behind another server; none where the machine lacks it.
    pub fn over(transport: Transport, history: &'static str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let repos = folder.path();
        let mut source = Upstream::create(repos, "upstream.git");
        source.publish_many("before", 5);
        let saved = empty_mirror(repos, "saved.git");
        let direct = |name: &str| repos.join(name).to_str().unwrap().to_owned();
        let init = Ferry::new(direct("upstream.git"), direct("saved.git"));
        init.with("FERRY_MIRROR_HISTORY", history).init().unwrap();
        source.publish_many("after", 3);
        std::fs::remove_dir_all(saved.join("hooks")).unwrap();
        let host = Host::start(transport, repos)?;
        let scene = Self {
            old: git(&saved, &["rev-parse", MASTER]),
            upstream: Proxy::before(host.port()),
            mirror: Proxy::before(host.port()),
            host,
            source,
            history,
            copies: Cell::new(0),
            folder,
        };
        scene.restore();
        Some(scene)
    }

    /// Makes the mirror a new one, as it was before the sync; a server process that is still busy with the last one does
    /// no harm.
    pub fn restore(&self) {
        std::fs::remove_dir_all(self.mirror_path()).ok();
        self.copies.set(self.copies.get() + 1);
        copy(&self.saved_path(), &self.mirror_path());
    }

    /// Says whether every file of the mirror is as it was before the sync.
    pub fn is_untouched(&self) -> bool {
        is_same(&self.saved_path(), &self.mirror_path())
    }

    fn saved_path(&self) -> PathBuf {
        self.folder.path().join("saved.git")
    }

    fn mirror_name(&self) -> String {
        // Of one length, so that every conversation has the same one.
        format!("mirror-{:06}.git", self.copies.get())
    }

    /// Returns the mirror's folder.
    pub fn mirror_path(&self) -> PathBuf {
        self.folder.path().join(self.mirror_name())
    }

    /// Returns the mirror's branch.
    pub fn mirror_tip(&self) -> String {
        let reference = self.mirror_path().join(MASTER);
        std::fs::read_to_string(reference)
            .unwrap()
            .trim()
            .to_owned()
    }

    /// Returns what the program is told: both sides are reached through their proxies.
    pub fn ferry(&self) -> Ferry {
        let (up, down) = (self.upstream.port(), self.mirror.port());
        let upstream = self.host.url("upstream.git", up);
        let ferry = Ferry::new(upstream, self.host.url(&self.mirror_name(), down));
        self.host
            .admit(ferry, [up, down])
            .with("FERRY_MIRROR_HISTORY", self.history)
    }

    /// Syncs, and returns once both servers have finished.
    pub fn sync(&self) -> Result<Report> {
        self.sync_as(&self.ferry())
    }

    /// Syncs as a configuration says, and returns once both servers have finished.
    pub fn sync_as(&self, ferry: &Ferry) -> Result<Report> {
        let result = ferry.sync();
        self.upstream.settle();
        self.mirror.settle();
        result
    }

    /// Syncs where that must fail and leave the mirror as it was; returns the error.
    pub fn refused(&self, ferry: &Ferry) -> Error {
        let error = self.sync_as(ferry).expect_err("the sync succeeds");
        assert_eq!(self.mirror_tip(), self.old, "{error}");
        self.assert_sound();
        error
    }

    /// Asserts that the mirror holds all that its branch leads to.
    pub fn assert_sound(&self) {
        git(&self.mirror_path(), &["fsck", "--full", "--no-dangling"]);
    }

    /// Asserts that the mirror's branch has upstream's files, less its own `config.json`.
    pub fn assert_carried(&self) {
        let list = |repo: &Path| {
            let listed = git(repo, &["ls-tree", "-r", "master"]);
            let lines = listed
                .lines()
                .filter(|line| !line.ends_with("\tconfig.json"));
            lines.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(list(&self.mirror_path()), list(self.source.path()));
        self.assert_sound();
    }
}

/// Compares two folders, file by file.
fn is_same(one: &Path, other: &Path) -> bool {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    if one.is_file() || other.is_file() {
        return std::fs::read(one).ok() == std::fs::read(other).ok();
    }
    let listed = names(one);
    listed == names(other)
        && listed
            .iter()
            .all(|name| is_same(&one.join(name), &other.join(name)))
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Says in one word and the message what failed, with its causes.
pub fn told(error: &Error) -> String {
    format!("[{}] {}", error.kind(), error.chain())
}

/// Asserts that a failure may pass when it is tried again.
pub fn assert_passing(error: &Error) {
    let passing = [Kind::Network, Kind::Server, Kind::Race];
    assert!(passing.contains(&error.kind()), "{}", told(error));
}
