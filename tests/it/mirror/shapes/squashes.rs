//! Upstream collapses its history.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crates_ferry::config::History;
use crates_ferry::mirror::plan::{Outcome, Relation};
use crates_ferry::mirror::report::Report;

use crate::support::lighttpd::Lighttpd;
use crate::support::proxy::{Action, Proxy, Way};
use crate::support::repo::git;
use crate::support::world::{BOTH, World};

/// Less than this is no whole tree of a [`large`] world.
const SMALL: u64 = 20_000;

/// A world whose whole tree is far more than a squash may bring.
fn large(history: History) -> World {
    let mut world = World::empty();
    world.upstream.publish_many("crate", 500);
    world.init(history);
    world
}

fn assert_proven(report: &Report) {
    assert_eq!(report.relation, Some(Relation::Squashed));
    assert!(report.proof.is_some(), "{report}");
    assert!(report.warnings.is_empty(), "{report}");
}

fn assert_warns(report: &Report, texts: &[&str]) {
    assert_eq!(report.warnings.len(), texts.len(), "{report}");
    for text in texts {
        assert!(
            report.warnings.iter().any(|warning| warning.contains(text)),
            "{text}: {report}"
        );
    }
}

#[test]
fn a_squash_that_finds_the_mirror_abreast_is_proven_and_costs_little() {
    for history in BOTH {
        for is_gone in [false, true] {
            let mut world = large(history);
            world.upstream.squash();
            world.upstream.publish("new", "1.0.0");
            if is_gone {
                world.upstream.drop_snapshots_and_prune();
            }
            let objects = world.mirror.objects();
            let report = world.carry(Outcome::Squash);
            assert_proven(&report);
            assert_eq!(
                (report.commits, report.crates.as_slice()),
                (Some(1), &["new".to_owned()][..])
            );
            assert!(
                report.received_bytes < SMALL,
                "{history:?} {is_gone}: {report}"
            );
            assert!(
                world.mirror.objects() - objects < 20,
                "{history:?} {is_gone}"
            );
            world
                .mirror
                .assert_ancestor(&report.before.unwrap().to_string());
            if history == History::Merge {
                world.mirror.assert_ancestor(&world.upstream.tip().unwrap());
            }
        }
    }
}

#[test]
fn a_squash_alone_without_any_new_commit_is_carried() {
    for history in BOTH {
        for is_gone in [false, true] {
            let mut world = large(history);
            world.upstream.squash();
            if is_gone {
                world.upstream.drop_snapshots_and_prune();
            }
            let report = world.carry(Outcome::Squash);
            assert_proven(&report);
            assert_eq!(report.commits, Some(0));
            assert!(
                report.received_bytes < SMALL,
                "{history:?} {is_gone}: {report}"
            );
        }
    }
}

#[test]
fn a_squash_that_finds_the_mirror_behind_is_proven_by_the_snapshot_branch() {
    for history in BOTH {
        let mut world = large(history);
        world.upstream.publish_many("late", 5);
        world.upstream.squash();
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Squash);
        assert_proven(&report);
        assert_eq!(report.commits, Some(6));
        assert_eq!(
            report.crates,
            ["late0", "late1", "late2", "late3", "late4", "new"]
        );
        assert!(report.received_bytes < SMALL, "{history:?}: {report}");
    }
}

#[test]
fn a_squash_that_finds_the_mirror_behind_and_hides_the_old_head_is_carried_whole_with_warnings() {
    for history in BOTH {
        let mut world = large(history);
        world.upstream.publish_many("late", 5);
        world.upstream.squash();
        world
            .upstream
            .publish("new", "1.0.0")
            .drop_snapshots_and_prune();
        let report = world.carry(Outcome::Squash);
        assert_eq!(
            (report.relation, &report.proof),
            (Some(Relation::Squashed), &None)
        );
        assert_warns(
            &report,
            &[
                "proven that nothing else changed: upstream no longer has its previous head",
                "its whole tree is transferred",
            ],
        );
        assert!(report.received_bytes > SMALL, "{report}");
    }
}

#[test]
fn syncs_go_on_as_before_after_every_kind_of_squash() {
    for history in BOTH {
        let mut world = large(history);
        for round in 0..4 {
            if round % 2 == 1 {
                world.upstream.publish(&format!("behind{round}"), "1.0.0");
            }
            world.upstream.squash();
            if round >= 2 {
                world.upstream.drop_snapshots_and_prune();
            }
            world.carry(Outcome::Squash);
            world.mirror.collect_garbage();
            world.upstream.publish(&format!("after{round}"), "1.0.0");
            let report = world.carry(Outcome::Merge);
            assert_eq!(
                (report.relation, report.commits),
                (Some(Relation::Advanced), Some(1))
            );
            assert!(
                report.warnings.is_empty() && report.received_bytes < SMALL,
                "{report}"
            );
        }
    }
}

