//! The real index of crates.io from March to May 2020, replayed in steps of hundreds and thousands of commits.

use crate::support::data::{is_full, unbundle};
use crate::support::repo::git;
use crate::support::upstream::Upstream;
use crate::support::world::World;
use crates_ferry::config::History;
use crates_ferry::mirror::plan::{Outcome, Relation};

/// How many commits are replayed where not all are: enough for some steps of each size, within a test's patience.
const SOME: usize = 5_000;

/// Returns the steps to replay so many commits in, few commits and many in turn.
fn steps(commits: usize) -> Vec<usize> {
    let mut state = 2020;
    let mut steps = Vec::new();
    let mut left = commits;
    while left > 0 {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        let step = match steps.len() % 4 {
            0 => 1 + (state >> 8) % 20,
            1 => 1_000 + (state >> 8) % 1_000,
            _ => 100 + (state >> 8) % 900,
        };
        steps.push(step.min(left));
        left -= step.min(left);
    }
    steps
}

/// Replays upstream's commits onto the mirror, which has the first; returns how many syncs that took.
fn replay(world: &mut World, commits: &[&str], is_tidied: bool) -> usize {
    let mut at = 0;
    let steps = steps(commits.len() - 1);
    for (number, step) in steps.iter().enumerate() {
        let base = commits[at];
        at += step;
        world.upstream.move_to(commits[at]);
        let report = world.sync();
        assert_eq!(
            (report.outcome, report.relation),
            (Outcome::Merge, Some(Relation::Advanced)),
            "{report}"
        );
        assert_eq!(
            (report.base.unwrap().to_string().as_str(), report.commits),
            (base, Some(*step)),
            "{report}"
        );
        assert_eq!(report.overlay, ["config.json"]);
        assert!(report.warnings.is_empty(), "{report}");
        // About 1 KB a commit, and the root trees.
        let bound = 400_000 + 2_000 * u64::try_from(*step).unwrap();
        assert!(report.received_bytes < bound, "{step} commits: {report}");
        if is_tidied && number % 4 == 2 {
            world.mirror.collect_garbage();
        }
    }
    world.mirror.assert_fsck_clean();
    steps.len()
}

/// Replays twice from the same beginning: onto a host that tidies up, and onto one that keeps every pack as it comes.
fn replay_twice(history: History) {
    let folder = tempfile::tempdir().unwrap();
    let mut upstream = Upstream::empty(folder.path(), "upstream.git");
    if !unbundle("index-2020.bundle", upstream.path()) {
        return;
    }
    let listed = git(upstream.path(), &["rev-list", "--reverse", "master"]);
    let commits: Vec<&str> = listed.lines().collect();
    let commits = if is_full() {
        &commits[..]
    } else {
        &commits[..=SOME]
    };
    upstream.move_to(commits[0]);
    let mut world = World::around(folder, upstream);
    world.init(history);
    world.save_mirror();
    let syncs = replay(&mut world, commits, true);
    world.restore_mirror();
    world.mirror.configure("receive.unpackLimit", "1");
    replay(&mut world, commits, false);
    println!("{} commits in {syncs} syncs, twice", commits.len() - 1);
}

#[test]
fn months_of_2020_are_carried_in_merge() {
    replay_twice(History::Merge);
}

#[test]
fn months_of_2020_are_carried_in_snapshot() {
    replay_twice(History::Snapshot);
}
