//! What a sync costs on the wire: requests and bytes, counted by a proxy before a real git daemon.

use std::path::PathBuf;

use crate::support::counting_proxy::{CountingProxy, Counts};
use crate::support::daemon::GitDaemon;
use crate::support::ferry::{Ferry, empty_mirror};
use crate::support::repo::git;
use crate::support::upstream::{Commit, IndexLine, Upstream, commit_to};
use crates_ferry::mirror::plan::Outcome;
use tempfile::TempDir;

/// A mirror that was made of an upstream with a wide root, and a proxy before each.
struct Counted {
    folder: TempDir,
    upstream: Upstream,
    mirror: PathBuf,
    to_upstream: CountingProxy,
    to_mirror: CountingProxy,
    ferry: Ferry,
    _daemon: GitDaemon,
}

impl Counted {
    fn begin() -> Self {
        Self::with_history("merge")
    }

    fn with_history(history: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut upstream = Upstream::create(folder.path(), "upstream.git");
        upstream.commit([wide_index()]);
        let mirror = empty_mirror(folder.path(), "mirror.git");
        let daemon = GitDaemon::start(folder.path());
        let to_upstream = CountingProxy::before(daemon.port());
        let to_mirror = CountingProxy::before(daemon.port());
        let ferry = Ferry::new(to_upstream.url("upstream.git"), to_mirror.url("mirror.git"))
            .with("FERRY_MIRROR_HISTORY", history);
        assert_eq!(ferry.init().unwrap().outcome, Outcome::Created);
        to_upstream.take();
        to_mirror.take();
        Self {
            folder,
            upstream,
            mirror,
            to_upstream,
            to_mirror,
            ferry,
            _daemon: daemon,
        }
    }

    /// Runs `sync`; returns what passed to and from upstream, and to and from the mirror.
    fn sync(&self, outcome: Outcome) -> (Counts, Counts) {
        assert_eq!(self.ferry.sync().unwrap().outcome, outcome);
        (self.to_upstream.take(), self.to_mirror.take())
    }
}

/// One commit with a crate in each of 26 × 26 folders of the root, as the real index has them.
fn wide_index() -> Commit {
    let letters = || (b'a'..=b'z').map(char::from);
    let names =
        letters().flat_map(|first| letters().map(move |second| format!("{first}{second}-wide")));
    names.fold(Commit::new("Fill the index"), |commit, name| {
        let path = crate::support::upstream::index_path(&name);
        commit.file(&path, IndexLine::new("1.0.0").text(&name))
    })
}

/// New versions of that many crates, in one commit each.
fn updates(count: u8) -> Vec<Commit> {
    let update = |number: u8| {
        let (first, second) = (
            char::from(b'a' + number / 26 % 26),
            char::from(b'a' + number % 26),
        );
        let versions = [IndexLine::new("1.0.0"), IndexLine::new("1.1.0")];
        Commit::publish(&format!("{first}{second}-wide"), &versions)
    };
    (0..count).map(update).collect()
}

fn assert_requests(counts: &Counts, limit: usize) {
    let requests = &counts.requests;
    assert!(requests.len() <= limit, "more than {limit}: {requests:?}");
}

#[test]
fn an_advanced_mirror_takes_two_requests_to_upstream_and_five_to_the_mirror_and_snapshots_two_more()
{
    for (history, requests) in [("merge", 2), ("snapshot", 4)] {
        let mut counted = Counted::with_history(history);
        counted.upstream.commit(updates(20));
        let (upstream, mirror) = counted.sync(Outcome::Merge);
        assert_requests(&upstream, requests);
        assert_requests(&mirror, 5);
        // What is counted is what was said.
        assert_eq!(upstream.requests[0], "ls-refs");
        let is_push = |name: &&String| *name == "push";
        assert_eq!(mirror.requests.iter().filter(is_push).count(), 1);
    }
}

#[test]
fn seven_commits_of_people_on_top_of_the_base_cost_no_more() {
    let mut counted = Counted::begin();
    let notes = |number| Commit::new("A note").file("NOTES", format!("{number}\n"));
    commit_to(&counted.mirror, (0..6).map(notes));
    counted.upstream.commit(updates(3));
    let (upstream, mirror) = counted.sync(Outcome::Merge);
    assert_requests(&upstream, 2);
    assert_requests(&mirror, 5);
}

#[test]
fn a_branch_that_left_shortly_before_the_base_and_was_merged_since_costs_no_more() {
    let mut counted = Counted::begin();
    counted.upstream.commit(updates(9));
    let side = Commit::publish("zz-side", &[IndexLine::new("0.1.0")]);
    counted
        .upstream
        .fork("side", side)
        .publish("zz-new", "0.1.0");
    counted.sync(Outcome::Merge);
    counted.upstream.merge_fork("side");
    let (upstream, mirror) = counted.sync(Outcome::Merge);
    assert_requests(&upstream, 2);
    assert_requests(&mirror, 5);
}

