#![allow(clippy::unwrap_used)]

mod advised;

use proptest::prelude::*;

use super::*;
use crate::config::{Environment, Flags, ServeConfig};
use crate::index::{CrateName, CrateVersion, entry};

const DAY: i64 = 86_400;

fn policy(keys: &[(&str, &str)]) -> Policy {
    let environment = Environment::from_pairs(keys.iter().copied());
    let config = ServeConfig::load(&Flags::default(), &environment).unwrap();
    Policy::of(&config.policy).unwrap()
}

fn day(number: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + number * DAY).unwrap()
}

fn decide(policy: &Policy, spec: &str, published: Option<i64>, now: i64) -> Decided {
    let (name, version) = spec.split_once('@').unwrap();
    let about = policy.about(name);
    about.decide(version, published.map(day).map(Dated::Published), day(now))
}

#[test]
fn a_policy_that_holds_and_refuses_nothing_is_none() {
    let of = |keys: &[(&str, &str)]| {
        let environment = Environment::from_pairs(keys.iter().copied());
        let config = ServeConfig::load(&Flags::default(), &environment).unwrap();
        Policy::of(&config.policy).is_some()
    };
    assert!(!of(&[]));
    assert!(!of(&[("FERRY_POLICY_ALLOW", "serde")]));
    assert!(of(&[("FERRY_POLICY_MIN_AGE", "7d")]));
    assert!(of(&[("FERRY_POLICY_DENY", "serde")]));
    assert!(of(&[("FERRY_POLICY_RESERVED", "acme-*")]));
    assert!(of(&[("FERRY_POLICY_WITHDRAWN", "refuse")]));
    assert!(!of(&[("FERRY_POLICY_WITHDRAWN", "serve")]));
}

#[test]
fn what_is_young_is_on_hold_and_what_nobody_knows_the_age_of_is_not() {
    let policy = policy(&[("FERRY_POLICY_MIN_AGE", "7d")]);
    let hold = Decision::Hold {
        until: Some(day(7)),
    };
    for (published, now, decision) in [
        (Some(0), 0, hold),
        (Some(0), 6, hold),
        (Some(0), 7, Decision::Serve),
        (Some(0), -1, hold),
        (None, 0, Decision::Serve),
    ] {
        let decided = decide(&policy, "foo@1.0.0", published, now);
        assert_eq!(decided.decision, decision, "{published:?} {now}");
    }
    let held = decide(&policy, "foo@1.0.0", Some(0), 6).to_string();
    let wanted =
        "on hold until 2026-09-28 14:13 UTC: published 2026-09-21 14:13 UTC (policy.min_age: 7d)";
    assert_eq!(held, wanted);
}

#[test]
fn deny_comes_before_allow_and_allow_before_hold() {
    let policy = policy(&[
        ("FERRY_POLICY_MIN_AGE", "7d"),
        ("FERRY_POLICY_ALLOW", "acme-*; serde@1.0.219; time"),
        (
            "FERRY_POLICY_DENY",
            "evil-crate why=it steals; time@>=0.1, <0.2.23; acme-old until=2026-09-23",
        ),
    ]);
    let hold = Decision::Hold {
        until: Some(day(7)),
    };
    for (spec, now, decision) in [
        ("Evil_Crate@1.0.0", 0, Decision::Deny),
        ("evil-crate@1.0.0", 900, Decision::Deny),
        ("time@0.2.22", 0, Decision::Deny),
        ("time@0.2.23", 0, Decision::Serve),
        ("serde@1.0.219", 0, Decision::Serve),
        ("serde@1.0.220", 0, hold),
        ("acme_core@1.0.0", 0, Decision::Serve),
        ("acme-old@1.0.0", 0, Decision::Deny),
        ("acme-old@1.0.0", 2, Decision::Serve),
        ("other@1.0.0", 0, hold),
    ] {
        let decided = decide(&policy, spec, Some(0), now);
        assert_eq!(decided.decision, decision, "{spec} {now}");
    }
    let said = |spec| decide(&policy, spec, Some(0), 0).to_string();
    assert_eq!(
        said("evil-crate@1.0.0"),
        "denied: it steals (policy.deny: evil-crate)"
    );
    assert_eq!(
        said("time@0.2.22"),
        "denied: policy.deny: time@>=0.1, <0.2.23"
    );
    assert_eq!(said("acme-x@1.0.0"), "allowed: policy.allow: acme-*");
    assert_eq!(
        said("acme-old@1.0.0"),
        "denied until 2026-09-23 00:00 UTC: policy.deny: acme-old"
    );
}

