//! `sync --plain`: any git repository, as it is.

use std::process::{Command, Output};

use crate::support::ferry::Ferry;
use crate::support::mirror::Mirror;
use crate::support::repo::git;
use crate::support::scene::{Scene, Transport};
use crate::support::upstream::{Commit, bare, commit_to};

/// An upstream that is no index, and a mirror of it.
struct Pair {
    folder: tempfile::TempDir,
    mirror: Mirror,
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        bare(folder.path(), "advisories.git");
        let mirror = Mirror::empty(folder.path(), "mirror.git");
        let pair = Self { folder, mirror };
        pair.advise(1);
        pair
    }

    fn upstream(&self) -> std::path::PathBuf {
        self.folder.path().join("advisories.git")
    }

    /// Commits an advisory upstream.
    fn advise(&self, number: usize) {
        let text = format!("[advisory]\nid = \"RUSTSEC-2026-{number:04}\"\n");
        let path = format!("crates/foo/RUSTSEC-2026-{number:04}.md");
        let commit = Commit::new(format!("Add advisory {number}")).file(&path, text);
        commit_to(&self.upstream(), [commit]);
    }

    fn upstream_tip(&self) -> String {
        git(&self.upstream(), &["rev-parse", "master"])
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let path = |folder: &std::path::Path| folder.to_str().unwrap().to_owned();
        let ferry = Ferry::new(path(&self.upstream()), path(self.mirror.path()));
        run(&ferry, arguments)
    }

    /// Says whether the mirror is as it was made.
    fn has_no_branch(&self) -> bool {
        git(self.mirror.path(), &["for-each-ref"]).is_empty()
    }

    #[track_caller]
    fn sync(&self, arguments: &[&str]) -> serde_json::Value {
        let done = self.run(arguments);
        assert!(done.status.success(), "{done:?}");
        serde_json::from_slice(&done.stdout).unwrap()
    }
}

fn run(ferry: &Ferry, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crates-ferry"))
        .args(["sync", "--plain", "--format", "json"])
        .args(arguments)
        .env_clear()
        .envs(ferry.variables().iter().cloned())
        .output()
        .unwrap()
}

/// Returns the kind of a failure, and what is said of it.
#[track_caller]
fn refusal(done: &Output, code: i32) -> (String, String) {
    assert_eq!(done.status.code(), Some(code), "{done:?}");
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let kind = told["error"]["kind"].as_str().unwrap();
    (kind.to_owned(), told.to_string())
}

#[test]
fn a_repository_that_is_no_index_is_carried_commit_by_commit() {
    let pair = Pair::new();
    let plan = pair.sync(&["--dry-run"]);
    assert_eq!(
        (&plan["outcome"], &plan["after"]),
        (&"created".into(), &().into())
    );
    assert!(pair.has_no_branch());
    let made = pair.sync(&[]);
    assert_eq!(made["outcome"], "created");
    assert_eq!(pair.mirror.tip(), pair.upstream_tip());
    assert_eq!(pair.sync(&[])["outcome"], "up-to-date");
    for number in 2..5 {
        pair.advise(number);
    }
    let plan = pair.sync(&["--dry-run"]);
    assert_eq!(
        (&plan["outcome"], &plan["commits"]),
        (&"fast-forward".into(), &3.into())
    );
    assert_ne!(pair.mirror.tip(), pair.upstream_tip());
    let done = pair.sync(&[]);
    assert_eq!(
        (&done["outcome"], &done["commits"]),
        (&"fast-forward".into(), &3.into())
    );
    // Upstream's own commits, and all that belongs to them.
    assert_eq!(pair.mirror.tip(), pair.upstream_tip());
    git(pair.mirror.path(), &["fsck", "--full", "--strict"]);
}

#[test]
fn over_every_transport_the_branch_moves_to_upstreams_tip() {
    for transport in [Transport::Git, Transport::Ssh, Transport::Http] {
        let Some(scene) = Scene::over(transport, "merge") else {
            continue;
        };
        // An index as well is carried without a config.json of the mirror's own.
        git(
            &scene.mirror_path(),
            &["update-ref", "-d", "refs/heads/master"],
        );
        let done = run(&scene.ferry(), &[]);
        assert!(done.status.success(), "{transport:?}: {done:?}");
        assert_eq!(
            Some(scene.mirror_tip()),
            scene.source.tip(),
            "{transport:?}"
        );
    }
}

