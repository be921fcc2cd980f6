#![allow(clippy::unwrap_used)]

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_478_400 + second).unwrap()
}

fn settings() -> Settings {
    let seconds = SignedDuration::from_secs;
    Settings {
        limits: Limits {
            min_interval: seconds(60),
            assume_running: seconds(300),
        },
        schedule: None,
        poll: Some(seconds(60)),
        can_look: true,
        can_read: false,
        alarm_after: seconds(3600),
        repeat_after: seconds(6 * 3600),
    }
}

fn core(settings: Settings) -> Core {
    Core::new(settings, at(0), 0.0)
}

fn look(upstream: char, mirror: char, is_behind: bool) -> Look {
    let id = |letter: char| letter.to_string().repeat(40).parse().unwrap();
    Look {
        upstream: id(upstream),
        mirror: id(mirror),
        is_behind,
    }
}

fn news(id: u64, status: &str) -> PipelineNews {
    PipelineNews {
        id,
        status: status.to_owned(),
        url: None,
    }
}

#[test]
fn the_first_look_decides_and_a_mirror_that_moved_is_looked_at_again_in_time() {
    let mut core = core(settings());
    assert_eq!(core.act(at(0), 0.0), [Action::Look(None)]);
    core.looked(at(1), Ok(look('a', 'b', true)));
    assert_eq!(core.act(at(1), 0.0), [Action::Fire]);
    core.answered(at(2), &Verdict::Created(news(1, "created")), 0.0);
    assert_eq!(core.wake(at(2)), Some(at(60)));
    assert_eq!(
        core.act(at(60), 0.0),
        [Action::Look(Some(look('a', 'b', true)))]
    );
    core.looked(at(61), Ok(look('c', 'd', true)));
    // Upstream moved meanwhile; the pipeline has done its work, and the next is held back by `min_interval` alone.
    assert_eq!(core.act(at(61), 0.0), []);
    assert_eq!(core.act(at(62), 0.0), [Action::Fire]);
}

#[test]
fn a_watch_asks_for_nothing_while_a_pipeline_is_under_way() {
    let mut core = core(settings());
    core.act(at(0), 0.0);
    core.looked(at(1), Ok(look('a', 'b', true)));
    core.act(at(1), 0.0);
    core.answered(at(2), &Verdict::Created(news(1, "created")), 0.0);
    core.looked(at(60), Ok(look('c', 'b', true)));
    assert!(!core.status(at(60)).remembered);
}

#[test]
fn without_a_watch_only_the_first_look_fires() {
    let mut core = core(Settings {
        poll: None,
        ..settings()
    });
    core.act(at(0), 0.0);
    core.looked(at(1), Ok(look('a', 'a', false)));
    core.act(at(300), 0.0);
    core.looked(at(301), Ok(look('c', 'a', true)));
    assert_eq!(core.act(at(301), 0.0), []);
}

#[test]
fn the_clock_fires_and_waits_for_a_pipeline_under_way() {
    let every = Schedule::every(SignedDuration::from_mins(10), SignedDuration::ZERO);
    let mut core = core(Settings {
        schedule: Some(every),
        can_look: false,
        poll: None,
        ..settings()
    });
    assert_eq!(core.wake(at(0)), Some(at(600)));
    assert_eq!(core.act(at(600), 0.0), [Action::Fire]);
    core.answered(at(601), &Verdict::Created(news(1, "pending")), 0.0);
    core.heard(at(602), &news(1, "running"));
    assert_eq!(core.act(at(1200), 0.0), []);
    core.heard(at(1300), &news(1, "success"));
    assert_eq!(core.act(at(1300), 0.0), [Action::Fire]);
}

#[test]
fn a_pipeline_is_read_until_it_ends_and_a_failed_one_is_told() {
    let mut core = core(Settings {
        can_read: true,
        can_look: false,
        ..settings()
    });
    assert_eq!(core.ask(at(0), Origin::Endpoint), Answer::Firing);
    assert_eq!(core.act(at(0), 0.0), [Action::Fire]);
    core.answered(at(1), &Verdict::Created(news(5, "created")), 0.0);
    assert_eq!(core.act(at(16), 0.0), [Action::Read(5)]);
    assert_eq!(core.act(at(40), 0.0), []);
    core.read(at(40), Some(&news(5, "running")));
    assert_eq!(core.act(at(40), 0.0), [Action::Read(5)]);
    core.read(at(41), Some(&news(5, "failed")));
    let pipeline = "5".to_owned();
    assert_eq!(
        core.act(at(41), 0.0),
        [Action::Tell(Alert::PipelineFailed { pipeline })]
    );
    assert_eq!(core.status(at(41)).pipelines_failed, 1);
}

#[test]
fn a_refusal_calls_a_person_and_the_watch_goes_on() {
    let mut core = core(settings());
    core.act(at(0), 0.0);
    core.looked(at(1), Ok(look('a', 'b', true)));
    core.act(at(1), 0.0);
    let why = "404".to_owned();
    core.answered(at(2), &Verdict::Refused { why: why.clone() }, 0.0);
    assert_eq!(core.act(at(2), 0.0), [Action::Tell(Alert::Refused { why })]);
    assert_eq!(
        core.act(at(60), 0.0),
        [Action::Look(Some(look('a', 'b', true)))]
    );
    core.looked(at(61), Ok(look('c', 'b', true)));
    assert_eq!(core.act(at(61), 0.0), []);
    assert_eq!(core.ask(at(100), Origin::Endpoint), Answer::Firing);
    assert_eq!(core.act(at(100), 0.0)[0], Action::Fire);
}

#[test]
fn a_machine_whose_clock_is_set_back_looks_and_ticks_all_the_same() {
    let every = Schedule::every(SignedDuration::from_mins(10), SignedDuration::ZERO);
    let mut core = core(Settings {
        schedule: Some(every),
        ..settings()
    });
    core.act(at(0), 0.0);
    core.looked(at(1), Ok(look('a', 'a', false)));
    let day_before = at(-86_400);
    assert_eq!(
        core.act(day_before, 0.0),
        [Action::Look(Some(look('a', 'a', false))), Action::Fire]
    );
}