/// Adds rules that commands made.
fn with_commands(policy: &Policy, said: &[(Verb, &str, Option<i64>)]) -> Policy {
    let said: Vec<_> = said
        .iter()
        .map(|(verb, crates, until)| CommandRule {
            at: day(0),
            verb: *verb,
            rule: config::Rule {
                crates: crates.parse().unwrap(),
                until: until.map(day),
                why: None,
            },
            by: "ops@host".into(),
            released: None,
        })
        .collect();
    policy.with_commands(Arc::new(ByCommand::of(&said)))
}

#[test]
fn a_rule_of_the_configuration_wins_over_one_of_a_command_and_a_deny_over_an_allow() {
    let policy = policy(&[
        ("FERRY_POLICY_MIN_AGE", "7d"),
        ("FERRY_POLICY_ALLOW", "good; ended until=2026-09-23"),
        ("FERRY_POLICY_DENY", "bad"),
    ]);
    let policy = with_commands(
        &policy,
        &[
            (Verb::Deny, "good", None),
            (Verb::Deny, "ended", None),
            (Verb::Allow, "bad", None),
            (Verb::Allow, "free@1.0.0", Some(2)),
            (Verb::Deny, "both-*", None),
            (Verb::Allow, "both-a", None),
            (Verb::Deny, "again", None),
            (Verb::Allow, "Again", None),
            (Verb::Deny, "gone", None),
            (Verb::Reset, "gone", None),
        ],
    );
    let hold = Decision::Hold {
        until: Some(day(7)),
    };
    for (spec, now, decision) in [
        ("good@1.0.0", 0, Decision::Serve),
        ("bad@1.0.0", 0, Decision::Deny),
        ("ended@1.0.0", 0, Decision::Serve),
        ("ended@1.0.0", 2, Decision::Deny),
        ("free@1.0.0", 0, Decision::Serve),
        ("free@1.0.0", 2, hold),
        ("free@1.0.1", 0, hold),
        ("both_a@1.0.0", 0, Decision::Deny),
        ("again@1.0.0", 0, Decision::Serve),
        ("gone@1.0.0", 0, hold),
    ] {
        let decided = decide(&policy, spec, Some(0), now);
        assert_eq!(decided.decision, decision, "{spec} {now}");
        assert!(decided.span.contains(day(now)));
    }
    let ends = decide(&policy, "free@1.0.0", Some(0), 0).span.until;
    assert_eq!(ends, day(2));
}

#[test]
fn a_file_shows_what_is_on_hold_or_denied_as_yanked_and_stays_the_same_otherwise() {
    let policy = policy(&[
        ("FERRY_POLICY_MIN_AGE", "7d"),
        ("FERRY_POLICY_DENY", "foo@1.0.0"),
    ]);
    let content = [
        line("1.0.0", None),
        line("1.1.0", Some(-30)),
        line("1.2.0", Some(0)),
    ]
    .concat();
    let outcome = policy.outcome(content.as_bytes(), &Seen::default(), day(1));
    assert_eq!(words(&outcome), [("1.0.0", "denied"), ("1.2.0", "on hold")]);
    let wanted = [
        line("1.0.0", None).replace("false", "true"),
        line("1.1.0", Some(-30)),
        line("1.2.0", Some(0)).replace("false", "true"),
    ];
    let shown = String::from_utf8(outcome.apply(content.as_bytes())).unwrap();
    assert_eq!(shown, wanted.concat());
    assert!(outcome.refusal("1.0.0").is_some() && outcome.refusal("1.2.0").is_none());
    assert_eq!(
        outcome.span(),
        Span {
            from: day(-23),
            until: day(7)
        }
    );
    assert!(!outcome.is_plain());
    let later = policy.outcome(content.as_bytes(), &Seen::default(), day(7));
    assert_eq!(later.changed().count(), 1);
    assert!(later.span().is_for_good());
}

