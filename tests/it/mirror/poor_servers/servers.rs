//! Servers that offer little, an upstream of many files, and its mirrors.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use crates_ferry::mirror::report::Report;
use tempfile::TempDir;

use crate::support::daemon::GitDaemon;
use crate::support::ferry::{Ferry, empty_mirror};
use crate::support::frames::packet;
use crate::support::proxy::{Action, Passing, Proxy, Way};
use crate::support::repo::git;
use crate::support::scene::{copy, told};
use crate::support::upstream::{Commit, Upstream, index_path};

/// The files of the index: their pack has more than a megabyte.
const FILES: usize = 3000;
/// No sync receives more than this, which is far less than a whole tree.
const LIMIT: u64 = 500_000;
/// What a sync may receive where dulwich is played: it filters no history, and git, which plays it, leaves out no more of a tree
/// than what `shallow` names.
const DULWICH_LIMIT: u64 = 10_000_000;

/// What a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Version 2, without filters: what git serves by default.
    V2,
    /// Version 0 as git serves it by default: neither filters nor wants by id.
    V0,
    /// Version 0 with filters alone.
    V0Filters,
    /// Version 0 with filters and wants by id.
    V0Both,
    /// What dulwich serves.
    Dulwich,
    /// Version 0 without a sideband, and with one `ACK` in all: what the protocol's first servers offered.
    Bare,
}

pub const SERVERS: [Server; 4] = [Server::V2, Server::V0, Server::V0Filters, Server::V0Both];

impl Server {
    fn filters(self) -> bool {
        matches!(self, Self::V0Filters | Self::V0Both | Self::Dulwich)
    }

    /// Says whether trees can be asked for by their id.
    pub fn serves_ids(self) -> bool {
        matches!(self, Self::V2 | Self::V0Both)
    }

    pub fn configure(self, repo: &Path) {
        let value = |is_on: bool| if is_on { "true" } else { "false" };
        git(
            repo,
            &["config", "uploadpack.allowFilter", value(self.filters())],
        );
        let any = value(self == Self::V0Both);
        git(repo, &["config", "uploadpack.allowAnySHA1InWant", any]);
    }

    /// Stands before the daemon and drops the wish for version 2, as an sshd without `AcceptEnv` does.
    fn before(self, daemon: &GitDaemon) -> Proxy {
        let proxy = Proxy::before(daemon.port());
        match self {
            Self::V2 => {}
            Self::Dulwich => proxy.watch(dulwich()),
            Self::Bare => proxy.watch(|passing| {
                hide(passing, &["side-band", "multi_ack"]);
                Action::Pass
            }),
            Self::V0 | Self::V0Filters | Self::V0Both => proxy.watch(|passing| {
                drop_version(passing);
                Action::Pass
            }),
        }
        proxy
    }
}

fn drop_version(passing: &mut Passing<'_>) {
    let version = b"\0version=2\0";
    if passing.way == Way::Up && passing.bytes.ends_with(version) {
        let end = passing.bytes.len() - version.len();
        *passing.bytes = packet(&passing.bytes[4..end]);
    }
}

/// Bytes that do not compress, other ones for each number.
fn noise(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..450).map(|_| next()).collect()
}

fn name(number: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    format!(
        "{}{}{}{}-{number}",
        letter(number * 7),
        letter(number / 5),
        letter(number),
        letter(number / 26)
    )
}

/// An upstream of many files and its mirrors, made once for all tests: `upstream.git`, `merge.git`, `snapshot.git`.
fn prepared() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut source = Upstream::create(folder.path(), "upstream.git");
        let mut all = Commit::new("Import everything");
        for number in 0..FILES {
            all = all.file(&index_path(&name(number)), noise(number));
        }
        source.commit([all]);
        source.publish_many("before", 3);
        for history in ["merge", "snapshot"] {
            let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
            let mirror = format!("{history}.git");
            empty_mirror(folder.path(), &mirror);
            let ferry = Ferry::new(path("upstream.git"), path(&mirror));
            let report = ferry.with("FERRY_MIRROR_HISTORY", history).init().unwrap();
            assert!(report.sent_bytes > 1_000_000, "{report:?}");
        }
        folder
    });
    folder.path()
}

/// Both sides, each behind its server.
pub struct Poor {
    pub folder: TempDir,
    pub source: Upstream,
    pub ferry: Ferry,
    pub servers: (GitDaemon, Proxy, Proxy),
    limit: u64,
}

impl Poor {
    pub fn new(upstream: Server, mirror: Server, history: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repos = folder.path();
        copy(
            &prepared().join("upstream.git"),
            &repos.join("upstream.git"),
        );
        copy(
            &prepared().join(format!("{history}.git")),
            &repos.join("mirror.git"),
        );
        upstream.configure(&repos.join("upstream.git"));
        mirror.configure(&repos.join("mirror.git"));
        let daemon = GitDaemon::start(repos);
        let (up, down) = (upstream.before(&daemon), mirror.before(&daemon));
        let url = |proxy: &Proxy, name: &str| format!("git://127.0.0.1:{}/{name}", proxy.port());
        Self {
            ferry: Ferry::new(url(&up, "upstream.git"), url(&down, "mirror.git")),
            source: Upstream::open(repos, "upstream.git"),
            servers: (daemon, up, down),
            limit: match [upstream, mirror].contains(&Server::Dulwich) {
                true => DULWICH_LIMIT,
                false => LIMIT,
            },
            folder,
        }
    }

