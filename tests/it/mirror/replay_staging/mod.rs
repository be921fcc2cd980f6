//! The real index of crates.io's staging service, replayed from its first commit on, through all eight of its squashes.

mod past;

use crate::support::data::{bundle, is_full};
use crate::support::upstream::Upstream;
use crate::support::world::World;
use crates_ferry::config::History;
use crates_ferry::mirror::plan::{Outcome, Relation};
use crates_ferry::mirror::report::Report;
use crates_ferry::mirror::sync::Options;
use past::Past;
use tempfile::TempDir;

/// One way to replay it.
struct Variant {
    history: History,
    /// Sets which steps are taken.
    seed: usize,
    /// The mirror is abreast whenever a squash comes.
    is_prompt: bool,
    /// Snapshot branches are gone before the mirror sees the squash.
    is_hidden: bool,
    /// The mirror's host collects garbage between syncs.
    is_tidied: bool,
    /// The mirror's host keeps every pack as it comes.
    keeps_packs: bool,
}

const PLAIN: Variant = Variant {
    history: History::Merge,
    seed: 1,
    is_prompt: true,
    is_hidden: false,
    is_tidied: false,
    keeps_packs: false,
};

/// A replay under way.
struct Replay<'p> {
    past: &'p Past,
    variant: Variant,
    world: World,
    /// Where upstream's branch is: era and commit.
    now: (usize, &'p str),
    squashes: usize,
    proofs: usize,
}

impl<'p> Replay<'p> {
    fn begin(past: &'p Past, variant: Variant) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::empty(folder.path(), "upstream.git");
        let mut world = World::around(folder, upstream);
        if variant.keeps_packs {
            world.mirror.configure("receive.unpackLimit", "1");
        }
        let first = past.moments()[0];
        world
            .upstream
            .fetch(&past.source, &[&format!("+{}:refs/heads/master", first.1)]);
        world.init(variant.history);
        Self {
            past,
            variant,
            world,
            now: first,
            squashes: 0,
            proofs: 0,
        }
    }