fn line(version: &str, published: Option<i64>) -> String {
    let published = published.map(|at| format!(r#","pubtime":"{}""#, day(at)));
    format!(
        r#"{{"name":"foo","vers":"{version}","deps":[],"cksum":"{}","features":{{}},"yanked":false{}}}"#,
        "ab".repeat(32),
        published.unwrap_or_default()
    ) + "\n"
}

/// Returns what was seen: yanks, and lines without a date.
fn seen(sightings: &[(Sight, &str, i64)]) -> Seen {
    let mut seen = Seen::default();
    for (sight, version, at) in sightings {
        seen.add(Sighting {
            at: day(*at),
            sight: *sight,
            name: CrateName::new("Foo").unwrap(),
            version: CrateVersion::new(version).unwrap(),
        });
    }
    seen
}

fn yanked(version: &str, published: Option<i64>) -> String {
    line(version, published).replace("false", "true")
}

/// Returns the versions that are not served as they are, each with the word for what was decided.
fn words(outcome: &Outcome) -> Vec<(&str, &'static str)> {
    let changed = outcome.changed();
    changed
        .map(|(version, decided)| (version, decided.decision.word()))
        .collect()
}

#[test]
fn a_version_without_a_date_is_as_old_as_its_line() {
    let policy = policy(&[("FERRY_POLICY_MIN_AGE", "7d")]);
    let content = [
        line("1.0.0", None),
        line("1.1.0", None),
        line("1.2.0", Some(-30)),
    ]
    .concat();
    // One that has a date is as old as that says.
    let seen = seen(&[(Sight::Line, "1.1.0", 0), (Sight::Line, "1.2.0", 0)]);
    let of = |now| policy.outcome(content.as_bytes(), &seen, day(now));
    assert_eq!(words(&of(6)), [("1.1.0", "on hold")]);
    assert_eq!(words(&of(7)), []);
}

#[test]
fn of_two_times_the_first_one_counts() {
    let other = seen(&[(Sight::Line, "1.0.0", 3), (Sight::Line, "1.0.0", 1)]);
    assert_eq!(
        other,
        seen(&[(Sight::Line, "1.0.0", 1), (Sight::Line, "1.0.0", 3)])
    );
    assert_eq!(other.of("foo").at(Sight::Line, "1.0.0"), Some(day(1)));
    assert_eq!(other.of("foo").at(Sight::Yank, "1.0.0"), None);
    let none = Seen::default();
    assert_eq!(other.changed_since(&none).collect::<Vec<_>>(), ["foo"]);
    assert_eq!(none.changed_since(&other).collect::<Vec<_>>(), ["foo"]);
    assert_eq!(other.changed_since(&other).count(), 0);
}

#[test]
fn a_yank_that_leaves_only_what_is_on_hold_or_denied_shows_late() {
    let policy = policy(&[
        ("FERRY_POLICY_MIN_AGE", "7d"),
        ("FERRY_POLICY_DENY", "foo@2.1.0"),
    ]);
    let content = [
        // Yanked long ago: nobody has seen when.
        yanked("0.3.7", None),
        yanked("0.3.8", None),
        yanked("0.3.9", None),
        line("0.3.10", Some(0)),
        // Another line, which has nothing left at all.
        yanked("0.2.0", None),
        // One in which a good version is left.
        yanked("1.0.0", None),
        line("1.1.0", None),
        line("1.2.0", Some(0)),
        // And one of which the last version is denied.
        yanked("2.0.0", None),
        line("2.1.0", None),
    ];
    let yanks = ["0.3.8", "0.3.9", "0.2.0", "1.0.0", "2.0.0"];
    let seen = seen(&yanks.map(|version| (Sight::Yank, version, 1)));
    let of = |now| policy.outcome(content.concat().as_bytes(), &seen, day(now));
    let outcome = of(2);
    let wanted = [
        ("0.3.10", "on hold"),
        ("0.3.8", "yank on hold"),
        ("0.3.9", "yank on hold"),
        ("1.2.0", "on hold"),
        ("2.0.0", "yank on hold"),
        ("2.1.0", "denied"),
    ];
    assert_eq!(words(&outcome), wanted);
    let shown = String::from_utf8(outcome.apply(content.concat().as_bytes())).unwrap();
    let listed = entry::by_version(shown.as_bytes());
    let free: Vec<_> = [
        "0.3.7", "0.3.8", "0.3.9", "0.3.10", "0.2.0", "1.0.0", "2.0.0", "2.1.0",
    ]
    .into_iter()
    .filter(|version| !listed[*version].is_yanked)
    .collect();
    assert_eq!(free, ["0.3.8", "0.3.9", "2.0.0"]);
    assert_eq!(
        outcome.of("0.3.9").unwrap().to_string(),
        "yank on hold until 2026-09-29 14:13 UTC: yanked 2026-09-22 14:13 UTC, which leaves nothing but versions on hold or denied \
         (policy.yank_hold: 7d)"
    );
    assert_eq!(outcome.span().until, day(7));
    // The version that was on hold is free, and its line needs no other.
    assert_eq!(
        words(&of(7)),
        [("2.0.0", "yank on hold"), ("2.1.0", "denied")]
    );
    assert_eq!(words(&of(8)), [("2.1.0", "denied")]);
}

#[test]
fn a_yank_stays_late_when_what_everybody_was_driven_to_is_taken_back() {
    let policy = policy(&[("FERRY_POLICY_MIN_AGE", "7d")]);
    let content = [yanked("0.3.8", None), yanked("0.3.9", None)].concat();
    let of = |withdrawn: i64, version: &str, now: i64| {
        let mut seen = seen(&["0.3.8", "0.3.9"].map(|version| (Sight::Yank, version, 1)));
        seen.add_withdrawal(Withdrawal {
            at: day(withdrawn),
            name: CrateName::new("foo").unwrap(),
            version: CrateVersion::new(version).unwrap(),
            checksum: "01".repeat(32).parse().unwrap(),
        });
        let outcome = policy.outcome(content.as_bytes(), &seen, day(now));
        words(&outcome).len()
    };
    assert_eq!(of(2, "0.3.10", 3), 2);
    assert_eq!(of(2, "0.3.10", 8), 0);
    // What was taken back before the yank, or is of another line, drove nobody.
    assert_eq!(of(0, "0.3.10", 3), 0);
    assert_eq!(of(2, "0.4.0", 3), 0);
}

#[test]
fn an_old_pre_release_does_not_stand_for_the_releases_that_are_yanked() {
    let policy = policy(&[("FERRY_POLICY_MIN_AGE", "7d")]);
    let content = [
        line("1.0.0-alpha.1", None),
        yanked("1.0.0-alpha.2", None),
        yanked("1.0.0", None),
        line("1.0.1", Some(0)),
    ];
    let seen = seen(&[(Sight::Yank, "1.0.0", 1), (Sight::Yank, "1.0.0-alpha.2", 1)]);
    let outcome = policy.outcome(content.concat().as_bytes(), &seen, day(2));
    // For a pre-release another one is left.
    assert_eq!(
        words(&outcome),
        [("1.0.0", "yank on hold"), ("1.0.1", "on hold")]
    );
}

#[test]
fn a_version_that_cargo_ignores_is_not_one_that_is_left() {
    let policy = policy(&[("FERRY_POLICY_MIN_AGE", "7d")]);
    let content = [
        yanked("1.0.0", None),
        line("1.1.0", None).replace("}\n", ",\"v\":3}\n"),
        line("1.2.0", Some(0)),
    ];
    let seen = seen(&[(Sight::Yank, "1.0.0", 1)]);
    let outcome = policy.outcome(content.concat().as_bytes(), &seen, day(2));
    assert_eq!(
        words(&outcome),
        [("1.0.0", "yank on hold"), ("1.2.0", "on hold")]
    );
}

#[test]
fn a_line_without_a_proper_date_is_denied_and_held_as_any_other() {
    let policy = policy(&[
        ("FERRY_POLICY_MIN_AGE", "7d"),
        ("FERRY_POLICY_DENY", "foo@1.0.0"),
    ]);
    let dated = |pubtime: &str| {
        let line = |version| line(version, None).replace("}\n", &format!(",{pubtime}}}\n"));
        [line("1.0.0"), line("1.1.0")].concat()
    };
    for pubtime in [
        r#""pubtime":12345"#,
        r#""pubtime":{"a":1}"#,
        r#""pubtime":"2020-01-01T00:00:00Z","pubtime":null"#,
    ] {
        let content = dated(pubtime);
        assert_eq!(entry::by_version(content.as_bytes()).len(), 2, "{pubtime}");
        let outcome = policy.outcome(
            content.as_bytes(),
            &seen(&[(Sight::Line, "1.1.0", 1)]),
            day(2),
        );
        assert_eq!(
            words(&outcome),
            [("1.0.0", "denied"), ("1.1.0", "on hold")],
            "{pubtime}"
        );
        let held = outcome.of("1.1.0").unwrap().to_string();
        assert!(
            held.contains("first seen here 2026-09-22 14:13 UTC, without a date"),
            "{held}"
        );
    }
}

#[test]
fn ones_own_crates_are_denied_but_never_on_hold() {
    let policy = policy(&[
        ("FERRY_POLICY_MIN_AGE", "7d"),
        ("FERRY_POLICY_DENY", "foo@1.2.0"),
        ("FERRY_POLICY_RESERVED", "Foo"),
    ]);
    let content = [
        yanked("1.0.0", None),
        line("1.1.0", Some(0)),
        line("1.2.0", Some(0)),
    ]
    .concat();
    let seen = seen(&[(Sight::Yank, "1.0.0", 1), (Sight::Line, "1.1.0", 1)]);
    let outcome = policy.outcome(content.as_bytes(), &seen, day(2));
    assert_eq!(words(&outcome), [("1.2.0", "denied")]);
    let said = decide(&policy, "FOO@1.1.0", Some(0), 1).to_string();
    assert_eq!(said, "allowed: policy.reserved: Foo");
    // So are the paths of the index that the mirror keeps.
    let keys = [("FERRY_POLICY_MIN_AGE", "7d")];
    let config = ServeConfig::load(&Flags::default(), &Environment::from_pairs(keys)).unwrap();
    let keep = ["3/f/foo".to_owned()];
    let kept = Policy::of_mirror(&config.policy, &keep).unwrap().unwrap();
    let outcome = kept.outcome(content.as_bytes(), &seen, day(2));
    assert!(outcome.is_plain() && kept.is_own("FOO") && !kept.is_own("fool"));
    let said = decide(&kept, "Foo@1.1.0", Some(0), 1).to_string();
    assert_eq!(said, "allowed: mirror.keep: 3/f/foo");
    let hold = Decision::Hold {
        until: Some(day(7)),
    };
    assert_eq!(decide(&policy, "fool@1.1.0", Some(0), 1).decision, hold);
}

#[test]
fn what_was_withdrawn_is_denied_unless_it_is_as_it_was_and_allow_does_not_release_it() {
    let of = |keys: &[(&str, &str)], checksum: &str| {
        let policy = policy(&[&[("FERRY_POLICY_MIN_AGE", "7d")], keys].concat());
        let mut seen = Seen::default();
        for (at, checksum) in [(3, "ff"), (1, checksum)] {
            seen.add_withdrawal(Withdrawal {
                at: day(at),
                name: CrateName::new("Foo").unwrap(),
                version: CrateVersion::new("1.0.0").unwrap(),
                checksum: checksum.repeat(32).parse().unwrap(),
            });
        }
        let content = line("1.0.0", None);
        let outcome = policy.outcome(content.as_bytes(), &seen, day(9));
        let gone = policy.withdrawn("foo", "1.0.0", None, &seen);
        (
            outcome.refusal("1.0.0").map(ToString::to_string),
            gone.is_some(),
        )
    };
    let (changed, is_gone) = of(&[("FERRY_POLICY_ALLOW", "foo")], "cd");
    assert_eq!(
        changed.unwrap(),
        "denied since 2026-09-22 14:13 UTC: withdrawn upstream: its checksum changed (policy.withdrawn: refuse)"
    );
    assert!(is_gone);
    let denied = of(&[("FERRY_POLICY_DENY", "foo")], "cd").0.unwrap();
    assert_eq!(denied, "denied: policy.deny: foo");
    assert_eq!(of(&[], "ab"), (None, true));
    assert_eq!(of(&[("FERRY_POLICY_RESERVED", "foo")], "cd"), (None, false));
    assert_eq!(
        of(&[("FERRY_POLICY_WITHDRAWN", "serve")], "cd"),
        (None, false)
    );
}

#[test]
fn without_a_hold_for_yanks_each_shows_at_once() {
    let policy = policy(&[
        ("FERRY_POLICY_MIN_AGE", "7d"),
        ("FERRY_POLICY_YANK_HOLD", "0s"),
    ]);
    let content = [yanked("1.0.0", None), line("1.1.0", Some(0))].concat();
    let seen = seen(&[(Sight::Yank, "1.0.0", 1)]);
    let outcome = policy.outcome(content.as_bytes(), &seen, day(2));
    assert_eq!(words(&outcome), [("1.1.0", "on hold")]);
}

/// Makes a policy; with rules that end, if that is wanted.
fn policies(with_ends: bool) -> impl Strategy<Value = Policy> {
    let end = match with_ends {
        true => "( until=2026-(09|10)-(1|2)[0-9])?",
        false => "",
    };
    let rule = format!("(fo\\*|foo|foo@1\\.1\\.0|foo@<1\\.2|bar){end}");
    let rules = prop::string::string_regex(&rule).unwrap();
    let rules = prop::collection::btree_set(rules, 0..4).boxed();
    (prop::option::of(1_u32..40), rules.clone(), rules).prop_map(|(age, allow, deny)| {
        let list = |rules: std::collections::BTreeSet<String>| {
            let mut by_crates = std::collections::BTreeMap::new();
            for rule in rules {
                by_crates.insert(rule.split(' ').next().unwrap().to_owned(), rule.clone());
            }
            by_crates.into_values().collect::<Vec<_>>().join(";")
        };
        let age = age.map(|days| format!("{days}d")).unwrap_or_default();
        // One that denies nothing here, so that there is a policy.
        let deny = format!("other;{}", list(deny));
        policy(&[
            ("FERRY_POLICY_MIN_AGE", &age),
            ("FERRY_POLICY_ALLOW", &list(allow)),
            ("FERRY_POLICY_DENY", &deny),
        ])
    })
}

fn versions() -> impl Strategy<Value = (&'static str, Option<i64>)> {
    let version = prop::sample::select(vec!["1.0.0", "1.1.0", "1.1.0-rc.1", "1.2.0"]);
    (version, prop::option::of(-40_i64..40))
}

proptest! {
    #[test]
    fn with_all_else_equal_a_hold_neither_begins_nor_grows(
        policy in policies(false),
        (version, published) in versions(),
        early in -50_i64..50,
        later in 0_i64..50,
    ) {
        let spec = format!("foo@{version}");
        let before = decide(&policy, &spec, published, early).decision;
        let after = decide(&policy, &spec, published, early + later).decision;
        // Either all is as it was, or a hold has ended. So a clock that jumps back releases nothing early, either.
        let has_ended = matches!(before, Decision::Hold { until: Some(until) } if until <= day(early + later));
        prop_assert_eq!(after, if has_ended { Decision::Serve } else { before });
    }

    #[test]
    fn a_decision_stays_the_same_for_as_long_as_it_says(
        policy in policies(true),
        (version, published) in versions(),
        now in -50_i64..50,
        other in -50_i64..50,
    ) {
        let spec = format!("foo@{version}");
        let decided = decide(&policy, &spec, published, now);
        prop_assert!(decided.span.contains(day(now)));
        if decided.span.contains(day(other)) {
            prop_assert_eq!(&decide(&policy, &spec, published, other), &decided);
        }
    }

    #[test]
    fn what_is_decided_of_a_file_stays_the_same_for_as_long_as_it_says(
        deny in prop::sample::select(vec!["other", "foo@1.1.0", "foo@1.1.0 until=2026-09-25"]),
        published in prop::option::of(-20_i64..20),
        yank in prop::option::of(-20_i64..20),
        is_other_left in any::<bool>(),
        now in -40_i64..40,
        other in -40_i64..40,
    ) {
        let policy = policy(&[("FERRY_POLICY_MIN_AGE", "7d"), ("FERRY_POLICY_DENY", deny)]);
        let mut content = yanked("1.0.0", None) + &line("1.1.0", published);
        if is_other_left {
            content += &line("1.0.1", Some(-5));
        }
        let yank = yank.map(|at| (Sight::Yank, "1.0.0", at));
        let seen = seen(yank.as_slice());
        let outcome = policy.outcome(content.as_bytes(), &seen, day(now));
        prop_assert!(outcome.span().contains(day(now)));
        if outcome.span().contains(day(other)) {
            let again = policy.outcome(content.as_bytes(), &seen, day(other));
            prop_assert_eq!(words(&again), words(&outcome));
        }
    }

    #[test]
    fn a_denied_version_is_refused_and_a_held_one_is_not(
        policy in policies(true),
        lines in prop::collection::vec(versions(), 0..5),
        yanks in prop::collection::vec((versions(), -50_i64..50), 0..4),
        now in -50_i64..50,
    ) {
        let content: String = lines.iter().map(|(version, at)| line(version, *at)).collect();
        let yanks: Vec<_> = yanks.iter().map(|((version, _), at)| (Sight::Yank, *version, *at)).collect();
        let outcome = policy.outcome(content.as_bytes(), &seen(&yanks), day(now));
        let shown = outcome.apply(content.as_bytes());
        let listed = entry::by_version(&shown);
        for (version, before) in entry::by_version(content.as_bytes()) {
            let (_, published) = lines.iter().rfind(|(other, _)| *other == version).unwrap();
            let decision = decide(&policy, &format!("foo@{version}"), *published, now).decision;
            prop_assert_eq!(outcome.refusal(&version).is_some(), decision == Decision::Deny);
            prop_assert_eq!(listed[&version].is_yanked, decision != Decision::Serve);
            prop_assert_eq!(&listed[&version].file, &before.file);
        }
    }
}

#[test]
fn a_rule_says_since_when_it_refuses_where_that_is_known() {
    let policy = policy(&[("FERRY_POLICY_DENY", "foo@1.0.0; foo until=2027-01-01")]);
    let dated = policy.clone().denying_since(vec![None, Some(day(0))]);
    for (policy, version, said) in [
        (
            &policy,
            "1.1.0",
            "denied until 2027-01-01 00:00 UTC: policy.deny: foo",
        ),
        (
            &dated,
            "1.1.0",
            "denied since 2026-09-21 14:13 UTC until 2027-01-01 00:00 UTC: policy.deny: foo",
        ),
        (&dated, "1.0.0", "denied: policy.deny: foo@1.0.0"),
    ] {
        let decided = decide(policy, &format!("foo@{version}"), None, 1);
        assert_eq!(decided.to_string(), said);
    }
    // Versions are decided again when it becomes known.
    let changed = policy.changed_rules(&dated).unwrap();
    assert_eq!(changed.len(), 2);
}
