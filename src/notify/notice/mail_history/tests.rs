#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::error::Kind;
use crate::notify::notice::Failure;

const HOUR: i64 = 3600;
const PAUSE: Duration = Duration::from_secs(6 * 3600);

fn failed(kind: Kind) -> Event {
    Event::Failed(Failure {
        kind,
        message: "no".to_owned(),
        causes: Vec::new(),
        advice: None,
    })
}

/// A run that fails; says whether it is told.
fn fails(record: &mut Record, kind: Kind, now: i64) -> bool {
    record.failed(now);
    let due = record.due(failed(kind), now, PAUSE);
    due.inspect(|event| record.told(event, now)).is_some()
}

/// A run that succeeds; returns what is told.
fn succeeds(record: &mut Record, now: i64) -> Option<Event> {
    record.succeeded(now);
    record.recovery().inspect(|event| record.told(event, now))
}

#[test]
fn the_same_kind_of_failure_is_told_again_only_after_the_pause() {
    let mut record = Record::default();
    assert!(fails(&mut record, Kind::Auth, 0));
    assert!(!fails(&mut record, Kind::Auth, HOUR));
    assert!(fails(&mut record, Kind::Network, HOUR), "another kind");
    assert!(!fails(&mut record, Kind::Auth, 6 * HOUR - 1));
    assert!(fails(&mut record, Kind::Auth, 6 * HOUR));
    assert!(!fails(&mut record, Kind::Auth, 7 * HOUR));
}

#[test]
fn the_success_after_told_failures_is_told_once() {
    let mut record = Record::default();
    assert_eq!(succeeds(&mut record, 0), None);
    fails(&mut record, Kind::Auth, HOUR);
    fails(&mut record, Kind::Auth, 2 * HOUR);
    let told = succeeds(&mut record, 3 * HOUR);
    let wanted = Event::Recovered {
        since: HOUR,
        failures: 2,
    };
    assert_eq!(told, Some(wanted));
    assert_eq!(succeeds(&mut record, 4 * HOUR), None);
    assert!(fails(&mut record, Kind::Auth, 5 * HOUR), "a new trouble");
}

#[test]
fn the_success_after_failures_that_nobody_was_told_of_is_not_told() {
    let mut record = Record::default();
    record.failed(HOUR);
    assert_eq!(succeeds(&mut record, 2 * HOUR), None);
    assert_eq!((record.failing_since, record.failures), (None, 0));
}

#[test]
fn a_recovery_that_could_not_be_told_is_told_at_the_next_success() {
    let mut record = Record::default();
    fails(&mut record, Kind::Auth, HOUR);
    record.succeeded(2 * HOUR);
    assert!(record.recovery().is_some());
    assert!(succeeds(&mut record, 3 * HOUR).is_some());
}

#[test]
fn a_time_in_the_future_does_not_silence() {
    let mut record = Record::default();
    fails(&mut record, Kind::Auth, 1_000 * HOUR);
    assert!(fails(&mut record, Kind::Auth, HOUR));
}

#[test]
fn a_standing_warning_is_told_once_a_week_and_another_at_once() {
    let differs = |path: &str| Warning::calling(Topic::Difference, format!("{path} differs"));
    let config = || Warning::calling(Topic::UpstreamConfig, "changed");
    let mut record = Record::default();
    let mut told = |warnings: Vec<Warning>, now: i64| {
        let due = record.due(Event::Warned(warnings), now, PAUSE);
        match due.inspect(|event| record.told(event, now)) {
            Some(Event::Warned(warnings)) => warnings.len(),
            _ => 0,
        }
    };
    assert_eq!(told(vec![differs("a"), config()], 0), 2);
    assert_eq!(told(vec![differs("a"), differs("b"), config()], HOUR), 1);
    assert_eq!(
        told(vec![differs("a"), config()], 6 * HOUR),
        1,
        "config.json"
    );
    assert_eq!(
        told(vec![differs("a"), differs("b")], 7 * 24 * HOUR),
        1,
        "a"
    );
    assert_eq!(told(Vec::new(), 8 * 24 * HOUR), 0);
}

#[test]
fn the_file_of_an_older_version_without_some_of_the_fields_is_read() {
    let text = r#"{"mirrors": {"crates-ferry-1": {"failures": 2, "new": true}}}"#;
    let memory: Memory = serde_json::from_str(text).unwrap();
    assert_eq!(memory.mirrors["crates-ferry-1"].failures, 2);
}

proptest! {
    #[test]
    fn no_kind_is_told_twice_within_the_pause_and_no_trouble_ends_untold(
        runs in prop::collection::vec((1..5 * HOUR, 0..4_usize), 0..80)
    ) {
        let kinds = [Kind::Auth, Kind::Network, Kind::Conflict];
        let mut record = Record::default();
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        let mut now = 0;
        for (passed, run) in runs {
            now += passed;
            match kinds.get(run) {
                Some(kind) => {
                    let told = fails(&mut record, *kind, now);
                    let due = last.get(kind.name()).is_none_or(|at| now - at >= 6 * HOUR);
                    prop_assert_eq!(told, due);
                    if told { last.insert(kind.name(), now); }
                }
                None => {
                    let told = succeeds(&mut record, now).is_some();
                    prop_assert_eq!(told, !last.is_empty());
                    last.clear();
                }
            }
        }
    }
}
