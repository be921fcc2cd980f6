//! Whatever happens in whatever order, held against a model of what really goes on.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Ask(Origin),
    Pass(i64),
    Answer(u8),
    /// The running pipeline moves on, or finishes.
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
    gate: PipelineGate,
    now: i64,
    is_asking: bool,
    next_id: u64,
    /// When the pipelines were created, including those that were never reported.
    created: Vec<i64>,
    /// The pipeline that we know to be running, when that was reported, and whether GitLab did.
    running: Option<(u64, i64, bool)>,
    /// Whether no pipeline was created for a request yet.
    is_requested: bool,
    requested_while_asking: bool,
}

impl Model {
    fn step(&mut self) {
        if !self.is_asking && self.gate.take_due(at(self.now)) {
            let span = |known: bool| if known { 3600 } else { 300 };
            if let Some((_, since, known)) = self.running {
                assert!(self.now - since >= span(known), "two at once");
            }
            (self.is_asking, self.requested_while_asking) = (true, false);
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
        let result = match which {
            0 => FireResult::Retry {
                why,
                may_be_created: false,
            },
            1 => {
                self.create();
                FireResult::Retry {
                    why,
                    may_be_created: true,
                }
            }
            2 => FireResult::Wait {
                until: at(self.now + 30),
                why,
                may_be_created: false,
            },
            3 => FireResult::Refused { why },
            _ => {
                let id = self.create();
                self.running = Some((id, self.now, false));
                self.is_requested = self.requested_while_asking;
                created(id)
            }
        };
        self.is_asking = false;
        self.gate.answered(at(self.now), &result, 0.5);
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Ask(origin) => {
                self.gate.request(at(self.now), *origin);
                (self.is_requested, self.requested_while_asking) = (true, true);
            }
            Event::Pass(seconds) => self.now += seconds,
            Event::Answer(which) if self.is_asking => self.answer(*which),
            Event::Answer(_) => {}
            Event::Hook(is_over) if !self.is_asking => {
                if let Some((id, ..)) = self.running {
                    let status = if *is_over { "success" } else { "running" };
                    self.gate
                        .pipeline_changed(at(self.now), &pipeline(id, status));
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
    fn never_two_at_once_never_too_close_and_no_request_lost(events in prop::collection::vec(event(), 0..200)) {
        let mut model = Model {
            gate: gate(),
            now: 0,
            is_asking: false,
            next_id: 0,
            created: Vec::new(),
            running: None,
            is_requested: false,
            requested_while_asking: false,
        };
        for event in &events {
            model.take(event);
            model.step();
            prop_assert!(!model.is_requested || model.is_asking || model.gate.is_pending());
        }
        // From now on everything works: every request gets its pipeline by waiting as long as the gate says.
        for _ in 0..10 {
            if model.is_asking {
                model.answer(4);
            }
            if let Some(wake) = model.gate.wake(at(model.now)) {
                model.now = model.now.max((wake.as_millisecond() - at(0).as_millisecond() + 999) / 1000);
            }
            model.step();
        }
        prop_assert!(!model.is_requested, "a request was lost");
    }
}
