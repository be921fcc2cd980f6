#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

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

#[derive(Debug, Clone)]
enum Event {
    Ask(Origin),
    Pass(i64),
    Answer(u8),
    /// The pipeline that is under way moves on, or ends.
    Hook(bool),
    Moved,
}

fn event() -> impl Strategy<Value = Event> {
    let origin = prop_oneof![
        Just(Origin::Clock),
        Just(Origin::Watch),
        Just(Origin::Endpoint),
        Just(Origin::PushHook)
    ];
    prop_oneof![
        3 => origin.prop_map(Event::Ask),
        3 => (0i64..400).prop_map(Event::Pass),
        4 => (0u8..5).prop_map(Event::Answer),
        2 => any::<bool>().prop_map(Event::Hook),
        1 => Just(Event::Moved),
    ]
}

/// What really happens, and what must hold of it.
struct Model {
    gate: Gate,
    now: i64,
    is_asking: bool,
    next_id: u64,
    /// When the pipelines were created, those too of which we never heard.
    created: Vec<i64>,
    /// The pipeline of which we know that it runs, and when that was said.
    running: Option<(u64, i64, bool)>,
    /// A wish is there that no pipeline followed which was asked for after it.
    is_wished: bool,
    wished_while_asking: bool,
}

impl Model {
    fn step(&mut self) {
        if !self.is_asking && self.gate.is_due(at(self.now)) {
            let span = |known: bool| if known { 3600 } else { 300 };
            if let Some((_, since, known)) = self.running {
                assert!(self.now - since >= span(known), "two under way");
            }
            (self.is_asking, self.wished_while_asking) = (true, false);
        }
    }

    fn create(&mut self) -> u64 {
        if let Some(last) = self.created.last() {
            assert!(self.now - last >= 60, "closer than min_interval");
        }
        self.created.push(self.now);
        self.next_id += 1;
        self.next_id
    }

    fn answer(&mut self, which: u8) {
        let why = String::new();
        let verdict = match which {
            0 => Verdict::Retry {
                why,
                may_be_created: false,
            },
            1 => {
                self.create();
                Verdict::Retry {
                    why,
                    may_be_created: true,
                }
            }
            2 => Verdict::Wait {
                until: at(self.now + 30),
                why,
            },
            3 => Verdict::Refused { why },
            _ => {
                let id = self.create();
                self.running = Some((id, self.now, false));
                self.is_wished = self.wished_while_asking;
                created(id)
            }
        };
        self.is_asking = false;
        self.gate.answered(at(self.now), &verdict, 0.5);
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Ask(origin) => {
                self.gate.ask(at(self.now), *origin);
                (self.is_wished, self.wished_while_asking) = (true, true);
            }
            Event::Pass(seconds) => self.now += seconds,
            Event::Answer(which) if self.is_asking => self.answer(*which),
            Event::Answer(_) => {}
            Event::Hook(is_over) if !self.is_asking => {
                if let Some((id, ..)) = self.running {
                    let status = if *is_over { "success" } else { "running" };
                    self.gate.heard(at(self.now), &news(id, status));
                    self.running = (!is_over).then_some((id, self.now, true));
                }
            }
            Event::Hook(_) => {}
            Event::Moved => {
                self.gate.mirror_moved();
                self.running = self.running.filter(|(.., known)| *known);
            }
        }
    }
}

proptest! {
    #[test]
    fn never_two_under_way_never_too_close_and_no_wish_lost(events in prop::collection::vec(event(), 0..200)) {
        let mut model = Model {
            gate: gate(),
            now: 0,
            is_asking: false,
            next_id: 0,
            created: Vec::new(),
            running: None,
            is_wished: false,
            wished_while_asking: false,
        };
        for event in &events {
            model.take(event);
            model.step();
            prop_assert!(!model.is_wished || model.is_asking || model.gate.is_remembered());
        }
        // From now on everything works: every wish is fulfilled by waiting as long as the gate says.
        for _ in 0..10 {
            if model.is_asking {
                model.answer(4);
            }
            if let Some(wake) = model.gate.wake(at(model.now)) {
                model.now = model.now.max((wake.as_millisecond() - at(0).as_millisecond() + 999) / 1000);
            }
            model.step();
        }
        prop_assert!(!model.is_wished, "a wish was lost");
    }
}
