//! Servers that break off, lie, stall or never end: each is an error of the right kind, and the mirror is as it was.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::process::Command;

use crates_ferry::error::Kind;
use crates_ferry::wire::pack::{ObjectKind, whole_entry};
use support::proxy::{Action, Passing, Proxy, Way, packet};
use support::scene::{MASTER, Scene, told};

const FLUSH: &[u8] = b"0000";

/// Says whether a packet carries a piece of a pack, or of a push's report.
fn is_data(passing: &Passing<'_>) -> bool {
    passing.way == Way::Down && passing.bytes.get(4) == Some(&1)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

/// Changes the pack for the push, which is the only one that is asked for with `thin-pack`; the closure sees one packet at a
/// time of it.
fn spoil_pack(
    upstream: &Proxy,
    mut spoil: impl FnMut(&mut Passing<'_>) -> Action + Send + 'static,
) {
    let mut is_asked = false;
    upstream.watch(move |passing| {
        is_asked |= passing.way == Way::Up && contains(passing.bytes, "thin-pack");
        if is_asked && is_data(passing) {
            return spoil(passing);
        }
        Action::Pass
    });
}

/// Returns the bytes that were pushed: what follows the request.
fn pushed(scene: &Scene) -> Vec<u8> {
    let record = scene.mirror.settle();
    let sent = record.iter().filter(|((_, way), _)| *way == Way::Up);
    let sent = sent
        .map(|(_, bytes)| bytes)
        .find(|bytes| contains(bytes, "receive-pack"));
    let sent = sent.expect("the mirror was opened for a push");
    let at = sent.windows(4).position(|part| part == b"PACK");
    at.map_or(Vec::new(), |at| sent[at..].to_vec())
}

/// Syncs where the pack is spoilt on its way; nothing that could pass for its end may reach the mirror.
fn spoilt(spoil: impl FnMut(&mut Passing<'_>) -> Action + Send + 'static) -> (Kind, String) {
    let scene = Scene::new("merge");
    spoil_pack(&scene.upstream, spoil);
    let error = scene.ferry().sync().expect_err("the sync succeeds");
    scene.upstream.settle();
    let pack = pushed(&scene);
    let body = pack.len().saturating_sub(20);
    let sum = sha1(&scene, &pack[..body]);
    assert_ne!(sum, pack[body..], "a trailer was sent");
    assert_eq!(scene.mirror_tip(), scene.old);
    scene.assert_sound();
    (error.kind(), told(&error))
}

fn sha1(scene: &Scene, bytes: &[u8]) -> Vec<u8> {
    let file = scene.folder.path().join("summed");
    std::fs::write(&file, bytes).unwrap();
    let output = Command::new("sha1sum").arg(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    hex::decode(&text[..40]).unwrap()
}

#[test]
fn a_pack_that_ends_early_is_never_completed() {
    let (kind, said) = spoilt(|passing| {
        // The sideband ends in order, and with it what was to be a pack.
        let half = passing.bytes.len() / 2;
        *passing.bytes = packet(&passing.bytes[4..half]);
        passing.bytes.extend_from_slice(FLUSH);
        Action::HangUp
    });
    assert!([Kind::Network, Kind::Server].contains(&kind), "{said}");
}

#[test]
fn a_pack_with_a_wrong_trailer_is_never_completed() {
    let (kind, said) = spoilt(|passing| {
        let last = passing.bytes.len() - 1;
        passing.bytes[last] ^= 1;
        Action::Pass
    });
    assert_eq!(kind, Kind::Server, "{said}");
    assert!(said.contains("checksum"), "{said}");
}

#[test]
fn a_pack_with_a_changed_byte_is_never_completed() {
    let (kind, said) = spoilt(|passing| {
        let middle = passing.bytes.len() / 2;
        passing.bytes[middle] ^= 0x10;
        Action::Pass
    });
    assert_eq!(kind, Kind::Server, "{said}");
}

#[test]
fn a_fatal_error_within_the_pack_is_told_in_the_servers_words() {
    let (kind, said) = spoilt(|passing| {
        *passing.bytes = packet("\x03upload-pack: not enough memory\n");
        Action::HangUp
    });
    assert_eq!(kind, Kind::Server, "{said}");
    assert!(said.contains("not enough memory"), "{said}");
}

/// A fault of a server, as a change of one of its packets, and what is told of it.
struct Fault {
    name: &'static str,
    /// Which packet is changed.
    at: fn(&Passing<'_>) -> bool,
    /// What it becomes.
    becomes: Vec<u8>,
    after: Action,
    kind: Kind,
    says: &'static str,
}

fn is_first(passing: &Passing<'_>) -> bool {
    passing.way == Way::Down && contains(passing.bytes, "version 2")
}

fn is_ref(passing: &Passing<'_>) -> bool {
    passing.way == Way::Down && contains(passing.bytes, MASTER)
}

fn pack(entries: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x01PACK\0\0\0\x02".to_vec();
    bytes.extend_from_slice(&entries.to_be_bytes());
    bytes.extend_from_slice(content);
    packet(bytes)
}

/// An entry that says it is a commit of 100 bytes and inflates to many megabytes.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let level = flate2::Compression::best();
    let mut zlib = flate2::write::ZlibEncoder::new(vec![0x94, 0x06], level);
    zlib.write_all(&vec![b' '; 40 << 20]).unwrap();
    pack(1, &zlib.finish().unwrap())
}

const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const NO_GIT: &str = "not the git protocol";

fn faults() -> Vec<Fault> {
    let fault = |name, at, becomes, after, kind, says| Fault {
        name,
        at,
        becomes,
        after,
        kind,
        says,
    };
    let (garbage, cut) = (Kind::Server, Kind::Network);
    use Action::{Endless, HangUp, Pass, Stall};
    vec![
        fault(
            "no packet at all",
            is_first,
            b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            HangUp,
            garbage,
            NO_GIT,
        ),
        fault(
            "a length of 3",
            is_first,
            b"0003".to_vec(),
            HangUp,
            garbage,
            NO_GIT,
        ),
        fault(
            "a length beyond the limit",
            is_first,
            b"ffffxxxx".to_vec(),
            HangUp,
            garbage,
            NO_GIT,
        ),
        fault(
            "a packet that is shorter than it says",
            is_first,
            b"0100version 2\n".to_vec(),
            HangUp,
            cut,
            "cut",
        ),
        fault("nothing", is_first, Vec::new(), HangUp, cut, "cut"),
        fault(
            "silence",
            is_first,
            Vec::new(),
            Stall,
            cut,
            "no answer in time",
        ),
        fault(
            "silence instead of refs",
            is_ref,
            Vec::new(),
            Stall,
            cut,
            "no answer in time",
        ),
        fault(
            "silence instead of a pack",
            is_data,
            Vec::new(),
            Stall,
            cut,
            "no answer in time",
        ),
        fault(
            "endless capabilities",
            is_first,
            packet("version 2\n"),
            Endless(packet("x=y\n")),
            garbage,
            "limit",
        ),
        fault(
            "a ref that is none",
            is_ref,
            packet("what is this\n"),
            Pass,
            garbage,
            NO_GIT,
        ),
        fault(
            "an error instead of refs",
            is_ref,
            packet("ERR upload-pack: out of sorts"),
            HangUp,
            garbage,
            "out of sorts",
        ),
        fault(
            "a denial",
            is_first,
            packet("ERR access denied or repository not exported: /a"),
            HangUp,
            Kind::Permission,
            "access denied",
        ),
        fault(
            "an unknown sideband",
            is_data,
            packet("\x07what"),
            HangUp,
            garbage,
            NO_GIT,
        ),
        fault(
            "no pack in the sideband",
            is_data,
            packet("\x01PUCK and so on"),
            HangUp,
            garbage,
            NO_GIT,
        ),
        fault(
            "more objects than there are",
            is_data,
            [pack(7, b""), FLUSH.to_vec()].concat(),
            HangUp,
            cut,
            "cut",
        ),
        fault(
            "an object larger than it says",
            is_data,
            bomb(),
            HangUp,
            garbage,
            "longer than it says",
        ),
        fault(
            "an object that says it is huge",
            is_data,
            pack(1, &[0x9f, 0xff, 0xff, 0xff, 0x7f, 0x78]),
            HangUp,
            garbage,
            "limit",
        ),
        fault(
            "a delta on nothing",
            is_data,
            pack(1, b"\x64\x05\x78\x9c\x01\x00\x00\x00\x00\x01"),
            HangUp,
            garbage,
            NO_GIT,
        ),
        fault(
            "an endless pack",
            is_data,
            pack(9_999_999, b""),
            Endless(packet([1; 60_000])),
            garbage,
            NO_GIT,
        ),
        fault(
            "a commit that is none",
            is_data,
            [pack(1, &commit(b"tree and so on")), FLUSH.to_vec()].concat(),
            HangUp,
            garbage,
            "commit",
        ),
        fault(
            "endless objects",
            is_data,
            pack(u32::MAX, b""),
            Endless(endless_objects()),
            garbage,
            "limit",
        ),
    ]
}

/// Builds the entry of a whole commit.
fn commit(content: &[u8]) -> Vec<u8> {
    let entry = whole_entry(ObjectKind::Commit, content).unwrap();
    entry.to_vec()
}

/// Many whole commits in one packet, none of which was asked for.
fn endless_objects() -> Vec<u8> {
    let person = "A <a@b.example> 1600000000 +0000";
    let text = format!("tree {EMPTY_TREE}\nauthor {person}\ncommitter {person}\n\nx");
    let entry = commit(text.as_bytes());
    packet([vec![1], entry.repeat(60_000 / entry.len())].concat())
}

#[test]
fn every_fault_of_a_server_has_its_kind_and_leaves_the_mirror_alone() {
    let scene = Scene::new("merge");
    let patient = scene.ferry();
    let impatient = scene.ferry().with("FERRY_NETWORK_IDLE_TIMEOUT", "500ms");
    for (side, proxy) in [("upstream", &scene.upstream), ("mirror", &scene.mirror)] {
        for fault in faults() {
            let (at, becomes, after) = (fault.at, fault.becomes, fault.after);
            let stalls = after == Action::Stall;
            let ferry = if stalls { &impatient } else { &patient };
            let mut is_done = false;
            proxy.watch(move |passing| {
                if is_done || !at(passing) {
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
fn a_tip_that_is_gone_when_it_is_asked_for_is_looked_up_again() {
    let scene = Scene::new("merge");
    let tip = scene.source.tip().unwrap();
    let mut is_done = false;
    scene.upstream.watch(move |passing| {
        if is_ref(passing) && !is_done {
            let gone = String::from_utf8_lossy(passing.bytes).replace(&tip, &"5".repeat(40));
            *passing.bytes = gone.into_bytes();
            is_done = true;
        }
        Action::Pass
    });
    scene.sync().unwrap();
    scene.assert_carried();
}
