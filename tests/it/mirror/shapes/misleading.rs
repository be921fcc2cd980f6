//! Servers and histories that look like something else than they are.

use std::os::unix::fs::PermissionsExt;

use crates_ferry::config::History;
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::{Outcome, Relation};
use crates_ferry::mirror::report::Report;

use crate::support::upstream::{Commit, IndexLine, commit_to_at_once};
use crate::support::world::{BOTH, World};

fn assert_warns(report: &Report, text: &str) {
    assert!(
        report.warnings.iter().any(|told| told.contains(text)),
        "{text}: {report}"
    );
}

/// Publishes crates in commits that are all of the same second.
fn publish_at_once(world: &mut World, names: &[String]) {
    let commit = |name: &String| Commit::publish(name, &[IndexLine::new("1.0.0")]);
    world.upstream.commit_at_once(names.iter().map(commit));
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

#[test]
fn an_upstream_that_sees_the_mirrors_objects_does_not_take_its_private_files_for_its_own() {
    let mut world = World::empty();
    world.upstream.publish_many("crate", 20);
    world.mirror.copy_of(&world.upstream);
    world
        .mirror
        .write(".gitlab-ci.yml", "sync: {}\n")
        .write("my/pr/my-private", "{}\n");
    world.upstream.share_objects_of(world.mirror.path());
    for name in ["first", "second"] {
        world.upstream.publish(name, "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            (report.relation, report.commits),
            (Some(Relation::Advanced), Some(1))
        );
        assert_eq!(report.overlay, [".gitlab-ci.yml", "my/"]);
        assert_eq!(world.mirror.read("my/pr/my-private").unwrap(), b"{}\n");
    }
}

#[test]
fn a_plain_copy_moves_on_without_a_merge_when_all_commits_are_of_the_same_second() {
    for count in 5..9 {
        let mut world = World::empty();
        publish_at_once(&mut world, &names("crate", count));
        world.mirror.copy_of(&world.upstream);
        for round in 0..2 {
            publish_at_once(&mut world, &names(&format!("late{round}-"), 2));
            let report = world.carry(Outcome::FastForward);
            assert_eq!(
                (report.relation, report.commits),
                (Some(Relation::Advanced), Some(2))
            );
        }
    }
}

#[test]
fn a_copy_with_a_persons_commit_goes_on_without_a_conflict_when_all_are_of_the_same_second() {
    for count in 5..9 {
        let mut world = World::empty();
        let crates = names("crate", count);
        publish_at_once(&mut world, &crates);
        world.mirror.copy_of(&world.upstream);
        let notes = Commit::new("Add notes").file("notes", "ours\n");
        commit_to_at_once(world.mirror.path(), [notes]);
        // The last crate once more: with an older base it would look changed on both sides.
        let again = Commit::publish(&crates[count - 1], &[IndexLine::new("2.0.0")]);
        world.upstream.commit_at_once([again]);
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            (report.relation, report.commits),
            (Some(Relation::Advanced), Some(1))
        );
        assert_eq!(report.overlay, ["notes"]);
    }
}

#[test]
fn a_merge_by_hand_of_commits_of_the_same_second_becomes_the_base() {
    for count in 1..5 {
        let mut world = World::empty();
        world.upstream.publish_many("crate", 5);
        world.mirror.copy_of(&world.upstream);
        world.mirror.write("notes", "ours\n");
        let crates = names("late", count);
        publish_at_once(&mut world, &crates);
        world.mirror.merge(&world.upstream, "master");
        world.upstream.publish(&crates[count - 1], "2.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            (report.relation, report.commits),
            (Some(Relation::Advanced), Some(1))
        );
        assert_eq!(report.overlay, ["notes"]);
    }
}

#[test]
fn a_newer_sibling_of_a_base_that_is_gone_is_followed_as_a_rewrite() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.upstream.publish("withdrawn", "1.0.0");
        world.sync();
        world.upstream.rewind(1).publish("instead", "1.0.0").prune();
        let report = world.carry(Outcome::Merge);
        assert_eq!(report.relation, Some(Relation::Diverged));
        assert_warns(&report, "was rewritten");
    }
}

#[test]
fn a_copy_with_private_files_that_is_behind_a_hidden_squash_keeps_them() {
    let mut world = World::empty();
    world.upstream.publish_many("crate", 40);
    world.mirror.copy_of(&world.upstream);
    world.mirror.write("my/pr/my-private", "{}\n");
    world.upstream.publish_many("late", 2);
    world.upstream.squash();
    world
        .upstream
        .drop_snapshots_and_prune()
        .publish("new", "1.0.0");
    let report = world.carry(Outcome::Squash);
    assert_eq!(report.overlay, ["my/"]);
    assert_warns(&report, "could not be proven");
}