    /// Moves upstream's branch, with what crates.io does at a squash and some time after it.
    fn move_upstream(&mut self, to: (usize, &'p str)) {
        if self.now.0 == to.0 && !self.world.upstream.snapshots().is_empty() {
            self.world.upstream.drop_snapshots_and_prune();
        }
        let mut refs = vec![format!("+{}:refs/heads/master", to.1)];
        let past = &self.past.eras[self.now.0..to.0];
        refs.extend(past.iter().map(|era| format!("{0}:{0}", era.snapshot)));
        let refs: Vec<&str> = refs.iter().map(String::as_str).collect();
        self.world.upstream.fetch(&self.past.source, &refs);
        if self.now.0 != to.0 && self.variant.is_hidden {
            self.world.upstream.drop_snapshots_and_prune();
        }
    }

    fn step(&mut self, to: (usize, &'p str)) {
        self.move_upstream(to);
        // The staging index lost most of its small root at times, which a person would look at.
        let report = self.world.sync_with(&Options {
            allow_loss: true,
            ..Options::default()
        });
        assert_eq!(
            report.base.map(|id| id.to_string()).as_deref(),
            Some(self.now.1)
        );
        if self.now.0 == to.0 {
            assert_eq!(
                (report.outcome, report.relation),
                (Outcome::Merge, Some(Relation::Advanced)),
                "{report}"
            );
        } else {
            self.assert_squash(&report, to.0);
        }
        assert_eq!(report.overlay, ["config.json"]);
        if self.variant.is_tidied {
            self.world.mirror.collect_garbage();
        }
        self.now = to;
    }

    fn assert_squash(&mut self, report: &Report, era: usize) {
        assert_eq!(
            (report.outcome, report.relation),
            (Outcome::Squash, Some(Relation::Squashed)),
            "{report}"
        );
        let is_provable = self.past.is_provable(self.now, era, self.variant.is_hidden);
        assert_eq!(report.proof.is_some(), is_provable, "{report}");
        let doubts = report
            .warnings
            .iter()
            .filter(|warning| warning.contains("could not be proven"));
        assert_eq!(doubts.count(), usize::from(!is_provable), "{report}");
        self.squashes += era - self.now.0;
        self.proofs += usize::from(is_provable);
    }
}

/// Replays in steps of 1 to 50 commits, the same for the same seed; of 1 to 5 when time does not matter.
fn replay(variant: Variant) {
    let Some(bundle) = bundle("staging-index.bundle") else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let past = Past::unpack(&bundle, folder.path());
    let moments = past.moments();
    let longest = if is_full() { 5 } else { 50 };
    let mut state = variant.seed;
    let mut replay = Replay::begin(&past, variant);
    let mut at = 0;
    let mut steps = 0;
    while at + 1 < moments.len() {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        let furthest = (at + 1 + (state >> 8) % longest).min(moments.len() - 1);
        at = match replay.variant.is_prompt {
            true => stop_before_squash(&moments, at, furthest),
            false => furthest,
        };
        replay.step(moments[at]);
        steps += 1;
    }
    let mirror = &replay.world.mirror;
    mirror.assert_fsck_clean();
    assert_eq!(replay.squashes, 8);
    if replay.variant.is_prompt {
        // The head before the root of 2026-04-24 is on no branch, and its tree is not that root's.
        assert_eq!(replay.proofs, 7);
    }
    println!("{steps} syncs across 8 squashes, {} proofs", replay.proofs);
    if replay.variant.history == History::Merge {
        mirror.assert_ancestor(moments[moments.len() - 1].1);
        mirror.assert_ancestor(moments[0].1);
    }
}

/// Returns the last moment of an era on the way from one moment to another, else the other.
fn stop_before_squash(moments: &[(usize, &str)], from: usize, to: usize) -> usize {
    let is_last = |at: &usize| moments[*at].0 != moments[*at + 1].0;
    (from + 1..to).find(is_last).unwrap_or(to)
}

#[test]
fn the_whole_past_is_carried_in_merge() {
    replay(PLAIN);
}

#[test]
fn the_whole_past_is_carried_in_snapshot() {
    replay(Variant {
        history: History::Snapshot,
        seed: 2,
        ..PLAIN
    });
}

#[test]
fn the_whole_past_is_carried_in_merge_by_a_host_that_tidies_up() {
    replay(Variant {
        seed: 3,
        is_prompt: false,
        is_tidied: true,
        ..PLAIN
    });
}

#[test]
fn the_whole_past_is_carried_in_snapshot_by_a_host_that_tidies_up() {
    replay(Variant {
        history: History::Snapshot,
        seed: 4,
        is_prompt: false,
        is_tidied: true,
        ..PLAIN
    });
}

#[test]
fn the_whole_past_is_carried_in_merge_without_snapshot_branches_by_a_host_that_keeps_packs() {
    replay(Variant {
        seed: 5,
        is_hidden: true,
        keeps_packs: true,
        ..PLAIN
    });
}

#[test]
fn the_whole_past_is_carried_in_snapshot_without_snapshot_branches_by_a_host_that_keeps_packs() {
    replay(Variant {
        history: History::Snapshot,
        seed: 6,
        is_hidden: true,
        keeps_packs: true,
        ..PLAIN
    });
}

#[test]
fn the_whole_past_is_carried_in_merge_late_and_without_snapshot_branches() {
    replay(Variant {
        seed: 7,
        is_prompt: false,
        is_hidden: true,
        ..PLAIN
    });
}

#[test]
fn the_whole_past_is_carried_in_snapshot_late_and_without_snapshot_branches() {
    replay(Variant {
        history: History::Snapshot,
        seed: 8,
        is_prompt: false,
        is_hidden: true,
        ..PLAIN
    });
}
