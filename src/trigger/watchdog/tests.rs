#![allow(clippy::unwrap_used)]

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_478_400 + second).unwrap()
}

fn watchdog() -> Watchdog {
    Watchdog::new(SignedDuration::from_hours(1), SignedDuration::from_hours(6))
}

const HOUR: i64 = 3600;

#[test]
fn a_refusal_is_notified_once_again_after_a_while_and_its_end_once() {
    let mut dog = watchdog();
    let refused = Alert::Refused {
        why: "404".to_owned(),
    };
    dog.refused("404");
    assert_eq!(dog.due(at(0)), std::slice::from_ref(&refused));
    dog.refused("404");
    assert_eq!(dog.due(at(HOUR)), []);
    assert_eq!(dog.wake(at(HOUR)), Some(at(6 * HOUR)));
    assert_eq!(dog.due(at(6 * HOUR)), [refused]);
    dog.fired();
    let resolved = Alert::Resolved { since: at(0) };
    assert_eq!(dog.due(at(7 * HOUR)), [resolved]);
    assert_eq!(dog.due(at(7 * HOUR)), []);
    assert_eq!(dog.wake(at(7 * HOUR)), None);
}

#[test]
fn a_mirror_that_is_behind_is_notified_after_the_alarm_time_only() {
    let mut dog = watchdog();
    dog.polled(Some(at(0)));
    assert_eq!(dog.due(at(HOUR - 1)), []);
    assert_eq!(dog.wake(at(10)), Some(at(HOUR)));
    assert_eq!(dog.due(at(HOUR)), [Alert::Behind { since: at(0) }]);
    dog.polled(Some(at(0)));
    assert_eq!(dog.due(at(2 * HOUR)), []);
    dog.polled(None);
    assert!(matches!(
        dog.due(at(2 * HOUR))[..],
        [Alert::Resolved { .. }]
    ));
}

#[test]
fn a_mirror_that_catches_up_in_time_is_not_notified() {
    let mut dog = watchdog();
    dog.polled(Some(at(0)));
    dog.polled(None);
    assert_eq!(dog.due(at(2 * HOUR)), []);
}

#[test]
fn polls_that_fail_for_too_long_are_notified_with_the_last_reason() {
    let mut dog = watchdog();
    dog.poll_failed(at(0), "refused");
    dog.poll_failed(at(60), "timed out");
    assert_eq!(dog.due(at(HOUR - 1)), []);
    let failing = Alert::PollsFail {
        since: at(0),
        why: "timed out".to_owned(),
    };
    assert_eq!(dog.due(at(HOUR)), [failing]);
    dog.polled(None);
    assert!(matches!(
        dog.due(at(HOUR + 60))[..],
        [Alert::Resolved { .. }]
    ));
}

#[test]
fn a_failed_pipeline_resolves_with_a_success_or_with_a_mirror_that_is_up_to_date() {
    for ends in [
        |dog: &mut Watchdog| dog.pipeline_finished("2", false),
        |dog: &mut Watchdog| dog.polled(None),
    ] {
        let mut dog = watchdog();
        dog.pipeline_finished("1", true);
        assert_eq!(dog.due(at(0)).len(), 1);
        dog.pipeline_finished("2", true);
        assert_eq!(dog.due(at(60)), []);
        ends(&mut dog);
        assert!(matches!(dog.due(at(120))[..], [Alert::Resolved { .. }]));
    }
}

#[test]
fn everything_is_resolved_with_the_last_condition() {
    let mut dog = watchdog();
    dog.refused("401");
    dog.pipeline_finished("1", true);
    assert_eq!(dog.due(at(0)).len(), 2);
    dog.fired();
    assert_eq!(dog.due(at(60)), []);
    dog.pipeline_finished("2", false);
    let resolved = Alert::Resolved { since: at(0) };
    assert_eq!(dog.due(at(120)), [resolved]);
}

#[test]
fn a_clock_that_is_set_back_raises_no_false_alarm_and_hides_none() {
    let mut dog = watchdog();
    dog.polled(Some(at(10)));
    dog.poll_failed(at(10), "timed out");
    assert_eq!(dog.due(at(0)), []);
    assert_eq!(dog.wake(at(0)), Some(at(HOUR)));
    assert_eq!(dog.due(at(HOUR)).len(), 2);
    // Nor is anything notified twice.
    assert_eq!(dog.due(at(HOUR - 10)), []);
    assert_eq!(dog.wake(at(HOUR - 10)), Some(at(7 * HOUR - 10)));
    assert_eq!(dog.due(at(7 * HOUR - 10)).len(), 2);
}
