//! Servers that break off, lie, stall or never end: each is an error of the right kind, and the mirror is as it was.

mod damage;
mod gateways;
mod packs;
mod plain;
mod pushes;
mod servers;
mod shallow;
use std::time::Duration;

use crate::support::costly_pack::{deltas_in_a_chain, pack_of};
use crate::support::frames::packet;
use crate::support::proxy::{Action, Passing, Way};
use crate::support::scene::{MASTER, Scene, told};
use crates_ferry::error::Kind;
use servers::EMPTY_TREE;

/// Says whether a packet carries a piece of a pack, or of a push's report.
fn is_data(passing: &Passing<'_>) -> bool {
    passing.way == Way::Down && passing.bytes.get(4) == Some(&1)
}

/// Says whether this is the first packet of a service that speaks version 2.
fn is_first(passing: &Passing<'_>) -> bool {
    passing.way == Way::Down && contains(passing.bytes, "version 2")
}

fn is_ref(passing: &Passing<'_>) -> bool {
    passing.way == Way::Down && contains(passing.bytes, MASTER)
}

/// Says whether this is the line of the branch itself, not that of HEAD, which names it.
fn is_branch(passing: &Passing<'_>) -> bool {
    is_ref(passing) && passing.bytes.ends_with(format!(" {MASTER}\n").as_bytes())
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn every_fault_of_a_server_has_its_kind_and_leaves_the_mirror_alone() {
    let scene = Scene::new("merge");
    let patient = scene.ferry();
    let impatient = scene.ferry().with("FERRY_NETWORK_IDLE_TIMEOUT", "500ms");
    for (side, proxy) in [("upstream", &scene.upstream), ("mirror", &scene.mirror)] {
        for fault in servers::faults() {
            let (at, becomes, after) = (fault.at, fault.becomes, fault.after);
            let stalls = after == Action::Stall;
            let ferry = if stalls { &impatient } else { &patient };
            // A connection that is cut before anything was asked for is opened once more, and new commits that cannot be read
            // from the beginning of upstream's pack are asked for by themselves.
            let is_lasting = after == Action::HangUp || side == "upstream";
            let mut is_done = false;
            proxy.watch(move |passing| {
                if is_done && !is_lasting || !at(passing) {
                    return Action::Pass;
                }
                is_done = true;
                passing.bytes.clone_from(&becomes);
                after.clone()
            });
            let error = scene.refused(ferry);
            let said = told(&error);
            let name = format!("{side}, {}: {said}", fault.name);
            assert_eq!(error.kind(), fault.kind, "{name}");
            assert!(said.contains(fault.says), "{name}");
            assert!(said.contains(side) && error.advice().is_some(), "{name}");
        }
        proxy.watch(|_| Action::Pass);
    }
}

#[test]
fn a_server_that_never_ends_is_given_up_after_the_time_that_a_command_may_take() {
    let scene = Scene::new("merge");
    let ferry = scene.ferry().with("FERRY_NETWORK_TIMEOUT", "1s");
    let refs = packet(format!("{EMPTY_TREE} refs/heads/master-and-more\n"));
    let words = packet("\x02counting objects\r");
    type Watch = fn(&Passing<'_>) -> bool;
    let endless: [(Watch, _); 2] = [(is_ref, refs), (is_data, words)];
    for (at, what) in endless {
        scene.upstream.watch(move |passing| match at(passing) {
            true => Action::Endless(what.clone()),
            false => Action::Pass,
        });
        let error = scene.refused(&ferry);
        assert_eq!(error.kind(), Kind::Network);
        assert!(error.to_string().contains("longer than 1s"), "{error}");
    }
}

#[test]
fn a_small_pack_that_is_much_work_ends_the_sync_and_keeps_nobody_waiting() {
    let pack = pack_of(&deltas_in_a_chain(4 << 20, 400));
    let scene = Scene::new("merge");
    for (side, proxy) in [("upstream", &scene.upstream), ("mirror", &scene.mirror)] {
        let mut pieces = Vec::new();
        for piece in pack.chunks(60_000) {
            pieces.extend(packet([&[1], piece].concat()));
        }
        proxy.watch(move |passing| {
            if is_data(passing) {
                passing.bytes.clone_from(&pieces);
                return Action::HangUp;
            }
            Action::Pass
        });
        let (end, waited) = scene.ferry().sync_beside_another_task();
        proxy.watch(|_| Action::Pass);
        let error = end.expect_err("gigabytes of work are done");
        let said = told(&error);
        assert_eq!(error.kind(), Kind::Server, "{said}");
        assert!(said.contains("the work of reading a pack"), "{said}");
        assert!(said.contains(side), "{said}");
        // An object takes some hundredths of a second, the pack several seconds.
        assert!(waited < Duration::from_secs(1), "{side}: {waited:?}");
    }
    assert!(scene.is_untouched());
}

#[test]
fn a_tip_that_is_gone_when_it_is_asked_for_is_looked_up_again() {
    let scene = Scene::new("merge");
    let tip = scene.source.tip().unwrap();
    let mut is_done = false;
    scene.upstream.watch(move |passing| {
        if is_branch(passing) && !is_done {
            let gone = String::from_utf8_lossy(passing.bytes).replace(&tip, &"5".repeat(40));
            *passing.bytes = gone.into_bytes();
            is_done = true;
        }
        Action::Pass
    });
    scene.sync().unwrap();
    scene.assert_carried();
}

#[test]
fn a_command_that_takes_too_long_says_at_what_and_which_side_is_silent() {
    let scene = Scene::new("merge");
    let ferry = scene.ferry().with("FERRY_NETWORK_TIMEOUT", "1s");
    for (side, other, proxy) in [
        ("upstream", "mirror", &scene.upstream),
        ("mirror", "upstream", &scene.mirror),
    ] {
        proxy.watch(|passing| match is_first(passing) {
            true => Action::Stall,
            false => Action::Pass,
        });
        let said = told(&scene.refused(&ferry));
        proxy.watch(|_| Action::Pass);
        assert!(
            said.contains("longer than 1s while reading both sides"),
            "{said}"
        );
        assert!(said.contains(&format!("{side} git://")), "{said}");
        assert!(!said.contains(&format!("{other} git://")), "{said}");
    }
}
