#![allow(clippy::unwrap_used)]

mod property;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_478_400 + second).unwrap()
}

fn gate() -> PipelineGate {
    PipelineGate::new(Pacing {
        min_interval: SignedDuration::from_secs(60),
        assume_running: SignedDuration::from_mins(5),
    })
}

fn pipeline(id: u64, status: &str) -> Pipeline {
    Pipeline {
        id,
        status: status.to_owned(),
        url: Some(format!("https://gitlab.example/p/{id}")),
    }
}

fn created(id: u64) -> FireResult {
    FireResult::Created(pipeline(id, "created"))
}

/// A gate whose pipeline 1 was created at second 0.
fn busy() -> PipelineGate {
    let mut gate = gate();
    assert_eq!(
        gate.request(at(0), Origin::Endpoint),
        TriggerResponse::Firing
    );
    assert!(gate.take_due(at(0)));
    gate.answered(at(0), &created(1), 0.0);
    gate
}

#[test]
fn requests_while_a_pipeline_runs_are_coalesced_into_one() {
    let mut gate = busy();
    for _ in 0..1000 {
        let url = Some("https://gitlab.example/p/1".to_owned());
        let answer = gate.request(at(10), Origin::Endpoint);
        assert_eq!(
            answer,
            TriggerResponse::AlreadyRunning { pipeline_url: url }
        );
    }
    gate.pipeline_changed(at(90), &pipeline(1, "success"));
    assert!(gate.take_due(at(90)));
    gate.answered(at(90), &created(2), 0.0);
    gate.pipeline_changed(at(200), &pipeline(2, "success"));
    assert!(!gate.take_due(at(200)) && !gate.is_pending());
}

#[test]
fn a_request_while_gitlab_is_being_asked_fires_one_more() {
    let mut gate = gate();
    gate.request(at(0), Origin::Watch);
    assert!(gate.take_due(at(0)));
    assert_eq!(
        gate.request(at(1), Origin::Clock),
        TriggerResponse::AlreadyRunning { pipeline_url: None }
    );
    gate.answered(at(2), &created(1), 0.0);
    assert!(gate.is_pending());
}

#[test]
fn two_pipelines_are_min_interval_apart() {
    let mut gate = busy();
    gate.pipeline_changed(at(5), &pipeline(1, "failed"));
    let answer = gate.request(at(6), Origin::Endpoint);
    assert!(matches!(answer, TriggerResponse::HeldBack { until, .. } if until == at(60)));
    assert_eq!(gate.wake(at(6)), Some(at(60)));
    assert!(!gate.take_due(at(59)));
    assert!(gate.take_due(at(60)));
}

#[test]
fn a_pipeline_whose_status_is_not_reported_is_assumed_to_run_for_a_while() {
    let mut gate = busy();
    gate.request(at(10), Origin::Clock);
    assert_eq!(gate.wake(at(10)), Some(at(300)));
    assert!(!gate.take_due(at(299)));
    assert!(gate.take_due(at(300)));
}

#[test]
fn a_pipeline_that_is_reported_to_run_is_waited_for() {
    let mut gate = busy();
    gate.request(at(10), Origin::Clock);
    gate.pipeline_changed(at(200), &pipeline(1, "running"));
    gate.mirror_moved();
    assert!(!gate.take_due(at(400)));
    assert!(gate.take_due(at(200 + 3600)));
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
    gate.pipeline_changed(at(10), &pipeline(1, "success"));
    gate.pipeline_changed(at(11), &pipeline(1, "running"));
    assert!(!gate.is_busy(at(11)));
    gate.pipeline_changed(at(12), &pipeline(7, "pending"));
    assert_eq!(gate.pipeline(), Some(7));
    gate.pipeline_changed(at(13), &pipeline(3, "success"));
    assert_eq!(gate.pipeline(), Some(7));
    gate.pipeline_changed(at(14), &pipeline(9, "failed"));
    assert_eq!(gate.pipeline(), Some(7));
    gate.pipeline_changed(at(15), &pipeline(7, "success"));
    assert!(!gate.is_busy(at(15)));
}