    pub fn mirror(&self) -> std::path::PathBuf {
        self.folder.path().join("mirror.git")
    }

    /// Syncs within the bytes that are allowed, and compares the files but for our own.
    pub fn sync(&self, what: &str) -> Report {
        let report = self.ferry.sync();
        let report = report.unwrap_or_else(|error| panic!("{what}: {}", told(&error)));
        let received = report.received_bytes;
        assert!(received < self.limit, "{what}: {received} bytes received");
        let list = |repo: &Path| {
            let listed = git(repo, &["ls-tree", "-r", "master"]);
            let is_theirs =
                |line: &&str| !line.ends_with("\tconfig.json") && !line.contains("private");
            listed
                .lines()
                .filter(is_theirs)
                .map(ToOwned::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(list(&self.mirror()), list(self.source.path()), "{what}");
        report
    }
}

impl Drop for Poor {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            git(&self.mirror(), &["fsck", "--full", "--no-dangling"]);
        }
    }
}

/// Makes an upstream of one commit, its mirror, and one commit more.
pub fn young(upstream: Server, mirror: Server) -> Poor {
    let mut poor = Poor::new(upstream, mirror, "merge");
    let repos = poor.folder.path().to_owned();
    for name in ["upstream.git", "mirror.git"] {
        std::fs::remove_dir_all(repos.join(name)).unwrap();
    }
    poor.source = Upstream::create(&repos, "upstream.git");
    empty_mirror(&repos, "mirror.git");
    let path = |name: &str| repos.join(name).to_str().unwrap().to_owned();
    let direct = Ferry::new(path("upstream.git"), path("mirror.git"));
    direct.init().unwrap();
    upstream.configure(&repos.join("upstream.git"));
    mirror.configure(&repos.join("mirror.git"));
    poor.source.publish_many("first", 1);
    poor
}

/// Takes capabilities out of what a server offers in version 0, each by its first letters.
pub fn hide(passing: &mut Passing<'_>, names: &[&str]) {
    drop_version(passing);
    // The first line alone has any, behind a zero byte.
    let is_first = passing.bytes.contains(&0);
    if passing.way == Way::Up || !is_first {
        return;
    }
    for name in names {
        let name = format!(" {name}");
        for at in 0..passing.bytes.len().saturating_sub(name.len()) {
            if passing.bytes[at..].starts_with(name.as_bytes()) {
                passing.bytes[at + 1] = b'x';
            }
        }
    }
}

/// Plays what dulwich does: it does not say who it is, and closes the connection without a word at whatever it does not expect.
pub fn dulwich() -> impl FnMut(&mut Passing<'_>) -> Action + Send {
    let mut lines: HashMap<usize, Vec<String>> = HashMap::new();
    move |passing| {
        hide(passing, &["agent=", "side-band ", "allow-", "deepen-"]);
        if passing.way == Way::Down {
            // What it says of an unknown `want` is only in its log.
            if contains(passing.bytes, "not our ref") {
                passing.bytes.clear();
                return Action::HangUp;
            }
            return Action::Pass;
        }
        // What is no text is a piece of a pack.
        let line = std::str::from_utf8(passing.bytes).unwrap_or_default();
        let line = line.get(4..).unwrap_or_default().to_owned();
        let lines = lines.entry(passing.connection).or_default();
        lines.push(line.clone());
        let has = |word: &str| lines.iter().any(|line| line.starts_with(word));
        let first_want = lines.iter().find(|line| line.starts_with("want "));
        let is_unexpected = first_want.is_some_and(|want| !want.contains(" thin-pack"))
            || passing.bytes.as_slice() == b"0000" && has("shallow ") && !has("deepen ")
            || has("deepen ") && line.starts_with("filter ")
            // It does not close the connection at these, but sends what is of no use.
            || has("filter ") && (has("have ") || has("deepen ") && !has("deepen 1\n"))
            || has("deepen ") && has("have ");
        if is_unexpected {
            passing.bytes.clear();
            return Action::HangUp;
        }
        // It makes no thin packs.
        if line.starts_with("want ") {
            *passing.bytes = packet(line.replace(" thin-pack", ""));
        }
        Action::Pass
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let mut parts = bytes.windows(text.len());
    parts.any(|part| part == text.as_bytes())
}

/// Stands before a server and lets one connection at a time through to it.
pub fn one_at_a_time(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the process: nobody connects any more by then.
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
            thread::scope(|scope| {
                let (mut from, mut to) = (&client, &server);
                scope.spawn(move || {
                    io::copy(&mut from, &mut to).ok();
                    to.shutdown(Shutdown::Write).ok();
                });
                let (mut from, mut to) = (&server, &client);
                io::copy(&mut from, &mut to).ok();
                client.shutdown(Shutdown::Both).ok();
            });
        }
    });
    port
}

/// Copies a repository as it was when its branch was at `tip`, without any later object.
pub fn copy_without_the_rest(from: &Path, to: &Path, tip: &str) {
    git(
        to.parent().unwrap(),
        &["init", "-q", "--bare", "-b", "master", to.to_str().unwrap()],
    );
    let refspec = format!("{tip}:refs/heads/master");
    git(to, &["fetch", "-q", from.to_str().unwrap(), &refspec]);
}
