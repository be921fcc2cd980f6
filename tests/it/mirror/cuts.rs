//! A cut anywhere in the conversation leaves the mirror as it was or as it shall be, and the next sync finishes the work.
//!
//! Each packet's edges and a sample of the rest; `FERRY_SWEEP=all` (see `ci/sweep`) makes the samples every byte, and a
//! number every so many bytes.

use crate::support::frames::boundaries;
use crate::support::proxy::{Cut, Proxy, Record};
use crate::support::scene::{Scene, Transport, assert_passing, told};

/// Which side is cut.
type Side = fn(&Scene) -> &Proxy;

const UPSTREAM: Side = |scene| &scene.upstream;
const MIRROR: Side = |scene| &scene.mirror;

/// Returns the places before, at and after every edge of a packet.
fn packet_edges(stream: &[u8]) -> Vec<usize> {
    let around = |at: usize| [at.saturating_sub(1), at, at + 1];
    let mut places: Vec<usize> = boundaries(stream).into_iter().flat_map(around).collect();
    places.retain(|at| *at < stream.len());
    places.sort_unstable();
    places.dedup();
    places
}

/// Returns every `step`th place, or as many as `FERRY_SWEEP` says.
fn sample(step: usize) -> impl Fn(&[u8]) -> Vec<usize> {
    let step = match std::env::var("FERRY_SWEEP").as_deref() {
        Err(_) => step,
        Ok("all") => 1,
        Ok(number) => number.parse().expect("FERRY_SWEEP is `all` or a number"),
    };
    move |stream| (0..stream.len()).step_by(step).collect()
}

/// What became of the cuts of one side.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// How many cuts were made.
    cuts: usize,
    /// After how many the mirror had moved.
    moved: usize,
    /// How many were no failure.
    done: usize,
    /// After how many there was anything at all to be seen in the mirror.
    touched: usize,
}

/// Syncs without a cut and returns what passed on one side, and where the mirror ends.
fn rehearse(scene: &Scene, side: Side) -> (Record, String) {
    side(scene).cut(None);
    scene.ferry().sync().unwrap();
    let record = side(scene).settle();
    let new = scene.mirror_tip();
    scene.assert_carried();
    scene.restore();
    (record, new)
}

fn cut_all(scene: &Scene, side: Side, places: impl Fn(&[u8]) -> Vec<usize>) -> Tally {
    let (record, new) = rehearse(scene, side);
    let mut streams: Vec<_> = record.iter().collect();
    streams.sort_unstable_by_key(|(key, _)| **key);
    let mut tally = Tally::default();
    for ((connection, way), stream) in streams {
        for after in places(stream) {
            let (connection, way) = (*connection, *way);
            let cut = Cut {
                connection,
                way,
                after,
            };
            cut_one(scene, side, cut, &new, &mut tally);
        }
    }
    println!("{tally:?}");
    assert!(tally.done < tally.cuts, "{tally:?}");
    tally
}

fn cut_one(scene: &Scene, side: Side, cut: Cut, new: &str, tally: &mut Tally) {
    side(scene).cut(cut);
    let result = scene.sync();
    side(scene).cut(None);
    tally.cuts += 1;
    let now = scene.mirror_tip();
    match &result {
        Err(error) => assert_passing(error),
        Ok(_) => assert_eq!(now, new, "{cut:?}: success was told"),
    }
    assert!(now == scene.old || now == new, "{cut:?}: {now}");
    tally.done += usize::from(result.is_ok());
    tally.moved += usize::from(now == new);
    // What is the same, byte for byte, needs no second look: the sync after it is the rehearsal.
    if scene.is_untouched() && !tally.cuts.is_multiple_of(16) {
        return;
    }
    tally.touched += 1;
    scene.assert_sound();
    // A server that still works on the cut push may be in the way for a moment.
    let again = scene.ferry().with("FERRY_NETWORK_RETRIES", "3");
    let again = scene.sync_as(&again);
    again.unwrap_or_else(|error| panic!("{cut:?}: {}", told(&error)));
    assert_eq!(scene.mirror_tip(), new, "{cut:?}");
    scene.assert_sound();
    scene.restore();
}

#[test]
fn upstream_cut_at_every_packet() {
    let tally = cut_all(&Scene::new("merge"), UPSTREAM, packet_edges);
    assert!(tally.cuts > 100, "{tally:?}");
}

#[test]
fn mirror_cut_at_every_packet() {
    let tally = cut_all(&Scene::new("merge"), MIRROR, packet_edges);
    assert!(tally.cuts > 100 && tally.moved > 0, "{tally:?}");
}

#[test]
fn cut_anywhere_over_git() {
    let scene = Scene::new("merge");
    cut_all(&scene, UPSTREAM, sample(229));
    cut_all(&scene, MIRROR, sample(229));
}

#[test]
fn cut_anywhere_in_snapshot() {
    let scene = Scene::new("snapshot");
    cut_all(&scene, UPSTREAM, sample(97));
    cut_all(&scene, MIRROR, sample(97));
}

#[test]
fn cut_anywhere_over_ssh() {
    if let Some(scene) = Scene::over(Transport::Ssh, "merge") {
        cut_all(&scene, UPSTREAM, sample(397));
        cut_all(&scene, MIRROR, sample(397));
    }
}

#[test]
fn cut_anywhere_over_http() {
    if let Some(scene) = Scene::over(Transport::Http, "merge") {
        cut_all(&scene, UPSTREAM, sample(311));
        cut_all(&scene, MIRROR, sample(311));
    }
}

#[test]
fn cut_anywhere_between_folders() {
    let scene = Scene::over(Transport::Folder, "merge").unwrap();
    cut_all(&scene, UPSTREAM, packet_edges);
    cut_all(&scene, MIRROR, packet_edges);
    cut_all(&scene, UPSTREAM, sample(229));
    cut_all(&scene, MIRROR, sample(131));
}
