#![allow(clippy::unwrap_used)]

mod property;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_478_400 + second).unwrap()
}

fn gate() -> Gate {
    Gate::new(Limits {
        min_interval: SignedDuration::from_secs(60),
        assume_running: SignedDuration::from_mins(5),
    })
}

fn news(id: u64, status: &str) -> PipelineNews {
    PipelineNews {
        id,
        status: status.to_owned(),
        url: Some(format!("https://gitlab.example/p/{id}")),
    }
}

fn created(id: u64) -> Verdict {
    Verdict::Created(news(id, "created"))
}

/// A gate whose pipeline 1 was created at second 0.
fn busy() -> Gate {
    let mut gate = gate();
    assert_eq!(gate.ask(at(0), Origin::Endpoint), Answer::Firing);
    assert!(gate.is_due(at(0)));
    gate.answered(at(0), &created(1), 0.0);
    gate
}

#[test]
fn a_wish_while_a_pipeline_is_under_way_is_remembered_once() {
    let mut gate = busy();
    for _ in 0..1000 {
        let url = Some("https://gitlab.example/p/1".to_owned());
        let answer = gate.ask(at(10), Origin::Endpoint);
        assert_eq!(answer, Answer::AlreadyRunning { pipeline_url: url });
    }
    gate.heard(at(90), &news(1, "success"));
    assert!(gate.is_due(at(90)));
    gate.answered(at(90), &created(2), 0.0);
    gate.heard(at(200), &news(2, "success"));
    assert!(!gate.is_due(at(200)) && !gate.is_remembered());
}

#[test]
fn a_wish_while_gitlab_is_being_asked_fires_one_more() {
    let mut gate = gate();
    gate.ask(at(0), Origin::Watch);
    assert!(gate.is_due(at(0)));
    assert_eq!(
        gate.ask(at(1), Origin::Clock),
        Answer::AlreadyRunning { pipeline_url: None }
    );
    gate.answered(at(2), &created(1), 0.0);
    assert!(gate.is_remembered());
}

#[test]
fn two_pipelines_are_min_interval_apart() {
    let mut gate = busy();
    gate.heard(at(5), &news(1, "failed"));
    let answer = gate.ask(at(6), Origin::Endpoint);
    assert!(matches!(answer, Answer::HeldBack { until, .. } if until == at(60)));
    assert_eq!(gate.wake(at(6)), Some(at(60)));
    assert!(!gate.is_due(at(59)));
    assert!(gate.is_due(at(60)));
}

#[test]
fn a_pipeline_of_which_nothing_is_heard_is_assumed_to_run_for_a_while() {
    let mut gate = busy();
    gate.ask(at(10), Origin::Clock);
    assert_eq!(gate.wake(at(10)), Some(at(300)));
    assert!(!gate.is_due(at(299)));
    assert!(gate.is_due(at(300)));
}

#[test]
fn a_pipeline_that_is_known_to_run_is_waited_for() {
    let mut gate = busy();
    gate.ask(at(10), Origin::Clock);
    gate.heard(at(200), &news(1, "running"));
    gate.mirror_moved();
    assert!(!gate.is_due(at(400)));
    assert!(gate.is_due(at(200 + 3600)));
}

#[test]
fn a_mirror_that_moved_ends_a_pipeline_that_was_only_assumed() {
    let mut gate = busy();
    gate.mirror_moved();
    assert!(!gate.is_busy(at(30)));
}

#[test]
fn somebody_elses_newer_pipeline_counts_and_an_older_one_does_not() {
    let mut gate = busy();
    gate.heard(at(10), &news(1, "success"));
    gate.heard(at(11), &news(1, "running"));
    assert!(!gate.is_busy(at(11)));
    gate.heard(at(12), &news(7, "pending"));
    assert_eq!(gate.pipeline(), Some(7));
    gate.heard(at(13), &news(3, "success"));
    assert_eq!(gate.pipeline(), Some(7));
    gate.heard(at(14), &news(9, "failed"));
    assert_eq!(gate.pipeline(), Some(7));
    gate.heard(at(15), &news(7, "success"));
    assert!(!gate.is_busy(at(15)));
}

