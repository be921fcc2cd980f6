//! `crates-ferry check` against real servers: what it finds, what it says to do, and that it changes nothing.

use std::path::{Path, PathBuf};

use crate::support::daemon::GitDaemon;
use crate::support::ferry::{Ferry, empty_mirror};
use crate::support::repo::{git, git_command};
use crate::support::sshd::{Options, Sshd};
use crate::support::upstream::{Commit, Upstream, bare, commit_to};
use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// An upstream and an empty mirror behind a git daemon.
struct Scene {
    folder: TempDir,
    daemon: GitDaemon,
    upstream: Upstream,
    mirror: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repos = folder.path().join("repos");
        std::fs::create_dir(&repos).unwrap();
        let mut upstream = Upstream::create(&repos, "upstream.git");
        upstream.publish_many("early-", 5);
        Self {
            mirror: empty_mirror(&repos, "mirror.git"),
            daemon: GitDaemon::start(&repos),
            upstream,
            folder,
        }
    }

    fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.daemon.port())
    }

    fn ferry(&self) -> Ferry {
        Ferry::new(self.url("upstream.git"), self.url("mirror.git"))
    }

    /// Runs the program; returns the exit code and the JSON object.
    fn check(&self, ferry: &Ferry) -> (i32, Value) {
        let mut command = Command::cargo_bin("crates-ferry").unwrap();
        command.current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.envs(ferry.variables().iter().cloned());
        let output = command
            .args(["--format", "json", "check"])
            .output()
            .unwrap();
        let json = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), json)
    }

    fn mirror_refs(&self) -> String {
        git(&self.mirror, &["for-each-ref"])
    }
}

fn probe<'a>(json: &'a Value, name: &str) -> (&'a str, &'a str) {
    let probes = json["probes"].as_array().unwrap();
    let probe = probes.iter().find(|probe| probe["name"] == name);
    let probe = probe.unwrap_or_else(|| panic!("no probe {name} in {json:#}"));
    (
        probe["status"].as_str().unwrap(),
        probe["detail"].as_str().unwrap(),
    )
}

