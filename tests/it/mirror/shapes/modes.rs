//! How much of upstream's history a mirror carries, and mirrors that the relay did not make.

use crates_ferry::config::History;
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::{Outcome, Relation};

use crate::support::world::World;

#[test]
fn a_plain_copy_of_upstream_is_moved_forward_without_a_commit() {
    let mut world = World::empty();
    world.upstream.publish_many("crate", 40);
    world.mirror.copy_of(&world.upstream);
    assert_eq!(world.sync().outcome, Outcome::UpToDate);
    world.upstream.publish_many("new", 3);
    let report = world.carry(Outcome::FastForward);
    assert_eq!(
        (report.relation, report.commits),
        (Some(Relation::Advanced), Some(3))
    );
    assert!(
        report.overlay.is_empty() && report.warnings.is_empty(),
        "{report}"
    );
    assert_eq!(Some(world.mirror.tip()), world.upstream.tip());
}

#[test]
fn a_plain_copy_with_a_config_json_of_a_persons_own_is_merged() {
    let mut world = World::empty();
    world.upstream.publish_many("crate", 40);
    world
        .mirror
        .copy_of(&world.upstream)
        .write("config.json", r#"{"dl": "https://ours.example"}"#);
    world.upstream.publish("new", "1.0.0");
    let report = world.carry(Outcome::Merge);
    assert_eq!(
        (report.commits, report.overlay.as_slice()),
        (Some(1), &["config.json".to_owned()][..])
    );
}

#[test]
fn a_plain_copy_begins_to_keep_snapshots() {
    let mut world = World::empty();
    world.upstream.publish_many("crate", 40);
    world.mirror.copy_of(&world.upstream);
    world.set("FERRY_MIRROR_HISTORY", "snapshot");
    for name in ["first", "second"] {
        world.upstream.publish(name, "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(report.commits, Some(1));
        assert!(report.received_bytes < 20_000, "{report}");
    }
}

#[test]
fn a_mirror_goes_from_merge_to_snapshot_in_mid_life_and_never_back() {
    let mut world = World::initialised(History::Merge);
    world.upstream.publish("carried", "1.0.0");
    world.carry(Outcome::Merge);
    let last_merged = world.upstream.tip().unwrap();
    world.set("FERRY_MIRROR_HISTORY", "snapshot");
    for name in ["first", "second"] {
        world.upstream.publish(name, "1.0.0");
        let report = world.carry(Outcome::Merge);
        assert_eq!(
            (report.relation, report.commits),
            (Some(Relation::Advanced), Some(1))
        );
        world.mirror.collect_garbage();
    }
    world.mirror.assert_ancestor(&last_merged);
    assert_eq!(history_of(&world, "second"), 0);
    world.upstream.squash();
    world
        .upstream
        .publish("third", "1.0.0")
        .drop_snapshots_and_prune();
    let report = world.carry(Outcome::Squash);
    assert!(
        report.proof.is_some() && report.warnings.is_empty(),
        "{report}"
    );

    world.set("FERRY_MIRROR_HISTORY", "merge");
    world.refused(Kind::Mode);
    world.upstream.publish("fourth", "1.0.0");
    let error = world.refused(Kind::Mode);
    assert!(error.advice().unwrap().contains("not back"), "{error:?}");
    world.set("FERRY_MIRROR_HISTORY", "");
    world.carry(Outcome::Merge);
    assert_eq!(history_of(&world, "fourth"), 0);
}

/// Counts the upstream commits in the mirror's history that carry a crate.
fn history_of(world: &World, name: &str) -> usize {
    let subject = format!("Update crate `{name}`");
    world
        .mirror
        .subjects()
        .iter()
        .filter(|line| **line == subject)
        .count()
}

#[test]
fn a_snapshot_mirror_holds_no_commit_of_upstreams() {
    let mut world = World::initialised(History::Snapshot);
    world.upstream.publish("first", "1.0.0");
    world.carry(Outcome::Merge);
    let subjects = world.mirror.subjects();
    assert_eq!(subjects.len(), 4, "{subjects:?}");
    assert!(
        subjects
            .iter()
            .all(|line| !line.starts_with("Update crate")),
        "{subjects:?}"
    );
}

#[test]
fn the_mode_is_read_from_the_mirror_where_none_is_configured() {
    for history in [History::Merge, History::Snapshot] {
        let mut world = World::initialised(history);
        for name in ["first", "second"] {
            world.upstream.publish(name, "1.0.0");
            world.carry(Outcome::Merge);
            let carried = if history == History::Merge { 1 } else { 0 };
            assert_eq!(history_of(&world, name), carried);
        }
    }
}