#[test]
fn a_proven_root_does_not_vouch_for_a_foreign_one_that_was_merged_in() {
    for history in BOTH {
        for is_older in [true, false] {
            let mut world = World::initialised(history);
            if is_older {
                world.upstream.fork_root("foreign").squash();
            } else {
                world.upstream.squash();
                world.upstream.fork_root("foreign");
            }
            world.upstream.merge_fork("foreign");
            let report = world.carry(Outcome::Squash);
            assert_eq!(report.proof, None, "{report}");
            assert_warns(&report, "could not be proven");
        }
    }
}

#[test]
fn more_foreign_roots_than_an_index_ever_has_are_refused() {
    let mut world = World::initialised(History::Merge);
    for number in 0..17 {
        let branch = format!("foreign-{number}");
        world.upstream.fork_root(&branch).merge_fork(&branch);
    }
    let error = world.refused(Kind::Server);
    assert!(error.to_string().contains("without parents"), "{error}");
}

#[test]
fn a_config_json_that_upstream_once_had_is_no_hindrance_to_a_strict_mirror() {
    let mut model = World::empty();
    model.init(History::Merge);
    let ours = model.mirror.read("config.json").unwrap();
    for history in BOTH {
        let mut world = World::empty();
        let theirs = world.upstream.id("master:config.json");
        world.upstream.write("config.json", ours.clone());
        world.upstream.write("config.json", "{}");
        world.mirror.configure("receive.unpackLimit", "1");
        let report = world.init(history);
        assert_eq!(report.overlay, ["config.json"]);
        assert_eq!(world.mirror.read("config.json").unwrap(), ours);
        assert_ne!(world.mirror.id("master:config.json"), theirs);
        world.mirror.assert_fsck_clean();
    }
}

#[test]
fn a_kept_file_whose_old_directory_upstream_once_had_is_no_hindrance_to_a_strict_mirror() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.mirror.configure("receive.unpackLimit", "1");
        world.set("FERRY_MIRROR_KEEP", "cr/at/crate7");
        // Between the two, upstream's directory is the very one that the mirror's own is going to be.
        world
            .upstream
            .publish("crate-new", "1.0.0")
            .publish("crate7", "2.0.0");
        let ours = world.mirror.id("master:cr/at/crate7");
        let report = world.carry(Outcome::Merge);
        assert_eq!(report.overlay, ["config.json", "cr/at/crate7"]);
        assert_eq!(world.mirror.id("master:cr/at/crate7"), ours);
        assert_eq!(
            world.mirror.id("master:cr/at"),
            world.upstream.id("master~:cr/at")
        );
    }
}

/// Lets somebody commit to the mirror as soon as a push has moved its branch, and before the server says so: of all the moments
/// at which that may happen the one that a look at the branch afterwards is sure to meet.
fn let_somebody_follow_at_once(world: &World) {
    const HOOK: &str = r#"#!/bin/sh
test "$1" = committed || exit 0
test -z "$FOLLOWED" || exit 0
grep -q refs/heads/master || exit 0
FOLLOWED=yes; export FOLLOWED
next=$(git -c user.name=b -c user.email=b@b.example commit-tree -m Follow -p master 'master^{tree}') &&
git update-ref refs/heads/master "$next"
"#;
    let path = world.mirror.path().join("hooks/reference-transaction");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, HOOK).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Syncs with somebody committing right after; the mirror must hold what the report says, and somebody's commit on top of it.
fn sync_before_somebody(world: &World) -> Report {
    let_somebody_follow_at_once(world);
    let report = world.ferry.sync().unwrap();
    assert_eq!(world.mirror.message("master"), "Follow");
    assert_eq!(
        report.after.map(|id| id.to_string()),
        Some(world.mirror.id("master~"))
    );
    report
}

#[test]
fn a_merge_onto_which_somebody_pushes_at_once_is_told_as_it_was_made() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.upstream.publish("new", "1.0.0");
        let report = sync_before_somebody(&world);
        assert_eq!(
            (report.outcome, report.relation, report.commits),
            (Outcome::Merge, Some(Relation::Advanced), Some(1))
        );
    }
}

#[test]
fn a_squash_onto_which_somebody_pushes_at_once_keeps_its_warning() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.upstream.publish_many("late", 2);
        world.upstream.squash();
        world
            .upstream
            .drop_snapshots_and_prune()
            .publish("new", "1.0.0");
        let report = sync_before_somebody(&world);
        assert_eq!(report.outcome, Outcome::Squash);
        assert_warns(&report, "could not be proven");
    }
}
