//! How often a sync waits for the other side, by cause: with distant servers that is most of its time.

use std::process::Command;

use crate::support::scene::{Scene, Transport};

/// Runs a sync, and returns what `-vv` logs.
fn log_of(scene: &Scene, arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_crates-ferry"))
        .args(["sync", "-vv"])
        .args(arguments)
        .env_clear()
        .envs(scene.ferry().variables().iter().cloned())
        .output()
        .unwrap();
    let log = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{log}");
    log
}

/// Returns the waits for one side, in their order.
fn waits_for(side: &str, log: &str) -> Vec<String> {
    let waited = format!("{side}: waited ");
    let lines = log.lines().filter_map(|line| line.split_once(&waited));
    let causes = lines.filter_map(|(_, wait)| wait.split_once(" ms for "));
    causes.map(|(_, cause)| cause.to_owned()).collect()
}

/// The waits that open `upload-pack` and list the branch.
fn opening(transport: Transport) -> &'static [&'static str] {
    match transport {
        // The refs come with the capabilities.
        Transport::Git => &["the connection", "the capabilities"],
        Transport::Ssh => &[
            "the connection",
            "the ssh handshake",
            "the ssh authentication",
            "an ssh channel",
            "the capabilities",
        ],
        Transport::Http => &["the capabilities", "the refs"],
        Transport::Folder => unreachable!("folders are not far away"),
    }
}

/// The waits that open `receive-pack`: what it takes to connect was begun beside the wait for the mirror's commits.
const OPENING_FOR_PUSH: [&str; 1] = ["the capabilities"];

/// The waits that open `upload-pack` once more.
fn reopening(transport: Transport) -> &'static [&'static str] {
    match transport {
        Transport::Git => &["the connection", "the capabilities"],
        Transport::Ssh => &["an ssh channel", "the capabilities"],
        // It remembers nothing of what was asked for before.
        Transport::Http => &[],
        Transport::Folder => unreachable!("folders are not far away"),
    }
}

/// Asserts what was waited for, in any order: some of it is waited for side by side.
fn assert_waits(mut found: Vec<String>, expected: &[&[&str]], what: &str) {
    let mut expected = expected.concat();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{what}");
}

/// What is waited for of upstream after its refs.
#[derive(Default)]
struct Upstream {
    waits: &'static [&'static str],
    is_reopened: bool,
}

impl Upstream {
    fn of(waits: &'static [&'static str]) -> Self {
        let is_reopened = false;
        Self { waits, is_reopened }
    }
}

/// Runs a sync after `change` to the scene, over each transport, and checks the waits for both sides.
fn check(change: impl Fn(&mut Scene), upstream: Upstream, mirror: &[&str], pushes: bool) {
    for transport in [Transport::Git, Transport::Ssh, Transport::Http] {
        let Some(mut scene) = Scene::over(transport, "merge") else {
            continue;
        };
        change(&mut scene);
        let before = scene.mirror_tip();
        let log = log_of(&scene, &[]);
        let mut of_mirror = vec![opening(transport), mirror];
        if pushes {
            of_mirror.extend([&OPENING_FOR_PUSH[..], &["the report of the push"]]);
        }
        let mut of_upstream = vec![opening(transport), upstream.waits];
        if upstream.is_reopened {
            of_upstream.push(reopening(transport));
        }
        assert_waits(
            waits_for("upstream", &log),
            &of_upstream,
            &format!("upstream, {transport:?}"),
        );
        assert_waits(
            waits_for("mirror", &log),
            &of_mirror,
            &format!("mirror, {transport:?}"),
        );
        assert_eq!(scene.mirror_tip() != before, pushes);
    }
}

#[test]
fn a_sync_with_nothing_to_do_asks_for_the_mirrors_commits_alone() {
    let up_to_date = |scene: &mut Scene| drop(scene.sync().unwrap());
    check(up_to_date, Upstream::default(), &["the commits"], false);
}

#[test]
fn a_sync_asks_upstream_for_the_pack_alone_and_the_mirror_for_its_commits_and_trees() {
    let upstream = Upstream::of(&["the pack"]);
    check(|_| {}, upstream, &["the commits", "the trees"], true);
}

#[test]
fn a_sync_across_a_squash_asks_upstream_for_the_old_head_and_its_tree_as_well() {
    let squash = |scene: &mut Scene| scene.source.squash();
    // The first one is none, since the new history does not lead to the base.
    let upstream = Upstream {
        waits: &[
            "the pack",
            "the commits",
            "the commits",
            "the trees",
            "the pack",
        ],
        is_reopened: true,
    };
    check(squash, upstream, &["the commits", "the trees"], true);
}

#[test]
fn a_dry_run_asks_for_no_pack() {
    let scene = Scene::new("merge");
    let log = log_of(&scene, &["--dry-run"]);
    let upstream = waits_for("upstream", &log);
    let expected = [opening(Transport::Git), &["the commits", "the trees"]];
    assert_waits(upstream, &expected, "upstream of a dry run");
    assert!(scene.is_untouched());
}