#[test]
fn two_squashes_while_the_mirror_slept_are_proven_one_by_the_other() {
    for history in BOTH {
        for late in [0, 3] {
            let mut world = large(history);
            world.upstream.publish_many("late", late);
            world.upstream.squash();
            world.upstream.publish_many("between", 2);
            world.upstream.squash();
            world.upstream.publish("new", "1.0.0");
            let report = world.carry(Outcome::Squash);
            assert_proven(&report);
            assert_eq!(report.commits, Some(late + 3));
            assert!(
                report.received_bytes < SMALL,
                "{history:?} {late}: {report}"
            );
        }
    }
}

#[test]
fn a_second_squash_shows_the_first_one_whose_snapshot_branch_is_gone() {
    for history in BOTH {
        let mut world = large(history);
        world.upstream.squash();
        world.upstream.drop_snapshots_and_prune();
        world.upstream.publish("between", "1.0.0").squash();
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Squash);
        assert_proven(&report);
        assert_eq!(report.crates, ["between", "new"]);
        assert!(report.received_bytes < SMALL, "{history:?}: {report}");
    }
}

#[test]
fn two_squashes_while_the_mirror_slept_of_which_one_is_hidden_are_carried_with_a_warning() {
    for history in BOTH {
        let mut world = large(history);
        world.upstream.publish("late", "1.0.0").squash();
        world.upstream.drop_snapshots_and_prune();
        world.upstream.publish("between", "1.0.0").squash();
        world.upstream.publish("new", "1.0.0");
        let report = world.carry(Outcome::Squash);
        assert_eq!(report.proof, None);
        assert_warns(
            &report,
            &["could not be proven", "its whole tree is transferred"],
        );
    }
}

#[test]
fn a_root_that_changes_more_than_the_history_is_carried_with_a_warning() {
    for history in BOTH {
        for late in [0, 2] {
            let mut world = large(history);
            world.upstream.publish_many("late", late);
            let head = world.upstream.tip().unwrap();
            git(world.upstream.path(), &["branch", "snapshot-x", &head]);
            world.upstream.delete("crate7");
            // The new root claims to be the collapse of a head whose tree was another one.
            let message = format!(
                "Collapse index into one commit\n\nPrevious HEAD was {head}, now on the `snapshot-x` branch\n"
            );
            world.upstream.replace_with_root(&message);
            let report = world.carry(Outcome::Squash);
            assert_eq!(report.proof, None);
            assert_warns(&report, &["could not be proven"]);
            assert_eq!(world.mirror.read("cr/at/crate7"), None);
        }
    }
}

#[test]
fn a_plain_copy_of_upstream_is_carried_across_a_squash() {
    for is_gone in [false, true] {
        let mut world = World::empty();
        world.upstream.publish_many("crate", 40);
        world.mirror.copy_of(&world.upstream);
        world.upstream.squash();
        world.upstream.publish("new", "1.0.0");
        if is_gone {
            world.upstream.drop_snapshots_and_prune();
        }
        let report = world.carry(Outcome::Squash);
        assert_proven(&report);
        assert!(report.overlay.is_empty(), "{report}");
        assert_eq!(world.mirror.parents("master"), 2);
    }
}

#[test]
fn a_plain_copy_that_is_behind_a_squash_whose_old_head_is_hidden_is_carried_with_a_warning() {
    let mut world = World::empty();
    world.upstream.publish_many("crate", 40);
    world.mirror.copy_of(&world.upstream);
    world.upstream.publish("late", "1.0.0").squash();
    world.upstream.drop_snapshots_and_prune();
    assert_warns(
        &world.carry(Outcome::Squash),
        &["could not be proven", "whole tree"],
    );
}

#[test]
fn a_server_error_while_a_squash_is_proven_is_retried_and_neither_proves_nor_disproves_it() {
    for history in BOTH {
        let mut world = large(history);
        world.upstream.publish_many("late", 5);
        let head = world.upstream.tip().unwrap();
        world.upstream.squash();
        let Some(server) = Lighttpd::start(world.folder(), None) else {
            return;
        };
        let proxy = Proxy::before(server.port());
        let asked = unavailable_once_for(&proxy, &format!("want {head}"));
        let url = server.url("upstream.git");
        let url = url.replace(&server.port().to_string(), &proxy.port().to_string());
        world.set("FERRY_UPSTREAM_URL", url);
        world.set("FERRY_NETWORK_RETRIES", "1");
        assert_proven(&world.sync());
        assert_eq!(asked.load(Ordering::Relaxed), 2, "{history:?}");
    }
}

/// Answers the first request that holds these words with 503; counts the answers to all of them.
fn unavailable_once_for(proxy: &Proxy, words: &str) -> Arc<AtomicUsize> {
    let answers = Arc::new(AtomicUsize::new(0));
    let (count, words) = (Arc::clone(&answers), words.to_owned());
    let mut asking = None;
    proxy.watch(move |passing| {
        let text = String::from_utf8_lossy(passing.bytes);
        if passing.way == Way::Up && text.contains(&words) {
            asking = Some(passing.connection);
        }
        if passing.way == Way::Down && asking == Some(passing.connection) {
            asking = None;
            if count.fetch_add(1, Ordering::Relaxed) == 0 {
                let unavailable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                *passing.bytes = unavailable.into();
                return Action::HangUp;
            }
        }
        Action::Pass
    });
    answers
}
