//! Servers with git's default configuration, in both protocols, on either side and on both: everything works within a few
//! times the bytes, and a whole tree is never fetched.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::sync::OnceLock;

use crates_ferry::error::Kind;
use crates_ferry::plan::Outcome;
use crates_ferry::report::Report;
use support::daemon::GitDaemon;
use support::ferry::{Ferry, empty_mirror};
use support::proxy::{Action, Passing, Proxy, Way, packet};
use support::repo::git;
use support::scene::{copy, told};
use support::upstream::{Commit, Upstream, index_path};
use tempfile::TempDir;

/// The files of the index: their pack has more than a megabyte.
const FILES: usize = 3000;
/// No sync receives more than this, which is far less than a whole tree.
const LIMIT: u64 = 500_000;

/// What a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// Version 2, without filters: what git serves by default.
    V2,
    /// Version 0 as git serves it by default: neither filters nor wants by id.
    V0,
    /// Version 0 with filters alone.
    V0Filters,
    /// Version 0 with filters and wants by id.
    V0Both,
}

const SERVERS: [Server; 4] = [Server::V2, Server::V0, Server::V0Filters, Server::V0Both];

impl Server {
    fn filters(self) -> bool {
        matches!(self, Self::V0Filters | Self::V0Both)
    }

    /// Says whether trees can be asked for by their id.
    fn serves_ids(self) -> bool {
        matches!(self, Self::V2 | Self::V0Both)
    }

    fn configure(self, repo: &Path) {
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
        if self != Self::V2 {
            proxy.watch(|passing| {
                drop_version(passing);
                Action::Pass
            });
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
struct Poor {
    folder: TempDir,
    source: Upstream,
    ferry: Ferry,
    _servers: (GitDaemon, Proxy, Proxy),
}

impl Poor {
    fn new(upstream: Server, mirror: Server, history: &str) -> Self {
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
            _servers: (daemon, up, down),
            folder,
        }
    }

    fn mirror(&self) -> std::path::PathBuf {
        self.folder.path().join("mirror.git")
    }

    /// Syncs within the bytes that are allowed, and compares the files but for our own.
    fn sync(&self, what: &str) -> Report {
        let report = self.ferry.sync();
        let report = report.unwrap_or_else(|error| panic!("{what}: {}", told(&error)));
        let received = report.received_bytes;
        assert!(received < LIMIT, "{what}: {received} bytes received");
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
        git(&self.mirror(), &["fsck", "--full", "--no-dangling"]);
        report
    }
}

/// Carries some commits, a squash with the mirror abreast, more commits, and a squash with the mirror behind.
fn live(upstream: Server, mirror: Server, history: &str) {
    let mut poor = Poor::new(upstream, mirror, history);
    let what = |step: &str| format!("{upstream:?} to {mirror:?}, {history}, {step}");
    poor.source.publish_many("first", 3);
    assert_eq!(poor.sync(&what("commits")).outcome, Outcome::Merge);
    assert_eq!(poor.sync(&what("nothing")).outcome, Outcome::UpToDate);
    poor.source.squash();
    assert_eq!(poor.sync(&what("a bare squash")).outcome, Outcome::Squash);
    poor.source.publish_many("second", 2);
    assert_eq!(
        poor.sync(&what("commits on a squash")).outcome,
        Outcome::Merge
    );
    poor.source.publish_many("third", 2);
    poor.source.squash();
    poor.source.publish_many("fourth", 2);
    assert_eq!(
        poor.sync(&what("a squash with commits around it")).outcome,
        Outcome::Squash
    );
    poor.source.publish_many("fifth", 1);
    assert_eq!(
        poor.sync(&what("commits at the end")).outcome,
        Outcome::Merge
    );
}

fn live_with_every_mirror(upstream: Server, history: &str) {
    for mirror in SERVERS {
        live(upstream, mirror, history);
    }
}

#[test]
fn upstream_in_version_2_without_filters() {
    live_with_every_mirror(Server::V2, "merge");
}

#[test]
fn upstream_in_version_0_by_default() {
    live_with_every_mirror(Server::V0, "merge");
}

#[test]
fn upstream_in_version_0_with_filters() {
    live_with_every_mirror(Server::V0Filters, "merge");
}

#[test]
fn upstream_in_version_0_with_filters_and_ids() {
    live_with_every_mirror(Server::V0Both, "merge");
}

#[test]
fn snapshots_from_an_upstream_that_serves_ids() {
    for upstream in SERVERS.into_iter().filter(|server| server.serves_ids()) {
        live_with_every_mirror(upstream, "snapshot");
    }
}

#[test]
fn snapshots_from_an_upstream_that_serves_no_ids_are_refused() {
    for upstream in SERVERS.into_iter().filter(|server| !server.serves_ids()) {
        let mut poor = Poor::new(upstream, Server::V2, "snapshot");
        poor.source.publish_many("first", 3);
        let error = poor.ferry.sync().expect_err("a snapshot without trees");
        assert_eq!(error.kind(), Kind::Config, "{}", told(&error));
        assert!(
            error.advice().unwrap().contains("history: merge"),
            "{error}"
        );
    }
}
