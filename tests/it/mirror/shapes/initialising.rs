//! The first commit of an empty mirror, and mirrors that are not empty or not as they should be.

use crates_ferry::config::History;
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::Outcome;
use crates_ferry::mirror::sync::Options;
use serde_json::{Value, json};

use crate::support::repo::git;
use crate::support::world::{BOTH, World, error_of};

#[test]
fn an_empty_mirror_gets_upstreams_files_and_a_config_json_of_its_own() {
    for history in BOTH {
        let mut world = World::empty();
        world.upstream.publish_many("crate", 40);
        let report = world.init(history);
        assert_eq!(report.overlay, ["config.json"]);
        assert!(
            report.before.is_none() && report.warnings.is_empty(),
            "{report}"
        );
        world.mirror.assert_fsck_clean();
        let commits = if history == History::Merge { 42 } else { 2 };
        assert_eq!(world.mirror.subjects().len(), commits);
        assert_eq!(world.sync().outcome, Outcome::UpToDate);
    }
}

#[test]
fn upstreams_other_keys_stay_in_the_mirrors_config_json() {
    let mut world = World::empty();
    world.upstream.write("config.json", r#"{"dl": "https://a.example", "api": "https://b.example", "auth-required": false, "x": [1]}"#);
    world.init(History::Merge);
    let made: Value = serde_json::from_slice(&world.mirror.read("config.json").unwrap()).unwrap();
    let wanted = json!({
        "dl": "https://crates.example/dl", "api": "https://crates.example", "auth-required": false, "x": [1]
    });
    assert_eq!(made, wanted);
}

#[test]
fn without_addresses_of_its_own_a_mirror_begins_as_upstreams_tree() {
    for history in BOTH {
        let mut world = World::empty();
        world.set("FERRY_MIRROR_DL", "").set("FERRY_MIRROR_API", "");
        let report = world.init(history);
        assert!(report.overlay.is_empty(), "{report}");
        world.mirror.assert_fsck_clean();
        world.upstream.publish("new", "1.0.0");
        assert!(world.carry(Outcome::Merge).overlay.is_empty());
    }
}

#[test]
fn a_mirror_that_has_the_branch_is_not_made_anew() {
    let world = World::initialised(History::Merge);
    let (tip, objects) = (world.mirror.tip(), world.mirror.objects());
    let error = error_of(world.ferry.init());
    assert_eq!(error.kind(), Kind::MirrorExists);
    assert!(error.advice().unwrap().contains("crates-ferry sync"));
    assert_eq!((world.mirror.tip(), world.mirror.objects()), (tip, objects));
}

#[test]
fn a_mirror_that_is_upstream_itself_is_told_but_for_a_dry_run() {
    let mut world = World::empty();
    let url = world.ferry.variables()[0].1.clone();
    world.set("FERRY_MIRROR_URL", url.trim_end_matches(".git"));
    // The daemon adds what is missing at the end, as hosts do.
    let report = world.ferry.sync().unwrap();
    assert_eq!(report.outcome, Outcome::UpToDate);
    assert_eq!(report.warnings.len(), 1, "{report}");
    assert!(
        report.warnings[0].contains("the same repository"),
        "{report}"
    );
    // So the first steps of the documentation try the network, before there is a mirror.
    let dry = Options {
        dry_run: true,
        ..Options::default()
    };
    assert!(world.ferry.sync_with(&dry).unwrap().warnings.is_empty());
    git(world.upstream.path(), &["branch", "copy", "master"]);
    world.set("FERRY_MIRROR_BRANCH", "copy");
    assert!(world.ferry.sync().unwrap().warnings.is_empty());
}

#[test]
fn an_empty_mirror_is_not_synced() {
    let world = World::empty();
    let error = error_of(world.ferry.sync());
    assert_eq!(error.kind(), Kind::EmptyMirror);
    assert!(error.advice().unwrap().contains("crates-ferry init"));
    assert_eq!(world.mirror.objects(), 0);
}

#[test]
fn an_upstream_whose_config_json_is_no_json_is_refused() {
    for content in [Some("<html>404</html>"), Some("[]"), None] {
        let mut world = World::empty();
        match content {
            Some(text) => world.upstream.write("config.json", text),
            None => world
                .upstream
                .remove("config.json")
                .publish("crate", "1.0.0"),
        };
        let error = error_of(world.ferry.init());
        assert_eq!(error.kind(), Kind::UpstreamConfig, "{content:?}: {error}");
        assert_eq!(world.mirror.objects(), 0);
    }
}

#[test]
fn an_upstream_without_the_branch_is_a_matter_of_configuration() {
    let mut world = World::initialised(History::Merge);
    world.set("FERRY_UPSTREAM_BRANCH", "nightly");
    let error = world.refused(Kind::Config);
    assert!(
        error.to_string().contains("has no branch nightly"),
        "{error}"
    );
}

#[test]
fn a_head_that_is_not_the_mirrors_branch_is_told() {
    let mut world = World::empty();
    git(
        world.mirror.path(),
        &["symbolic-ref", "HEAD", "refs/heads/main"],
    );
    let report = world.init(History::Merge);
    assert_eq!(report.warnings.len(), 1, "{report}");
    assert!(
        report.warnings[0].contains("refs/heads/main, not refs/heads/master"),
        "{report}"
    );
    world.upstream.publish("new", "1.0.0");
    world.carry(Outcome::Merge);
}

#[test]
fn other_branches_of_a_mirror_are_left_alone() {
    for history in BOTH {
        let mut world = World::empty();
        world.mirror.write("README.md", "another project\n");
        git(world.mirror.path(), &["branch", "-m", "master", "main"]);
        git(
            world.mirror.path(),
            &["symbolic-ref", "HEAD", "refs/heads/main"],
        );
        let other = world.mirror.id("main");
        let report = world.init(history);
        assert!(report.warnings[0].contains("refs/heads/main"), "{report}");
        world.upstream.publish("new", "1.0.0");
        world.carry(Outcome::Merge);
        assert_eq!(world.mirror.id("main"), other);
    }
}

#[test]
fn a_kept_path_is_not_taken_over_from_upstream_by_the_first_commit() {
    for history in BOTH {
        let mut world = World::empty();
        world.upstream.publish_many("crate", 9);
        world.upstream.publish("mine", "6.6.6");
        world.set("FERRY_MIRROR_KEEP", "mi/ne/mine,cr/at/crate7");
        let report = world.init(history);
        assert_eq!(
            report.overlay,
            ["config.json", "cr/at/crate7", "mi/ne/mine"]
        );
        world.mirror.assert_fsck_clean();
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            report.overlay,
            ["config.json", "cr/at/crate7", "mi/ne/mine"]
        );
        assert!(report.warnings.is_empty(), "{report}");
    }
}