#[test]
fn what_upstream_does_not_contain_goes_only_where_a_person_says_so() {
    let mut pair = Pair::new();
    pair.sync(&[]);
    pair.mirror.write("README", "ours\n");
    let ours = pair.mirror.tip();
    pair.advise(2);
    let (kind, told) = refusal(&pair.run(&[]), 3);
    assert_eq!(kind, "guard");
    assert!(told.contains("--plain --allow-loss"), "{told}");
    assert_eq!(pair.mirror.tip(), ours);
    // Its host has the last word.
    let (_, told) = refusal(&pair.run(&["--allow-loss"]), 3);
    assert!(told.contains("non-fast-forward"), "{told}");
    assert_eq!(pair.mirror.tip(), ours);
    pair.mirror
        .configure("receive.denyNonFastForwards", "false");
    let done = pair.sync(&["--allow-loss"]);
    assert_eq!(done["outcome"], "forced-update");
    assert!(done["warnings"][0].to_string().contains(&ours), "{done}");
    assert_eq!(pair.mirror.tip(), pair.upstream_tip());
}

#[test]
fn what_another_push_brings_meanwhile_is_not_lost() {
    let mut pair = Pair::new();
    pair.sync(&[]);
    pair.mirror.write("README", "ours\n");
    let agreed = pair.mirror.tip();
    pair.mirror.write("README", "a colleague's\n");
    let colleagues = pair.mirror.tip();
    git(pair.mirror.path(), &["branch", "later", &colleagues]);
    git(
        pair.mirror.path(),
        &["update-ref", "refs/heads/master", &agreed],
    );
    pair.mirror
        .configure("receive.denyNonFastForwards", "false");
    // The colleague's push ends while ours is looked at.
    let hook = pair.mirror.path().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let text =
        "#!/bin/sh\nexec env -u GIT_QUARANTINE_PATH git update-ref refs/heads/master later\n";
    std::fs::write(&hook, text).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    pair.advise(2);
    let (kind, told) = refusal(&pair.run(&["--allow-loss"]), 3);
    assert_eq!(kind, "guard", "{told}");
    assert_eq!(pair.mirror.tip(), colleagues);
}

#[test]
fn a_branch_that_a_clone_would_not_check_out_is_told() {
    let pair = Pair::new();
    git(
        pair.mirror.path(),
        &["symbolic-ref", "HEAD", "refs/heads/main"],
    );
    let made = pair.sync(&[]);
    let warning = made["warnings"][0].to_string();
    assert!(warning.contains("make master the default branch"), "{made}");
}

#[test]
fn a_rewritten_upstream_is_told_also_where_it_keeps_its_old_commits() {
    let pair = Pair::new();
    pair.advise(2);
    pair.sync(&[]);
    let before = pair.mirror.tip();
    git(&pair.upstream(), &["branch", "old", "master"]);
    git(
        &pair.upstream(),
        &["update-ref", "refs/heads/master", "master~1"],
    );
    pair.advise(3);
    assert_eq!(refusal(&pair.run(&[]), 3).0, "guard");
    assert_eq!(pair.mirror.tip(), before);
    pair.mirror
        .configure("receive.denyNonFastForwards", "false");
    let done = pair.sync(&["--allow-loss"]);
    assert_eq!(
        (&done["outcome"], &done["relation"]),
        (&"forced-update".into(), &"diverged".into())
    );
    assert_eq!(pair.mirror.tip(), pair.upstream_tip());
}

#[test]
fn a_shallow_clone_and_keys_of_an_index_are_refused_before_any_push() {
    let pair = Pair::new();
    pair.advise(2);
    let clone = pair.folder.path().join("shallow.git");
    let from = format!("file://{}", pair.upstream().display());
    let to = clone.to_str().unwrap();
    git(
        pair.folder.path(),
        &["clone", "-q", "--bare", "--depth", "1", &from, to],
    );
    let mirror = pair.mirror.path().to_str().unwrap();
    let (_, told) = refusal(&run(&Ferry::new(to, mirror), &[]), 2);
    assert!(
        told.contains("--unshallow") && !told.contains("snapshot"),
        "{told}"
    );
    let upstream = pair.upstream();
    let ferry = Ferry::new(upstream.to_str().unwrap(), mirror);
    for (key, value) in [
        ("FERRY_MIRROR_HISTORY", "snapshot"),
        ("FERRY_MIRROR_KEEP", "own/*"),
    ] {
        let (_, told) = refusal(&run(&ferry.clone().with(key, value), &[]), 2);
        assert!(told.contains("--plain"), "{told}");
    }
    assert!(pair.has_no_branch());
}