#[test]
fn a_hook_that_is_faster_than_the_answer_is_not_lost() {
    let mut gate = gate();
    gate.ask(at(0), Origin::Endpoint);
    assert!(gate.is_due(at(0)));
    gate.heard(at(1), &news(1, "running"));
    gate.heard(at(2), &news(1, "success"));
    gate.answered(at(3), &created(1), 0.0);
    assert!(!gate.is_busy(at(3)));
}

#[test]
fn failures_that_pass_are_tried_again_ever_more_seldom() {
    let mut gate = gate();
    gate.ask(at(0), Origin::Endpoint);
    let (mut now, mut pauses) = (at(0), Vec::new());
    for _ in 0..11 {
        assert!(gate.is_due(now));
        let retry = Verdict::Retry {
            why: "502".to_owned(),
            may_be_created: false,
        };
        gate.answered(now, &retry, 0.0);
        let next = gate.wake(now).unwrap();
        pauses.push(next.duration_since(now).as_secs());
        now = next;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert!(gate.is_due(now));
    gate.answered(now, &created(1), 0.0);
    assert!(!gate.is_remembered());
}

#[test]
fn a_pipeline_that_may_have_been_created_keeps_min_interval() {
    let mut gate = gate();
    gate.ask(at(0), Origin::Endpoint);
    assert!(gate.is_due(at(0)));
    let retry = Verdict::Retry {
        why: "cut".to_owned(),
        may_be_created: true,
    };
    gate.answered(at(0), &retry, 1.0);
    assert_eq!(gate.wake(at(0)), Some(at(60)));
}

#[test]
fn gitlab_says_when_to_come_again() {
    for (until, expected) in [(at(17), 17), (at(-5), 1), (at(999_999), 3600)] {
        let mut gate = gate();
        gate.ask(at(0), Origin::Endpoint);
        assert!(gate.is_due(at(0)));
        let why = "429".to_owned();
        gate.answered(at(0), &Verdict::Wait { until, why }, 0.5);
        assert_eq!(gate.wake(at(0)), Some(at(expected)));
    }
}

#[test]
fn a_refusal_stops_all_but_who_says_that_it_is_mended() {
    let mut gate = gate();
    gate.ask(at(0), Origin::Watch);
    assert!(gate.is_due(at(0)));
    let why = "404".to_owned();
    gate.answered(at(0), &Verdict::Refused { why: why.clone() }, 0.0);
    assert_eq!(gate.needs_person(), Some("404"));
    assert_eq!(
        gate.ask(at(100), Origin::Watch),
        Answer::Refused { why: why.clone() }
    );
    assert_eq!(gate.ask(at(100), Origin::Clock), Answer::Refused { why });
    assert!(!gate.is_due(at(3599)));
    assert_eq!(gate.ask(at(200), Origin::Endpoint), Answer::Firing);
    assert!(gate.is_due(at(200)));
    gate.answered(at(200), &created(1), 0.0);
    assert_eq!(gate.needs_person(), None);
}

#[test]
fn a_refusal_is_tried_again_by_itself_after_an_hour() {
    let mut gate = gate();
    gate.ask(at(0), Origin::Watch);
    assert!(gate.is_due(at(0)));
    let why = "404".to_owned();
    gate.answered(at(0), &Verdict::Refused { why }, 0.0);
    assert_eq!(gate.wake(at(1)), Some(at(3600)));
    assert!(gate.is_due(at(3600)));
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut gate = busy();
    gate.ask(at(1), Origin::Endpoint);
    assert!(gate.is_due(at(-100_000)));
}

#[test]
fn the_last_of_many_hooks_that_come_while_gitlab_is_being_asked_counts() {
    let mut gate = gate();
    gate.ask(at(0), Origin::Endpoint);
    assert!(gate.is_due(at(0)));
    for _ in 0..100 {
        gate.heard(at(1), &news(1, "running"));
    }
    gate.heard(at(2), &news(1, "success"));
    gate.answered(at(3), &created(1), 0.0);
    assert!(!gate.is_busy(at(3)));
}
