//! Upstream loses much of its root at once.

use crates_ferry::config::History;
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::Outcome;
use crates_ferry::mirror::sync::Options;

use crate::support::upstream::Commit;
use crate::support::world::{BOTH, World};

/// A world whose root has this many directories besides config.json.
fn with_root(history: History, directories: usize) -> World {
    let mut world = World::empty();
    let fill = |commit: Commit, number| commit.file(&path(number), format!("{number}\n"));
    world
        .upstream
        .commit([(0..directories).fold(Commit::new("Fill the root"), fill)]);
    world.init(history);
    world
}

fn path(number: usize) -> String {
    format!("{number:03}/x")
}

fn lose(world: &mut World, directories: usize) {
    let lose = |commit: Commit, number| commit.without(&path(number));
    world
        .upstream
        .commit([(0..directories).fold(Commit::new("Lose much"), lose)]);
}

#[test]
fn an_upstream_that_lost_more_than_a_fifth_of_a_large_root_is_refused_until_that_is_allowed() {
    for history in BOTH {
        let mut world = with_root(history, 499);
        lose(&mut world, 101);
        let error = world.refused(Kind::Guard);
        assert!(
            error
                .to_string()
                .contains("lost 101 of 500 entries of its root (20%)"),
            "{error}"
        );
        assert!(error.advice().unwrap().contains("--allow-loss"));
        let allowed = Options {
            allow_loss: true,
            ..Options::default()
        };
        let report = world.carry_with(&allowed, Outcome::Merge);
        let [warning] = &report.warnings[..] else {
            panic!("{report}");
        };
        assert!(
            warning.contains("lost 101 of 500") && warning.contains("--allow-loss"),
            "{warning}"
        );
        assert_eq!(world.mirror.read(&path(0)), None);
        assert!(world.mirror.read(&path(101)).is_some());
    }
}

#[test]
fn an_upstream_that_lost_a_fifth_of_a_large_root_is_carried() {
    let mut world = with_root(History::Merge, 499);
    lose(&mut world, 100);
    world.carry(Outcome::Merge);
}

#[test]
fn a_small_root_may_lose_less_than_half() {
    let mut world = with_root(History::Merge, 498);
    lose(&mut world, 249);
    world.carry(Outcome::Merge);
    let mut world = with_root(History::Merge, 498);
    lose(&mut world, 250);
    world.refused(Kind::Guard);
}

#[test]
fn an_upstream_without_its_config_json_is_refused() {
    let mut world = with_root(History::Merge, 20);
    let commit = Commit::new("Lose what makes it an index");
    world.upstream.commit([commit.without("config.json")]);
    let error = world.refused(Kind::Guard);
    assert!(error.to_string().contains("config.json"), "{error}");
    // No share that may be lost helps.
    assert!(
        !error.advice().unwrap().contains("max_root_loss"),
        "{error:?}"
    );
}

#[test]
fn a_loss_is_seen_across_a_squash() {
    for history in BOTH {
        let mut world = with_root(history, 600);
        lose(&mut world, 300);
        world.upstream.squash();
        world.refused(Kind::Guard);
    }
}

#[test]
fn the_share_that_may_be_lost_is_configured() {
    let mut world = with_root(History::Merge, 600);
    lose(&mut world, 10);
    world.set("FERRY_MIRROR_MAX_ROOT_LOSS", "1%");
    world.refused(Kind::Guard);
    world.set("FERRY_MIRROR_MAX_ROOT_LOSS", "50%");
    world.carry(Outcome::Merge);
}
