//! Packs that break on their way from upstream to the mirror: what is passed on is never completed.

use std::process::Command;

use crates_ferry::error::Kind;

use super::{contains, is_data};
use crate::support::frames::packet;
use crate::support::proxy::{Action, Passing, Proxy, Way};
use crate::support::scene::{Scene, told};

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
        passing.bytes.extend_from_slice(b"0000");
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
        if middle > 50 {
            passing.bytes[middle] ^= 0x10;
        }
        Action::Pass
    });
    assert_eq!(kind, Kind::Server, "{said}");
    assert!(said.contains("checksum"), "{said}");
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