#[test]
fn another_branch_is_carried_to_another_branch() {
    let mut world = World::empty();
    world.upstream.publish_many("crate", 5);
    git(world.upstream.path(), &["branch", "index", "master"]);
    world
        .set("FERRY_UPSTREAM_BRANCH", "index")
        .set("FERRY_MIRROR_BRANCH", "carried");
    let report = world.ferry.init().unwrap();
    assert_eq!(
        report.after.unwrap().to_string(),
        world.mirror.id("carried")
    );
    assert!(
        report.warnings[0].contains("make carried the default branch"),
        "{report}"
    );
}

#[test]
fn a_tip_that_is_no_commit_is_told_as_that() {
    let mut world = World::empty();
    world.upstream.publish("one", "1.0.0");
    let tree = world.upstream.id("master^{tree}");
    let file = world.folder().join("malformed");
    // Without an author, as no git writes it.
    std::fs::write(&file, format!("tree {tree}\n\nmessage\n")).unwrap();
    let path = world.upstream.path();
    let write = ["hash-object", "-w", "-t", "commit", "--literally"];
    let id = git(path, &[&write[..], &[file.to_str().unwrap()]].concat());
    std::fs::write(path.join("refs/heads/master"), id).unwrap();
    let error = error_of(world.ferry.clone().init());
    assert_eq!(error.kind(), Kind::Server);
    let text = error.chain();
    assert!(
        text.contains("upstream.git: a commit cannot be parsed"),
        "{text}"
    );
    assert!(error.advice().unwrap().contains("git fsck"), "{error:?}");
}
