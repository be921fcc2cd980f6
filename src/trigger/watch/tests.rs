#![allow(clippy::unwrap_used)]

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_478_400 + second).unwrap()
}

fn id(letter: char) -> ObjectId {
    letter.to_string().repeat(40).parse().unwrap()
}

fn poll(upstream: char, mirror: char, is_behind: bool) -> Poll {
    Poll {
        upstream: id(upstream),
        mirror: id(mirror),
        is_behind,
    }
}

fn watch() -> Watch {
    Watch::new(SignedDuration::from_secs(60))
}

#[test]
fn the_first_poll_that_finds_the_mirror_behind_wants_a_pipeline() {
    let mut watch = watch();
    assert!(!watch.polled(at(0), poll('a', 'b', false)).wants_pipeline);
    assert!(watch.polled(at(60), poll('c', 'b', true)).wants_pipeline);
    assert_eq!(watch.behind_since(), Some(at(60)));
}

#[test]
fn pipelines_in_vain_are_fired_with_backoff() {
    let mut watch = watch();
    let mut fired = Vec::new();
    for second in (0..20_000).step_by(60) {
        // Upstream moves all the time, the mirror never.
        let upstream = if second % 120 == 0 { 'a' } else { 'c' };
        if watch
            .polled(at(second), poll(upstream, 'b', true))
            .wants_pipeline
        {
            watch.fired(at(second));
            fired.push(second);
        }
    }
    let pauses: Vec<i64> = fired.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]);
    assert_eq!(watch.behind_since(), Some(at(0)));
}

#[test]
fn a_mirror_that_moves_is_carried_at_once_again() {
    let mut watch = watch();
    for second in [0, 1000, 2000] {
        watch.polled(at(second), poll('a', 'b', true));
        watch.fired(at(second));
    }
    assert!(!watch.polled(at(2060), poll('a', 'b', true)).wants_pipeline);
    let seen = watch.polled(at(2120), poll('c', 'd', true));
    assert_eq!((seen.wants_pipeline, seen.has_moved), (true, true));
    assert_eq!(watch.behind_since(), Some(at(2120)));
    assert_eq!(watch.last_change(), Some(at(2120)));
    watch.polled(at(2180), poll('c', 'c', false));
    assert_eq!(watch.behind_since(), None);
}

#[test]
fn pipelines_that_had_nothing_to_carry_are_not_in_vain() {
    let mut watch = watch();
    // A clock fires, while upstream is quiet.
    for second in (0..6000).step_by(600) {
        assert!(
            !watch
                .polled(at(second), poll('a', 'a', false))
                .wants_pipeline
        );
        watch.fired(at(second + 1));
    }
    watch.polled(at(6000), poll('a', 'a', false));
    assert!(watch.polled(at(6060), poll('c', 'a', true)).wants_pipeline);
}

#[test]
fn a_clock_that_is_set_back_moves_the_beginning_with_it() {
    let mut watch = watch();
    watch.polled(at(0), poll('c', 'a', true));
    watch.polled(at(-5), poll('c', 'a', true));
    assert_eq!(watch.behind_since(), Some(at(-5)));
    watch.polled(at(60), poll('c', 'a', true));
    assert_eq!(watch.behind_since(), Some(at(-5)));
}