fn failed(json: &Value) -> Vec<&str> {
    let probes = json["probes"].as_array().unwrap().iter();
    let failed = probes.filter(|probe| probe["status"] == "failed");
    failed
        .map(|probe| probe["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_mirror_abreast_passes_every_probe_and_is_not_changed() {
    let scene = Scene::new();
    scene.ferry().init().unwrap();
    let before = scene.mirror_refs();
    let (code, json) = scene.check(&scene.ferry());
    assert_eq!((code, failed(&json)), (0, vec![]), "{json:#}");
    assert_eq!(json["ok"], true);
    for name in [
        "configuration",
        "upstream",
        "mirror",
        "push",
        "branch",
        "head",
        "base",
        "config.json",
        "history",
    ] {
        assert_eq!(probe(&json, name).0, "passed", "{name}: {json:#}");
    }
    assert!(probe(&json, "push").1.contains("protected"));
    assert!(probe(&json, "history").1.contains("carries 7 commits"));
    assert_eq!(scene.mirror_refs(), before);
}

#[test]
fn a_mirror_behind_says_by_how_many_commits() {
    let mut scene = Scene::new();
    scene.ferry().init().unwrap();
    scene.upstream.publish_many("late-", 3);
    let (code, json) = scene.check(&scene.ferry());
    let (status, detail) = probe(&json, "base");
    assert_eq!((code, status), (0, "passed"));
    assert!(
        detail.contains("3 commits behind") && detail.contains("old"),
        "{detail}"
    );
}

#[test]
fn a_snapshot_mirror_behind_says_when_it_carried_last() {
    let mut scene = Scene::new();
    let ferry = scene.ferry().with("FERRY_MIRROR_HISTORY", "snapshot");
    ferry.init().unwrap();
    scene.upstream.publish("late", "1.0.0");
    let (code, json) = scene.check(&ferry);
    let (status, detail) = probe(&json, "base");
    assert_eq!((code, status), (0, "passed"));
    assert!(
        detail.contains("1 commit behind") && detail.contains("carried"),
        "{detail}"
    );
    assert!(
        detail.ends_with(" ago") && !detail.contains("old"),
        "{detail}"
    );
}

/// Adds commits without changes to a mirror's branch.
fn add_commits(mirror: &Path, number: usize) {
    use std::io::Write as _;
    let mut import = git_command(mirror)
        .args(["fast-import", "--quiet"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let commit = format!("commit refs/heads/master\ncommitter T <t@e> {now} +0000\ndata 1\nx\n");
    let first = format!("{commit}from refs/heads/master^0\n");
    let stream = first + &commit.repeat(number - 1);
    let mut input = import.stdin.take().unwrap();
    input.write_all(stream.as_bytes()).unwrap();
    drop(input);
    assert!(import.wait().unwrap().success());
}

#[test]
fn only_a_mirror_with_history_is_advised_to_leave_it_out() {
    for (history, is_advised) in [("merge", true), ("snapshot", false)] {
        let scene = Scene::new();
        let ferry = scene.ferry().with("FERRY_MIRROR_HISTORY", history);
        ferry.init().unwrap();
        add_commits(&scene.mirror, 2_001);
        // The mirror knows its mode; the configuration does not have to say it.
        let (code, json) = scene.check(&scene.ferry());
        assert_eq!((code, probe(&json, "history").0), (0, "passed"), "{json:#}");
        let text = json.to_string();
        assert_eq!(
            text.contains("keeps further history out"),
            is_advised,
            "{history}: {text}"
        );
    }
}

#[test]
fn an_empty_mirror_fails_at_its_branch_and_names_init() {
    let scene = Scene::new();
    let (code, json) = scene.check(&scene.ferry());
    assert_eq!((code, failed(&json)), (1, vec!["branch"]));
    let text = json.to_string();
    assert!(text.contains("crates-ferry init"), "{text}");
    assert_eq!(probe(&json, "base").0, "skipped");
}

#[test]
fn a_config_json_that_points_elsewhere_than_configured_fails() {
    let scene = Scene::new();
    scene.ferry().init().unwrap();
    let other = scene
        .ferry()
        .with("FERRY_MIRROR_DL", "https://other.example/dl");
    let (code, json) = scene.check(&other);
    assert_eq!((code, failed(&json)), (1, vec!["config.json"]));
    commit_to(
        &scene.mirror,
        [Commit::new("Break it").file("config.json", "{")],
    );
    let (code, json) = scene.check(&scene.ferry());
    assert_eq!((code, failed(&json)), (1, vec!["config.json"]));
}

#[test]
fn a_head_that_is_another_branch_fails_because_cargo_reads_head() {
    let scene = Scene::new();
    scene.ferry().init().unwrap();
    git(&scene.mirror, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    let (code, json) = scene.check(&scene.ferry());
    assert_eq!((code, failed(&json)), (1, vec!["head"]));
    assert!(probe(&json, "head").1.contains("refs/heads/main"));
}

#[test]
fn a_head_that_is_at_another_commit_fails() {
    let scene = Scene::new();
    scene.ferry().init().unwrap();
    let detach = ["update-ref", "--no-deref", "HEAD", "master^"];
    git(&scene.mirror, &detach);
    let (code, json) = scene.check(&scene.ferry());
    assert_eq!((code, failed(&json)), (1, vec!["head"]));
    git(
        &scene.mirror,
        &["update-ref", "--no-deref", "HEAD", "master"],
    );
    let (code, json) = scene.check(&scene.ferry());
    assert_eq!((code, probe(&json, "head").0), (0, "skipped"));
}

#[test]
fn an_upstream_that_cannot_be_reached_leaves_the_mirror_s_probes_to_be_made() {
    let scene = Scene::new();
    scene.ferry().init().unwrap();
    let ferry = scene
        .ferry()
        .with("FERRY_UPSTREAM_URL", scene.url("nowhere.git"));
    let (code, json) = scene.check(&ferry);
    assert_eq!((code, failed(&json)), (1, vec!["upstream"]));
    assert_eq!(probe(&json, "base").0, "skipped");
    assert_eq!(probe(&json, "history").0, "passed");
}

#[test]
fn a_mirror_that_takes_no_pushes_fails_at_push_alone() {
    let scene = Scene::new();
    scene.ferry().init().unwrap();
    git(&scene.mirror, &["config", "daemon.receivepack", "false"]);
    let (code, json) = scene.check(&scene.ferry());
    assert_eq!((code, failed(&json)), (1, vec!["push"]), "{json:#}");
}

#[test]
fn a_mirror_that_is_upstream_itself_fails_at_the_base() {
    let scene = Scene::new();
    let url = scene.url("upstream.git");
    let ferry = scene.ferry().with("FERRY_MIRROR_URL", url);
    let (code, json) = scene.check(&ferry);
    assert_eq!(code, 1, "{json:#}");
    assert!(failed(&json).contains(&"base"), "{json:#}");
    assert!(json.to_string().contains("the same repository"), "{json:#}");
}

#[test]
fn unrelated_histories_fail_at_the_base() {
    let scene = Scene::new();
    scene.ferry().init().unwrap();
    let repos = scene.folder.path().join("repos");
    let other = bare(&repos, "other.git");
    let tree = git(&other, &["mktree"]);
    let commit = git(
        &other,
        &["commit-tree", "-m", "another first commit", &tree],
    );
    git(&other, &["update-ref", "refs/heads/master", &commit]);
    let ferry = scene
        .ferry()
        .with("FERRY_UPSTREAM_URL", scene.url("other.git"));
    let (code, json) = scene.check(&ferry);
    assert_eq!((code, failed(&json)), (1, vec!["base"]), "{json:#}");
}

#[test]
fn a_snapshot_mirror_that_is_configured_to_merge_fails_at_the_base() {
    let scene = Scene::new();
    scene
        .ferry()
        .with("FERRY_MIRROR_HISTORY", "snapshot")
        .init()
        .unwrap();
    let (code, json) = scene.check(&scene.ferry().with("FERRY_MIRROR_HISTORY", "merge"));
    assert_eq!((code, failed(&json)), (1, vec!["base"]), "{json:#}");
    assert!(probe(&json, "history").1.contains("carries 2 commits"));
}

#[test]
fn over_ssh_key_known_hosts_host_key_and_login_are_probed() {
    let scene = Scene::new();
    scene.ferry().init().unwrap();
    let Some(sshd) = Sshd::start(&Options::new(scene.folder.path().join("repos"))) else {
        return;
    };
    let ferry = Ferry::new(scene.url("upstream.git"), sshd.url("mirror.git"))
        .with("SSH_PRIVATE_KEY", sshd.private_key_text());
    let (code, json) = scene.check(
        &ferry
            .clone()
            .with("SSH_KNOWN_HOSTS", sshd.known_hosts_line()),
    );
    assert_eq!((code, failed(&json)), (0, vec![]), "{json:#}");
    for name in ["ssh key", "known hosts", "host key", "login", "push"] {
        assert_eq!(probe(&json, name).0, "passed", "{name}: {json:#}");
    }

    let (code, json) = scene.check(&ferry);
    assert_eq!((code, failed(&json)), (1, vec!["mirror"]), "{json:#}");
    assert!(probe(&json, "mirror").1.contains("host key"), "{json:#}");

    let another = Sshd::start(&Options::new(scene.folder.path())).unwrap();
    let stranger = ferry
        .with("SSH_PRIVATE_KEY", another.private_key_text())
        .with("SSH_KNOWN_HOSTS", sshd.known_hosts_line());
    let (code, json) = scene.check(&stranger);
    assert_eq!(code, 1);
    assert_eq!(probe(&json, "host key").0, "passed");
    assert_eq!(failed(&json), ["mirror"], "{json:#}");
}

#[test]
fn over_ssh_without_a_key_the_check_says_which_variable_is_missing() {
    let scene = Scene::new();
    let ferry = Ferry::new(
        scene.url("upstream.git"),
        "ssh://git@127.0.0.1:1/mirror.git",
    );
    let (code, json) = scene.check(&ferry);
    assert_eq!((code, failed(&json)), (1, vec!["ssh key"]));
    assert!(probe(&json, "ssh key").1.contains("SSH_PRIVATE_KEY"));
}

#[test]
fn the_advisories_of_a_policy_are_fetched_and_read() {
    let scene = Scene::new();
    scene.ferry().init().unwrap();
    let database = bare(scene.folder.path(), "advisory-db.git");
    let address = database.display().to_string();
    let ferry = scene.ferry().with("FERRY_POLICY_ADVISORIES", &address);
    let advise = |id: &str, date: &str| {
        let text = format!(
            "```toml\n[advisory]\nid = \"{id}\"\npackage = \"foo\"\ndate = \"{date}\"\n\n[versions]\npatched = []\n```\n\n# It leaks\n\nIt does.\n"
        );
        let commit = Commit::new(format!("Add {id}"));
        let path = format!("crates/foo/{id}.md");
        commit_to(&database, [commit.file(&path, text)]);
    };
    advise("RUSTSEC-2026-0002", "2026-11-02");
    advise("RUSTSEC-2026-0001", "2026-11-01");
    let (code, json) = scene.check(&ferry);
    let wanted = "2 advisories, the newest RUSTSEC-2026-0002 of 2026-11-02";
    assert_eq!((code, probe(&json, "advisories")), (0, ("passed", wanted)));
    let (status, reach) = probe(&json, "policy");
    assert!(
        status == "passed" && reach.contains("the git repository of the index"),
        "{reach}"
    );
    advise("RUSTSEC-2026-0003", "soon");
    let (_, json) = scene.check(&ferry);
    let found = probe(&json, "advisories").1;
    assert_eq!(found, format!("{wanted}; 1 file cannot be read"));

    // Where there are none, and where there is nothing.
    let absent = scene.folder.path().join("absent.git");
    for place in [scene.mirror.clone(), absent] {
        let ferry = scene
            .ferry()
            .with("FERRY_POLICY_ADVISORIES", place.display().to_string());
        let (code, json) = scene.check(&ferry);
        assert_eq!((code, failed(&json)), (1, vec!["advisories"]), "{json:#}");
        let probes = json["probes"].as_array().unwrap();
        let probe = probes.iter().find(|probe| probe["name"] == "advisories");
        assert!(probe.unwrap()["advice"].is_string(), "{json:#}");
    }
}
