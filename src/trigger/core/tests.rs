#![allow(clippy::unwrap_used)]

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_478_400 + second).unwrap()
}

fn settings() -> CoreSettings {
    let seconds = SignedDuration::from_secs;
    CoreSettings {
        pacing: Pacing {
            min_interval: seconds(60),
            assume_running: seconds(300),
        },
        schedule: None,
        poll: Some(seconds(60)),
        can_poll: true,
        can_read: false,
        alarm_after: seconds(3600),
        repeat_after: seconds(6 * 3600),
    }
}

fn core(settings: CoreSettings) -> Core {
    Core::new(settings, at(0), 0.0)
}

fn poll(upstream: char, mirror: char, is_behind: bool) -> Poll {
    let id = |letter: char| letter.to_string().repeat(40).parse().unwrap();
    Poll {
        upstream: id(upstream),
        mirror: id(mirror),
        is_behind,
    }
}

fn pipeline(id: u64, status: &str) -> Pipeline {
    Pipeline {
        id,
        status: status.to_owned(),
        url: None,
    }
}

#[test]
fn the_first_poll_decides_and_a_mirror_that_moved_is_polled_again_in_time() {
    let mut core = core(settings());
    assert_eq!(core.act(at(0), 0.0), [Action::Poll(None)]);
    core.polled(at(1), Ok(poll('a', 'b', true)));
    assert_eq!(core.act(at(1), 0.0), [Action::Fire]);
    core.answered(at(2), &FireResult::Created(pipeline(1, "created")), 0.0);
    assert_eq!(core.wake(at(2)), Some(at(60)));
    assert_eq!(
        core.act(at(60), 0.0),
        [Action::Poll(Some(poll('a', 'b', true)))]
    );
    core.polled(at(61), Ok(poll('c', 'd', true)));
    // Upstream moved meanwhile; the pipeline has done its work, and the next is held back by `min_interval` alone.
    assert_eq!(core.act(at(61), 0.0), []);
    assert_eq!(core.act(at(62), 0.0), [Action::Fire]);
}

#[test]
fn a_watch_requests_nothing_while_a_pipeline_runs() {
    let mut core = core(settings());
    core.act(at(0), 0.0);
    core.polled(at(1), Ok(poll('a', 'b', true)));
    core.act(at(1), 0.0);
    core.answered(at(2), &FireResult::Created(pipeline(1, "created")), 0.0);
    core.polled(at(60), Ok(poll('c', 'b', true)));
    assert!(!core.status(at(60)).pending);
}

#[test]
fn without_a_watch_only_the_first_poll_fires() {
    let mut core = core(CoreSettings {
        poll: None,
        ..settings()
    });
    core.act(at(0), 0.0);
    core.polled(at(1), Ok(poll('a', 'a', false)));
    core.act(at(300), 0.0);
    core.polled(at(301), Ok(poll('c', 'a', true)));
    assert_eq!(core.act(at(301), 0.0), []);
}

#[test]
fn the_clock_fires_and_waits_for_a_running_pipeline() {
    let every = Schedule::every(SignedDuration::from_mins(10), SignedDuration::ZERO);
    let mut core = core(CoreSettings {
        schedule: Some(every),
        can_poll: false,
        poll: None,
        ..settings()
    });
    assert_eq!(core.wake(at(0)), Some(at(600)));
    assert_eq!(core.act(at(600), 0.0), [Action::Fire]);
    core.answered(at(601), &FireResult::Created(pipeline(1, "pending")), 0.0);
    core.pipeline_changed(at(602), &pipeline(1, "running"));
    assert_eq!(core.act(at(1200), 0.0), []);
    core.pipeline_changed(at(1300), &pipeline(1, "success"));
    assert_eq!(core.act(at(1300), 0.0), [Action::Fire]);
}

