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
        is_transient: kind.is_transient(),
    })
}

/// Records a sync that fails; says whether it is mailed.
fn fails(history: &mut MirrorHistory, kind: Kind, now: i64) -> bool {
    history.failed(now);
    let due = history.due(failed(kind), now, PAUSE);
    due.inspect(|event| history.mailed(event, now)).is_some()
}

/// Records a sync that succeeds; returns what is mailed.
fn succeeds(history: &mut MirrorHistory, now: i64) -> Option<Event> {
    history.succeeded(now);
    history
        .recovery()
        .inspect(|event| history.mailed(event, now))
}

#[test]
fn the_same_kind_of_failure_is_mailed_again_only_after_the_pause() {
    let mut history = MirrorHistory::default();
    assert!(fails(&mut history, Kind::Auth, 0));
    assert!(!fails(&mut history, Kind::Auth, HOUR));
    assert!(fails(&mut history, Kind::Network, HOUR), "another kind");
    assert!(!fails(&mut history, Kind::Auth, 6 * HOUR - 1));
    assert!(fails(&mut history, Kind::Auth, 6 * HOUR));
    assert!(!fails(&mut history, Kind::Auth, 7 * HOUR));
}

#[test]
fn the_success_after_mailed_failures_is_mailed_once() {
    let mut history = MirrorHistory::default();
    assert_eq!(succeeds(&mut history, 0), None);
    fails(&mut history, Kind::Auth, HOUR);
    fails(&mut history, Kind::Auth, 2 * HOUR);
    let mailed = succeeds(&mut history, 3 * HOUR);
    let wanted = Event::Recovered {
        since: HOUR,
        failures: 2,
    };
    assert_eq!(mailed, Some(wanted));
    assert_eq!(succeeds(&mut history, 4 * HOUR), None);
    assert!(fails(&mut history, Kind::Auth, 5 * HOUR), "a new failure");
}

#[test]
fn the_success_after_failures_that_were_not_mailed_is_not_mailed() {
    let mut history = MirrorHistory::default();
    history.failed(HOUR);
    assert_eq!(succeeds(&mut history, 2 * HOUR), None);
    assert_eq!((history.failing_since, history.failures), (None, 0));
}

#[test]
fn a_recovery_that_could_not_be_mailed_is_mailed_at_the_next_success() {
    let mut history = MirrorHistory::default();
    fails(&mut history, Kind::Auth, HOUR);
    history.succeeded(2 * HOUR);
    assert!(history.recovery().is_some());
    assert!(succeeds(&mut history, 3 * HOUR).is_some());
}

#[test]
fn a_time_in_the_future_does_not_silence() {
    let mut history = MirrorHistory::default();
    fails(&mut history, Kind::Auth, 1_000 * HOUR);
    assert!(fails(&mut history, Kind::Auth, HOUR));
}

#[test]
fn a_standing_warning_is_mailed_once_a_week_and_another_at_once() {
    let differs = |path: &str| Warning::calling(Topic::Difference, format!("{path} differs"));
    let config = || Warning::calling(Topic::UpstreamConfig, "changed");
    let mut history = MirrorHistory::default();
    let mut mailed = |warnings: Vec<Warning>, now: i64| {
        let due = history.due(Event::Warned(warnings), now, PAUSE);
        match due.inspect(|event| history.mailed(event, now)) {
            Some(Event::Warned(warnings)) => warnings.len(),
            _ => 0,
        }
    };
    assert_eq!(mailed(vec![differs("a"), config()], 0), 2);
    assert_eq!(mailed(vec![differs("a"), differs("b"), config()], HOUR), 1);
    assert_eq!(
        mailed(vec![differs("a"), config()], 6 * HOUR),
        1,
        "config.json"
    );
    assert_eq!(
        mailed(vec![differs("a"), differs("b")], 7 * 24 * HOUR),
        1,
        "a"
    );
    assert_eq!(mailed(Vec::new(), 8 * 24 * HOUR), 0);
}

#[test]
fn the_file_of_an_older_version_without_some_of_the_fields_is_read() {
    let text = r#"{"mirrors": {"crates-ferry-1": {"failures": 2, "new": true}}}"#;
    let found: MailHistory = serde_json::from_str(text).unwrap();
    assert_eq!(found.mirrors["crates-ferry-1"].failures, 2);
}

proptest! {
    #[test]
    fn no_kind_is_mailed_twice_within_the_pause_and_no_failure_ends_unmailed(
        runs in prop::collection::vec((1..5 * HOUR, 0..4_usize), 0..80)
    ) {
        let kinds = [Kind::Auth, Kind::Network, Kind::Conflict];
        let mut history = MirrorHistory::default();
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        let mut now = 0;
        for (passed, run) in runs {
            now += passed;
            match kinds.get(run) {
                Some(kind) => {
                    let mailed = fails(&mut history, *kind, now);
                    let due = last.get(kind.name()).is_none_or(|at| now - at >= 6 * HOUR);
                    prop_assert_eq!(mailed, due);
                    if mailed { last.insert(kind.name(), now); }
                }
                None => {
                    let mailed = succeeds(&mut history, now).is_some();
                    prop_assert_eq!(mailed, !last.is_empty());
                    last.clear();
                }
            }
        }
    }
}