#[test]
fn a_hook_that_is_faster_than_the_answer_is_not_lost() {
    let mut gate = gate();
    gate.request(at(0), Origin::Endpoint);
    assert!(gate.take_due(at(0)));
    gate.pipeline_changed(at(1), &pipeline(1, "running"));
    gate.pipeline_changed(at(2), &pipeline(1, "success"));
    gate.answered(at(3), &created(1), 0.0);
    assert!(!gate.is_busy(at(3)));
}

#[test]
fn transient_failures_are_retried_with_backoff() {
    let mut gate = gate();
    gate.request(at(0), Origin::Endpoint);
    let (mut now, mut pauses) = (at(0), Vec::new());
    for _ in 0..11 {
        assert!(gate.take_due(now));
        let retry = FireResult::Retry {
            why: "502".to_owned(),
            may_be_created: false,
        };
        gate.answered(now, &retry, 0.0);
        let next = gate.wake(now).unwrap();
        pauses.push(next.duration_since(now).as_secs());
        now = next;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert!(gate.take_due(now));
    gate.answered(now, &created(1), 0.0);
    assert!(!gate.is_pending());
}

#[test]
fn a_pipeline_that_may_have_been_created_keeps_min_interval() {
    let mut gate = gate();
    gate.request(at(0), Origin::Endpoint);
    assert!(gate.take_due(at(0)));
    let retry = FireResult::Retry {
        why: "cut".to_owned(),
        may_be_created: true,
    };
    gate.answered(at(0), &retry, 1.0);
    assert_eq!(gate.wake(at(0)), Some(at(60)));
    assert!(gate.take_due(at(60)));
    let wait = FireResult::Wait {
        until: at(61),
        why: "504".to_owned(),
        may_be_created: true,
    };
    gate.answered(at(60), &wait, 1.0);
    assert_eq!(gate.wake(at(60)), Some(at(120)));
}

#[test]
fn gitlab_says_when_to_retry() {
    for (until, expected) in [(at(17), 17), (at(-5), 1), (at(999_999), 3600)] {
        let mut gate = gate();
        gate.request(at(0), Origin::Endpoint);
        assert!(gate.take_due(at(0)));
        let why = "429".to_owned();
        let wait = FireResult::Wait {
            until,
            why,
            may_be_created: false,
        };
        gate.answered(at(0), &wait, 0.5);
        assert_eq!(gate.wake(at(0)), Some(at(expected)));
    }
}

#[test]
fn a_refusal_holds_back_all_but_a_person_who_asks_again() {
    let mut gate = gate();
    gate.request(at(0), Origin::Watch);
    assert!(gate.take_due(at(0)));
    let why = "404".to_owned();
    gate.answered(at(0), &FireResult::Refused { why: why.clone() }, 0.0);
    assert_eq!(gate.needs_person(), Some("404"));
    assert_eq!(
        gate.request(at(100), Origin::Watch),
        TriggerResponse::Refused { why: why.clone() }
    );
    assert_eq!(
        gate.request(at(100), Origin::Clock),
        TriggerResponse::Refused { why }
    );
    assert!(!gate.take_due(at(3599)));
    assert_eq!(
        gate.request(at(200), Origin::Endpoint),
        TriggerResponse::Firing
    );
    assert!(gate.take_due(at(200)));
    gate.answered(at(200), &created(1), 0.0);
    assert_eq!(gate.needs_person(), None);
}

#[test]
fn a_refusal_is_retried_by_itself_after_an_hour() {
    let mut gate = gate();
    gate.request(at(0), Origin::Watch);
    assert!(gate.take_due(at(0)));
    let why = "404".to_owned();
    gate.answered(at(0), &FireResult::Refused { why }, 0.0);
    assert_eq!(gate.wake(at(1)), Some(at(3600)));
    assert!(gate.take_due(at(3600)));
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut gate = busy();
    gate.request(at(1), Origin::Endpoint);
    assert!(gate.take_due(at(-100_000)));
}

#[test]
fn the_last_of_many_hooks_that_arrive_while_gitlab_is_being_asked_counts() {
    let mut gate = gate();
    gate.request(at(0), Origin::Endpoint);
    assert!(gate.take_due(at(0)));
    for _ in 0..100 {
        gate.pipeline_changed(at(1), &pipeline(1, "running"));
    }
    gate.pipeline_changed(at(2), &pipeline(1, "success"));
    gate.answered(at(3), &created(1), 0.0);
    assert!(!gate.is_busy(at(3)));
}