#[test]
fn a_pipeline_is_read_until_it_finishes_and_a_failed_one_raises_an_alert() {
    let mut core = core(CoreSettings {
        can_read: true,
        can_poll: false,
        ..settings()
    });
    assert_eq!(
        core.request(at(0), Origin::Endpoint),
        TriggerResponse::Firing
    );
    assert_eq!(core.act(at(0), 0.0), [Action::Fire]);
    core.answered(at(1), &FireResult::Created(pipeline(5, "created")), 0.0);
    assert_eq!(core.act(at(16), 0.0), [Action::ReadPipeline(5)]);
    assert_eq!(core.act(at(40), 0.0), []);
    core.pipeline_read(at(40), Some(&pipeline(5, "running")));
    assert_eq!(core.act(at(40), 0.0), [Action::ReadPipeline(5)]);
    core.pipeline_read(at(41), Some(&pipeline(5, "failed")));
    let pipeline = "5".to_owned();
    assert_eq!(
        core.act(at(41), 0.0),
        [Action::Mail(Alert::PipelineFailed { pipeline })]
    );
    assert_eq!(core.status(at(41)).pipelines_failed, 1);
}

#[test]
fn a_refusal_raises_an_alert_and_the_watch_goes_on() {
    let mut core = core(settings());
    core.act(at(0), 0.0);
    core.polled(at(1), Ok(poll('a', 'b', true)));
    core.act(at(1), 0.0);
    let why = "404".to_owned();
    core.answered(at(2), &FireResult::Refused { why: why.clone() }, 0.0);
    assert_eq!(core.act(at(2), 0.0), [Action::Mail(Alert::Refused { why })]);
    assert_eq!(
        core.act(at(60), 0.0),
        [Action::Poll(Some(poll('a', 'b', true)))]
    );
    core.polled(at(61), Ok(poll('c', 'b', true)));
    assert_eq!(core.act(at(61), 0.0), []);
    assert_eq!(
        core.request(at(100), Origin::Endpoint),
        TriggerResponse::Firing
    );
    assert_eq!(core.act(at(100), 0.0)[0], Action::Fire);
}

#[test]
fn a_machine_whose_clock_is_set_back_polls_and_ticks_all_the_same() {
    let every = Schedule::every(SignedDuration::from_mins(10), SignedDuration::ZERO);
    let mut core = core(CoreSettings {
        schedule: Some(every),
        ..settings()
    });
    core.act(at(0), 0.0);
    core.polled(at(1), Ok(poll('a', 'a', false)));
    let day_before = at(-86_400);
    assert_eq!(
        core.act(day_before, 0.0),
        [Action::Poll(Some(poll('a', 'a', false))), Action::Fire]
    );
}

#[test]
fn the_jitter_of_the_clock_does_not_add_up() {
    let every = Schedule::every(SignedDuration::from_mins(10), SignedDuration::from_secs(30));
    let settings = CoreSettings {
        schedule: Some(every),
        can_poll: false,
        poll: None,
        ..settings()
    };
    let mut now = at(0);
    let mut core = Core::new(settings, now, 1.0);
    for (id, random) in [(1, 0.5), (2, 0.0), (3, 1.0), (4, 1.0)] {
        now = core.wake(now).unwrap();
        assert_eq!(core.act(now, random), [Action::Fire]);
        core.answered(now, &FireResult::Created(pipeline(id, "success")), 0.0);
        let late = SignedDuration::from_secs(30).mul_f64(random);
        let due = at(600 * (i64::try_from(id).unwrap() + 1));
        assert_eq!(core.status(now).next_firing, Some(due + late), "{id}");
    }
    // A machine that was suspended for an hour ticks once, and goes on from there.
    assert_eq!(core.act(at(7_000), 0.0), [Action::Fire]);
    core.answered(at(7_000), &FireResult::Created(pipeline(9, "success")), 0.0);
    assert_eq!(core.status(at(7_000)).next_firing, Some(at(7_600)));
}