#[test]
fn a_squash_takes_two_more() {
    for commits_before_it in [0, 5] {
        let mut counted = Counted::begin();
        counted.upstream.commit(updates(commits_before_it));
        counted.upstream.squash();
        counted
            .upstream
            .commit([Commit::publish("zz-new", &[IndexLine::new("0.1.0")])]);
        let (upstream, mirror) = counted.sync(Outcome::Squash);
        assert_requests(&upstream, 6);
        assert_requests(&mirror, 5);
    }
}

#[test]
fn each_directory_level_that_both_sides_changed_takes_one_more_a_side() {
    for (private, levels) in [("aa/pr/aaprivate", 1), ("aa/-w/aa-wprivate", 2)] {
        let mut counted = Counted::begin();
        let line = IndexLine::new("1.0.0").text("private");
        commit_to(
            &counted.mirror,
            [Commit::new("A crate of ours").file(private, line)],
        );
        counted.upstream.commit(updates(1));
        let (upstream, mirror) = counted.sync(Outcome::Merge);
        assert_requests(&upstream, 2 + levels);
        assert_requests(&mirror, 5 + levels);
        let held = git(
            &counted.mirror,
            &["ls-tree", "--name-only", "master", private],
        );
        assert_eq!(held, private);
    }
}

#[test]
fn nothing_to_do_takes_two_listings_and_at_most_two_requests_more() {
    let mut counted = Counted::begin();
    let assert_idle = |counted: &Counted| {
        let (upstream, mirror) = counted.sync(Outcome::UpToDate);
        let mut all = [upstream.requests, mirror.requests].concat();
        all.sort_unstable();
        assert_eq!(all.iter().filter(|name| *name == "ls-refs").count(), 2);
        assert!(
            all.len() <= 4 && !all.contains(&"push".to_owned()),
            "{all:?}"
        );
    };
    assert_idle(&counted);
    counted.upstream.commit(updates(2));
    counted.sync(Outcome::Merge);
    commit_to(
        &counted.mirror,
        [Commit::new("A note").file("NOTES", "here\n")],
    );
    assert_idle(&counted);
}

#[test]
fn the_mirror_is_sent_what_differs_in_its_root_not_all_of_it() {
    let mut counted = Counted::begin();
    counted.upstream.commit(updates(1));
    let (_, mirror) = counted.sync(Outcome::Merge);
    let root = roots(&counted) / 3;
    assert!(mirror.sent < root / 2, "{} of {root}", mirror.sent);
}

#[test]
fn bytes_stay_within_those_of_a_warm_clone_and_three_roots_and_200_a_commit() {
    for commits in [1, 8, 20, 200] {
        let mut counted = Counted::begin();
        let clone = WarmClone::of(&counted);
        counted.upstream.commit(updates(commits));
        let allowed = clone.carries(&counted) + roots(&counted) + 200 * u64::from(commits);
        let (upstream, mirror) = counted.sync(Outcome::Merge);
        let received = upstream.received + mirror.received;
        assert!(
            received <= allowed,
            "{commits} commits: {} of upstream's and {} of the mirror's bytes, {allowed} allowed",
            upstream.received,
            mirror.received
        );
    }
}

/// What git does with a full clone that is warm: fetch upstream, merge, push.
struct WarmClone(PathBuf);

impl WarmClone {
    /// Clones all there is of both sides, as a runner with a cache would have it.
    fn of(counted: &Counted) -> Self {
        let clone = counted.folder.path().join("clone");
        git(counted.folder.path(), &["init", "-q", "--bare", "clone"]);
        let upstream = counted.upstream.path().to_str().unwrap();
        let mirror = counted.mirror.to_str().unwrap();
        git(&clone, &["fetch", "-q", mirror, "master:mirror"]);
        git(&clone, &["fetch", "-q", upstream, "master:upstream"]);
        // It pushes to a mirror of its own.
        let copy = empty_mirror(counted.folder.path(), "copy.git");
        git(
            &clone,
            &["push", "-q", copy.to_str().unwrap(), "mirror:master"],
        );
        Self(clone)
    }

    /// Returns how many bytes it receives on the way.
    fn carries(&self, counted: &Counted) -> u64 {
        let Self(clone) = self;
        let upstream = counted.to_upstream.url("upstream.git");
        git(clone, &["fetch", "-q", &upstream, "master:upstream"]);
        let tree = git(clone, &["merge-tree", "--write-tree", "mirror", "upstream"]);
        let parents = ["-p", "mirror", "-p", "upstream"];
        let commit = [&["commit-tree", "-m", "merge"], &parents[..], &[&tree]].concat();
        let merge = git(clone, &commit);
        let copy = counted.to_mirror.url("copy.git");
        git(clone, &["push", "-q", &copy, &format!("{merge}:master")]);
        counted.to_upstream.take().received + counted.to_mirror.take().received
    }
}

/// Returns the size of the root trees of the mirror's tip, the base and upstream's tip.
fn roots(counted: &Counted) -> u64 {
    let trees = [
        (counted.mirror.as_path(), "master^{tree}"),
        (counted.mirror.as_path(), "master^^{tree}"),
        (counted.upstream.path(), "master^{tree}"),
    ];
    let size = |(repo, tree)| git(repo, &["cat-file", "-s", tree]).parse::<u64>().unwrap();
    trees.into_iter().map(size).sum()
}
