//! An upstream that shows less than the mirror has seen already, and has never seen the rest.

use crates_ferry::config::History;
use crates_ferry::error::Kind;
use crates_ferry::mirror::plan::{Outcome, Relation};

use crate::support::world::{BOTH, World};

/// The upstream that no longer follows.
const STALE: &str = "stale.git";

/// Turns to the copy that no longer follows, which must be refused; the real upstream is carried on as if nothing had been.
fn refuse_the_stale_copy(world: &mut World) {
    let error = world.turn_to(STALE).refused(Kind::Rewound);
    assert_eq!(error.kind().exit_code(), 3);
    world.turn_to("upstream.git");
    world.upstream.publish("back", "1.0.0");
    let report = world.carry(Outcome::Merge);
    assert_eq!(
        (report.relation, report.commits),
        (Some(Relation::Advanced), Some(1))
    );
}

#[test]
fn a_copy_of_upstream_that_lags_and_lacks_the_base_is_refused() {
    for history in BOTH {
        for behind in [1, 20] {
            let mut world = World::initialised(history);
            world.upstream.publish_many("early", 10);
            world.copy_upstream(STALE);
            world.upstream.publish_many("late", behind);
            world.sync();
            refuse_the_stale_copy(&mut world);
        }
    }
}

#[test]
fn a_copy_of_upstream_that_lags_by_more_than_the_last_ten_syncs_is_refused() {
    for history in BOTH {
        let mut world = World::empty();
        world.upstream.publish_many("crate", 30);
        world.copy_upstream(STALE);
        world.upstream.publish_many("early", 2);
        world.init(history);
        for number in 0..10 {
            world.upstream.publish_many(&format!("late{number}-"), 3);
            world.sync();
        }
        refuse_the_stale_copy(&mut world);
    }
}

#[test]
fn a_copy_of_upstream_that_has_not_seen_the_squash_is_refused() {
    for (history, late) in [
        (History::Merge, 0),
        (History::Snapshot, 0),
        (History::Snapshot, 2),
    ] {
        let mut world = World::initialised(history);
        world.upstream.publish_many("late", late);
        world.copy_upstream(STALE);
        world.upstream.publish_many("hidden", late);
        world.upstream.squash();
        world
            .upstream
            .drop_snapshots_and_prune()
            .publish("new", "1.0.0");
        world.carry(Outcome::Squash);
        refuse_the_stale_copy(&mut world);
    }
}

#[test]
fn an_upstream_that_goes_back_to_a_line_which_it_had_left_is_refused() {
    let mut world = World::initialised(History::Merge);
    world.upstream.publish("withdrawn", "1.0.0");
    world.sync();
    let left = world.upstream.id("master");
    world.upstream.rewind(1).publish("instead", "1.0.0");
    world.carry(Outcome::Merge);
    world.upstream.move_to(&left);
    world.refused(Kind::Rewound);
}
