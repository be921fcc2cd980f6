//! Upstream's branch moves while a sync is under way: before any of its requests.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crates_ferry::config::History;
use crates_ferry::mirror::plan::Outcome;

use crate::support::proxy::{Action, Passing, Proxy, Way};
use crate::support::repo::git;
use crate::support::world::{BOTH, World};

/// Where upstream's branch goes.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// One commit on.
    On,
    /// To a commit beside the tip, which is then gone.
    Aside,
    /// To a root of the same tree, with all before it gone.
    Squash,
}

/// A mirror three commits behind, and the branch `next` to which upstream is going to move.
fn behind(history: History, to: Move) -> World {
    let mut world = World::initialised(history);
    world.upstream.publish_many("late", 3);
    let tip = world.upstream.tip().unwrap();
    match to {
        Move::On => world.upstream.publish("next", "1.0.0"),
        Move::Aside => world.upstream.rewind(1).publish("next", "1.0.0"),
        Move::Squash => {
            let message = format!(
                "Collapse index into one commit\n\nPrevious HEAD was {tip}, now on the `x` branch\n"
            );
            world.upstream.replace_with_root(&message)
        }
    };
    git(world.upstream.path(), &["branch", "next", "master"]);
    world.upstream.move_to(&tip);
    world
}

/// Runs `act` before the n-th command (from 0) passes to the server; returns the count of commands.
fn before_command(
    proxy: &Proxy,
    number: usize,
    act: impl Fn() + Send + 'static,
) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    proxy.watch(move |passing: &mut Passing<'_>| {
        let is_command = passing.way == Way::Up && passing.bytes[4..].starts_with(b"command=");
        if is_command && counted.fetch_add(1, Ordering::SeqCst) == number {
            act();
        }
        Action::Pass
    });
    count
}

fn move_branch(repo: &Path) {
    git(repo, &["update-ref", "refs/heads/master", "next"]);
    git(repo, &["repack", "-a", "-d", "-q"]);
    git(repo, &["prune", "--expire=now"]);
}

/// How a sync ended during which upstream moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was over before.
    TooLate,
    /// It carried upstream as it was before it moved.
    Old,
    /// It looked again and carried upstream as it is.
    New,
    /// It failed for a passing reason: a server process whose repository is cleaned up under it serves no more.
    Cut,
}

/// Syncs while upstream moves before its n-th command, and once more afterwards.
fn sync_while_moving(history: History, to: Move, number: usize) -> End {
    let mut world = behind(history, to);
    let proxy = world.watch_upstream();
    let (old, repo) = (world.upstream.tip(), world.upstream.path().to_owned());
    let commands = before_command(&proxy, number, move || move_branch(&repo));
    let before = world.mirror.tip();
    let result = world.ferry.sync();
    proxy.settle();
    proxy.watch(|_| Action::Pass);
    if commands.load(Ordering::SeqCst) <= number {
        return End::TooLate;
    }
    world.mirror.assert_ancestor(&before);
    world.mirror.assert_fsck_clean();
    let end = match result {
        Ok(report) if Some(report.upstream.to_string()) == old => End::Old,
        Ok(report) => {
            assert_eq!(Some(report.upstream.to_string()), world.upstream.tip());
            End::New
        }
        Err(error) => {
            assert!(error.kind().is_transient(), "{error}");
            assert_eq!(world.mirror.tip(), before, "{error}");
            End::Cut
        }
    };
    assert_eq!(world.sync().outcome == Outcome::UpToDate, end == End::New);
    assert_eq!(world.sync().outcome, Outcome::UpToDate);
    world
        .mirror
        .assert_is_upstream_plus_overlay(world.upstream.path(), &["config.json"]);
    world.mirror.assert_fsck_clean();
    end
}

fn sync_while_moving_at_every_command(history: History, to: Move) -> Vec<End> {
    let ends = (0..20).map(|number| sync_while_moving(history, to, number));
    let ends: Vec<End> = ends.take_while(|end| *end != End::TooLate).collect();
    assert_eq!(ends[0], End::New, "upstream moved before it was looked at");
    assert!((2..20).contains(&ends.len()), "{ends:?}");
    ends
}

#[test]
fn an_upstream_that_moves_on_between_two_requests_is_carried_as_it_was() {
    for history in BOTH {
        let ends = sync_while_moving_at_every_command(history, Move::On);
        assert!(ends[1..].iter().all(|end| *end == End::Old), "{ends:?}");
    }
}

#[test]
fn an_upstream_whose_tip_is_replaced_between_two_requests_is_looked_at_again() {
    for history in BOTH {
        let ends = sync_while_moving_at_every_command(history, Move::Aside);
        assert!(ends[1..].contains(&End::New), "{ends:?}");
    }
}

#[test]
fn an_upstream_that_is_squashed_between_two_requests_is_looked_at_again() {
    for history in BOTH {
        let ends = sync_while_moving_at_every_command(history, Move::Squash);
        assert!(ends[1..].contains(&End::New), "{ends:?}");
    }
}
