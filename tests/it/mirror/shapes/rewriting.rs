//! Upstream's history takes another course, without a squash.

use crates_ferry::config::History;
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::{Outcome, Relation};

use crate::support::upstream::{Commit, IndexLine};
use crate::support::world::{BOTH, World};

#[test]
fn a_side_branch_that_left_long_before_the_base_brings_its_own_commits_only() {
    for history in BOTH {
        let mut world = World::empty();
        world.upstream.publish_many("old", 100);
        let side = Commit::publish("side", &[IndexLine::new("1.0.0")]);
        world.upstream.fork("side", side).publish_many("crate", 200);
        world.init(history);
        world
            .upstream
            .publish("before", "1.0.0")
            .merge_fork("side")
            .publish("after", "1.0.0");
        let objects = world.mirror.objects();
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            (report.relation, report.commits),
            (Some(Relation::Advanced), Some(4))
        );
        assert_eq!(report.crates, ["after", "before", "side"]);
        assert!(report.warnings.is_empty(), "{report}");
        let brought = world.mirror.objects() - objects;
        assert!(brought < 40, "{history:?}: {brought} objects");
        // Among them is the beginning of a pack that turned out to bring what the side branch had left.
        assert!(report.received_bytes < 100_000, "{report}");
    }
}

#[test]
fn a_force_push_of_sibling_commits_is_followed_with_a_warning() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world
            .upstream
            .publish("first", "1.0.0")
            .publish("withdrawn", "1.0.0");
        world.carry(Outcome::Merge);
        world.mirror.write("pr/iv/private", "ours\n");
        let base = world.upstream.tip().unwrap();
        world
            .upstream
            .rewind(1)
            .publish("instead", "1.0.0")
            .publish("later", "1.0.0");
        for is_gone in [false, true] {
            if is_gone {
                world.upstream.rewind(2).publish("third", "1.0.0").prune();
            }
            let report = world.carry(Outcome::Merge);
            assert_eq!(report.relation, Some(Relation::Diverged), "{report}");
            assert!(report.warnings[0].contains("was rewritten"), "{report}");
            assert_eq!(report.overlay, ["config.json", "pr/"]);
            assert_eq!(world.mirror.read("wi/th/withdrawn"), None);
            assert!(is_gone || report.base.unwrap().to_string() == base);
            assert!(report.received_bytes < 30_000, "{report}");
        }
    }
}

#[test]
fn a_force_push_that_finds_the_mirror_behind_the_fork_is_an_ordinary_advance() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.upstream.publish_many("withdrawn", 3);
        world.upstream.rewind(2).publish("instead", "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            (report.relation, report.commits),
            (Some(Relation::Advanced), Some(2))
        );
        assert!(report.warnings.is_empty(), "{report}");
    }
}

#[test]
fn an_upstream_that_went_back_is_refused() {
    for history in BOTH {
        for by in [1, 3] {
            let mut world = World::initialised(history);
            // So many that what goes is not half of the root, which would be refused for that.
            for name in ["alpha", "beta", "gamma", "delta", "one", "two", "three"] {
                world.upstream.publish(name, "1.0.0");
                world.sync();
            }
            world.upstream.rewind(by);
            let error = world.refused(Kind::Rewound);
            assert!(error.to_string().contains("is older than"), "{error}");
            assert!(error.advice().is_some());
            world.upstream.publish("four", "1.0.0");
            assert_eq!(
                world.carry(Outcome::Merge).relation,
                Some(Relation::Diverged)
            );
        }
    }
}

#[test]
fn an_upstream_that_went_back_behind_a_single_large_sync_is_refused() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.upstream.publish_many("late", 200);
        world.sync();
        world.upstream.rewind(100);
        world.refused(Kind::Rewound);
    }
}

#[test]
fn an_upstream_of_another_project_is_refused() {
    for history in BOTH {
        let mut world = World::initialised(history);
        world.upstream.start_over();
        world.refused(Kind::Unrelated);
        world.upstream.prune();
        let error = world.refused(Kind::Unrelated);
        assert!(
            error.to_string().contains("no history in common"),
            "{error}"
        );
    }
}

#[test]
fn a_mirror_of_another_project_is_refused() {
    let mut world = World::empty();
    world.upstream.publish_many("crate", 5);
    world.mirror.write("README.md", "something else\n");
    world.refused(Kind::Unrelated);
}

#[test]
fn a_root_that_says_nothing_of_a_collapse_but_shares_the_files_is_carried_with_a_warning() {
    let mut world = World::initialised(History::Merge);
    world
        .upstream
        .publish("new", "1.0.0")
        .replace_with_root("Start again\n");
    world.upstream.prune();
    let report = world.carry(Outcome::Squash);
    assert!(
        report.warnings[0].contains("could not be proven"),
        "{report}"
    );
}
