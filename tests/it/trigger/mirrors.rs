//! End to end: real repositories, the stand-in running the real sync when it is asked to, and a helper that keeps the mirror
//! moving.

use std::process::Command;
use std::time::{Duration, Instant};

use crates_ferry::config::History;
use serde_json::json;

use super::variables;
use crate::support::gitlab::{Gitlab, READ_TOKEN};
use crate::support::sshd::{Options, Sshd};
use crate::support::trigger::{HOOK_TOKEN, Helper, fire};
use crate::support::upstream::Commit;
use crate::support::world::World;

/// A mirror abreast of its upstream, and a GitLab whose pipelines sync it.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) gitlab: Gitlab,
}

impl Site {
    pub(crate) fn new(history: History) -> Self {
        Self::of(World::initialised(history))
    }

    /// Makes the pipelines sync what the world's variables say.
    fn of(world: World) -> Self {
        let gitlab = Gitlab::start();
        let ferry = world.ferry.variables().to_vec();
        gitlab.run(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_crates-ferry"));
            command
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap());
            command.args(["-q", "sync"]).envs(ferry.iter().cloned());
            command.output().unwrap().status.success()
        });
        Self { world, gitlab }
    }

    /// Returns the variables of a helper that polls every 50 ms.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let quick = variables(&[
            ("FERRY_TRIGGER_POLL", "50ms"),
            ("FERRY_TRIGGER_MIN_INTERVAL", "10ms"),
            ("FERRY_TRIGGER_ASSUME_RUNNING", "1s"),
        ]);
        [
            self.world.ferry.variables().to_vec(),
            self.gitlab.variables(),
            quick,
        ]
        .concat()
    }

    pub(crate) fn publish(&mut self, name: &str) {
        self.world.upstream.publish_many(name, 3);
    }

    /// Says whether the mirror holds upstream's tip.
    pub(crate) fn is_abreast(&self) -> bool {
        let tip = self.world.upstream.tip().unwrap();
        let mut command = Command::new("git");
        command.args(["merge-base", "--is-ancestor", &tip, "refs/heads/master"]);
        command
            .current_dir(self.world.folder().join("mirror.git"))
            .output()
            .unwrap()
            .status
            .success()
    }

    pub(crate) fn wait_until_abreast(&self, helper: &Helper) {
        let tip = self.world.upstream.tip().unwrap();
        helper.wait_for("abreast", |status| {
            status["behind"] == json!(false) && status["upstream"] == json!(tip)
        });
    }
}

#[test]
fn new_commits_are_in_the_mirror_as_soon_as_they_are_seen() {
    let mut site = Site::new(History::Merge);
    let mut all = site.variables();
    // A slow machine's pipeline must not be taken for a finished one.
    all.extend(variables(&[("FERRY_TRIGGER_ASSUME_RUNNING", "1m")]));
    let helper = Helper::start(&all);
    site.wait_until_abreast(&helper);
    assert_eq!(
        site.gitlab.pipelines().len(),
        0,
        "an abreast mirror costs no pipeline"
    );
    for round in 0..3 {
        site.publish(&format!("round-{round}"));
        site.wait_until_abreast(&helper);
        assert!(site.is_abreast());
        // The mirror moves a moment before its pipeline ends, and the helper does not wait for that end.
        site.gitlab.wait_for_ends(round + 1);
    }
    let (end, log) = helper.stop();
    assert!(end.success(), "{log}");
    assert_eq!(site.gitlab.most_unfinished(), 1, "{log}");
}

#[test]
fn a_new_commit_is_in_the_mirror_within_two_polls() {
    let poll = Duration::from_secs(3);
    let mut site = Site::new(History::Merge);
    let mut all = site.variables();
    all.extend(variables(&[("FERRY_TRIGGER_POLL", "3s")]));
    let helper = Helper::start(&all);
    site.wait_until_abreast(&helper);
    site.publish("new");
    let begin = Instant::now();
    site.gitlab.wait_for_ends(1);
    let took = begin.elapsed();
    assert!(site.is_abreast() && took < 2 * poll, "{took:?}");
    assert!(helper.stop().0.success());
}

#[test]
fn a_snapshot_mirror_that_is_behind_at_the_start_is_carried_by_the_first_look() {
    let mut site = Site::new(History::Snapshot);
    site.publish("before");
    let mut variables = site.variables();
    variables.retain(|(name, _)| name != "FERRY_TRIGGER_POLL");
    let helper = Helper::start(&variables);
    site.gitlab.wait_for_ends(1);
    let (end, log) = helper.stop();
    assert!(end.success(), "{log}");
    assert_eq!(site.gitlab.pipelines(), ["success"]);
}

#[test]
fn a_mirror_behind_sshd_is_watched_with_its_key() {
    let mut world = World::initialised(History::Merge);
    let Some(sshd) = Sshd::start(&Options::new(world.folder())) else {
        return;
    };
    world
        .set("FERRY_MIRROR_URL", sshd.url("mirror.git"))
        .set("SSH_PRIVATE_KEY", sshd.private_key_text())
        .set("SSH_KNOWN_HOSTS", sshd.known_hosts_line());
    let mut site = Site::of(world);
    let helper = Helper::start(&site.variables());
    site.wait_until_abreast(&helper);
    site.publish("over-ssh");
    site.wait_until_abreast(&helper);
    assert!(site.is_abreast());
    let (end, log) = helper.stop();
    assert!(end.success() && !log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn a_squashed_upstream_is_carried_too() {
    let mut site = Site::new(History::Merge);
    let helper = Helper::start(&site.variables());
    site.wait_until_abreast(&helper);
    site.world.upstream.squash();
    site.wait_until_abreast(&helper);
}

#[test]
fn a_commit_that_upstream_makes_anew_with_the_same_tree_costs_no_pipeline() {
    let mut site = Site::new(History::Merge);
    let helper = Helper::start(&site.variables());
    site.wait_until_abreast(&helper);
    let tree = site.world.upstream.id("master^{tree}");
    site.world.upstream.rewind(1).publish("crate39", "0.39.0");
    assert_eq!(site.world.upstream.id("master^{tree}"), tree);
    site.wait_until_abreast(&helper);
    assert!(!site.is_abreast());
    assert_eq!(site.gitlab.pipelines().len(), 0);
}

#[test]
fn the_clock_fires_by_itself() {
    let site = Site::new(History::Merge);
    let mut all = site.gitlab.variables();
    all.extend(variables(&[
        ("FERRY_TRIGGER_EVERY", "100ms"),
        ("FERRY_TRIGGER_JITTER", "10ms"),
        ("FERRY_TRIGGER_MIN_INTERVAL", "10ms"),
    ]));
    let helper = Helper::start(&all);
    site.gitlab.hook(&helper.url("/hooks/gitlab"), HOOK_TOKEN);
    site.gitlab.wait_for_ends(3);
    assert_eq!(site.gitlab.most_unfinished(), 1);
}

#[test]
fn a_pipeline_under_way_is_known_by_its_status() {
    let site = Site::new(History::Merge);
    site.gitlab.run(|| true);
    let mut all = site.variables();
    all.extend(variables(&[("GITLAB_READ_TOKEN", READ_TOKEN)]));
    let helper = Helper::start(&all);
    site.wait_until_abreast(&helper);
    helper.trigger();
    let status = helper.wait_for("over", |status| {
        status["pipeline_status"] == json!("success")
    });
    assert_eq!(status["running"], json!(false));
    assert!(!helper.stop().1.contains(READ_TOKEN));
}

#[test]
fn fire_if_behind_fires_nothing_where_nothing_is_missing() {
    let mut site = Site::new(History::Merge);
    let output = fire(&site.variables(), &["--if-behind"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "up to date: no pipeline needed\n"
    );
    assert_eq!(
        (output.status.code(), site.gitlab.requests().len()),
        (Some(0), 0)
    );
    site.publish("new");
    let output = fire(&site.variables(), &["--if-behind"]);
    assert!(output.status.success());
    site.gitlab.wait_for_ends(1);
    assert!(site.is_abreast());
}

#[test]
fn a_mirror_of_its_own_commits_only_is_not_behind() {
    let site = Site::new(History::Merge);
    let helper = Helper::start(&site.variables());
    site.wait_until_abreast(&helper);
    let own = Commit::new("a private crate").file("my/pr/my-private", "{}");
    crate::support::upstream::commit_to(&site.world.folder().join("mirror.git"), [own]);
    helper.wait_for("moved", |status| status["last_change"].is_string());
    assert_eq!(helper.status()["behind"], json!(false));
    assert_eq!(site.gitlab.pipelines().len(), 0);
}
