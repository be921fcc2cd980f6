//! What advisories decide, and what they release early.

use std::sync::Arc;

use super::*;

const ADVISORIES: (&str, &str) = ("FERRY_POLICY_ADVISORIES", "/advisories.git");
const MIN_AGE: (&str, &str) = ("FERRY_POLICY_MIN_AGE", "7d");

/// An advisory about `foo` of that day, which affects the versions from the first one on and before the other.
fn advisory(class: Class, number: i64, ranges: &[(&str, &str)]) -> Arc<Advisory> {
    let version = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    let ranges = ranges.iter().map(|(introduced, fixed)| Range {
        introduced: version(introduced),
        fixed: version(fixed),
    });
    let at = day(number).to_zoned(jiff::tz::TimeZone::UTC).date();
    Arc::new(Advisory {
        id: "RUSTSEC-2026-0001".to_owned(),
        package: "foo".to_owned(),
        title: "foo leaks".to_owned(),
        class,
        kind: None,
        date: at,
        url: None,
        aliases: vec!["CVE-2026-1".to_owned()],
        severity: None,
        affected: ranges.collect(),
    })
}

fn with(keys: &[(&str, &str)]) -> Policy {
    policy(&[&[ADVISORIES], keys].concat())
}

fn known(advisories: &[Arc<Advisory>]) -> Seen {
    let mut seen = Seen::default();
    seen.set_advisories(Arc::new(advisories.iter().cloned().collect()));
    seen
}

/// Returns what becomes of the versions that are not served as they are.
fn outcome(policy: &Policy, lines: &[String], advisories: &[Arc<Advisory>], now: i64) -> Outcome {
    policy.outcome(lines.concat().as_bytes(), &known(advisories), day(now))
}

#[test]
fn each_class_of_advisory_does_what_its_key_says() {
    let lines = [line("1.0.0", None), line("1.1.0", None)];
    for class in [Class::Malicious, Class::Vulnerable, Class::Informational] {
        let advisories = [advisory(class, -900, &[("", "1.1.0")])];
        let variable = format!("FERRY_POLICY_{}", class.word().to_uppercase());
        for (word, wanted, advised) in [
            ("off", None, 0),
            ("warn", None, 1),
            ("hold", Some("on hold"), 1),
            ("deny", Some("denied"), 1),
        ] {
            let policy = with(&[(&variable, word)]);
            let outcome = outcome(&policy, &lines, &advisories, 0);
            let wanted: Vec<_> = wanted.map(|wanted| ("1.0.0", wanted)).into_iter().collect();
            assert_eq!(words(&outcome), wanted, "{class:?} {word}");
            assert_eq!(outcome.all_advised().count(), advised, "{class:?} {word}");
            assert!(outcome.span().is_for_good(), "{class:?} {word}");
        }
    }
    let by_default = |class| {
        let advisories = [advisory(class, -900, &[("", "1.1.0")])];
        let outcome = outcome(&with(&[]), &lines, &advisories, 0);
        let said = outcome.of("1.0.0").map(ToString::to_string);
        (said, outcome.advised("1.0.0").len())
    };
    let said =
        "denied since 2024-04-04: RUSTSEC-2026-0001: foo leaks (policy.malicious: deny)".to_owned();
    assert_eq!(by_default(Class::Malicious), (Some(said), 1));
    assert_eq!(by_default(Class::Vulnerable), (None, 1));
    assert_eq!(by_default(Class::Informational), (None, 0));
}

#[test]
fn malicious_comes_before_allow_and_allow_before_the_others() {
    let lines = [line("1.0.0", None)];
    let of = |class, keys: &[(&str, &str)], now| {
        let advisories = [advisory(class, -900, &[("", "")])];
        outcome(&with(keys), &lines, &advisories, now).strictest()
    };
    let deny = ("FERRY_POLICY_VULNERABLE", "deny");
    for rule in [
        "*",
        "foo",
        "foo@1.0.0",
        "RUSTSEC-2026-*",
        "RUSTSEC-2026-0002",
    ] {
        let allow = ("FERRY_POLICY_ALLOW", rule);
        assert_eq!(of(Class::Malicious, &[allow], 0), Decision::Deny, "{rule}");
        let decision = of(Class::Vulnerable, &[allow, deny], 0);
        let is_of_foo = !rule.starts_with("RUSTSEC");
        assert_eq!(decision == Decision::Serve, is_of_foo, "{rule}");
    }
    for rule in ["RUSTSEC-2026-0001", "rustsec-2026-0001", "CVE-2026-1"] {
        let allow = ("FERRY_POLICY_ALLOW", rule);
        assert_eq!(of(Class::Malicious, &[allow], 0), Decision::Serve, "{rule}");
        assert_eq!(
            of(Class::Vulnerable, &[allow, deny], 0),
            Decision::Serve,
            "{rule}"
        );
    }
    let ends = (
        "FERRY_POLICY_ALLOW",
        "RUSTSEC-2026-0001 until=2026-09-25 why=looked at",
    );
    assert_eq!(of(Class::Malicious, &[ends], 3), Decision::Serve);
    assert_eq!(of(Class::Malicious, &[ends], 4), Decision::Deny);
    // One's own crate is not the one that an advisory is about.
    let own = ("FERRY_POLICY_RESERVED", "foo");
    assert_eq!(of(Class::Malicious, &[own], 0), Decision::Serve);
    assert_eq!(
        of(Class::Malicious, &[own, ("FERRY_POLICY_DENY", "foo")], 0),
        Decision::Deny
    );
}

#[test]
fn a_command_refuses_what_is_on_hold_as_malicious_and_releases_nothing_that_is() {
    let lines = [line("1.0.0", None)];
    let advisories = [advisory(Class::Malicious, -900, &[("", "")])];
    let of = |action, verb| {
        let policy = with(&[("FERRY_POLICY_MALICIOUS", action)]);
        let policy = with_commands(&policy, &[(verb, "foo", None)]);
        outcome(&policy, &lines, &advisories, 0).strictest()
    };
    let hold = Decision::Hold { until: None };
    assert_eq!(of("hold", Verb::Deny), Decision::Deny);
    assert_eq!(of("hold", Verb::Allow), hold);
    assert_eq!(of("deny", Verb::Allow), Decision::Deny);
}

/// Says whether the version 1.2.0 is on hold, two days after it was published.
fn holds(lines: &[String], advisories: &[Arc<Advisory>], keys: &[(&str, &str)]) -> bool {
    let outcome = outcome(&with(&[&[MIN_AGE], keys].concat()), lines, advisories, 2);
    assert_eq!(
        outcome.of("1.2.0").is_some(),
        outcome.released("1.2.0").is_none()
    );
    outcome.of("1.2.0").is_some()
}

#[test]
fn the_version_that_mends_what_a_young_advisory_tells_of_is_not_on_hold() {
    let affected = [("1.0.0", "1.2.0")];
    let young = [advisory(Class::Vulnerable, -1, &affected)];
    let lines = [
        line("1.0.0", None),
        line("1.1.0", None),
        line("1.2.0", Some(0)),
    ];
    assert!(holds(&lines, &[], &[]));
    assert!(!holds(&lines, &young, &[]));
    // It says why.
    let outcome = outcome(&with(&[MIN_AGE]), &lines, &young, 2);
    assert_eq!(
        outcome.released("1.2.0").unwrap().to_string(),
        "allowed: released early, as the lowest version that leaves what RUSTSEC-2026-0001: foo leaks is about \
         (policy.advisories: RUSTSEC-2026-0001)"
    );
    // One that decides nothing releases nothing; and neither does one that calls a version malicious, or only informs.
    assert!(holds(&lines, &young, &[("FERRY_POLICY_VULNERABLE", "off")]));
    assert!(holds(
        &lines,
        &young,
        &[("FERRY_POLICY_ALLOW", "RUSTSEC-2026-0001")]
    ));
    for class in [Class::Malicious, Class::Informational] {
        let warn = [
            ("FERRY_POLICY_MALICIOUS", "warn"),
            ("FERRY_POLICY_INFORMATIONAL", "warn"),
        ];
        assert!(
            holds(&lines, &[advisory(class, -1, &affected)], &warn),
            "{class:?}"
        );
    }
}

#[test]
fn an_old_advisory_releases_nothing_that_comes_today() {
    let lines = [line("1.1.0", None), line("1.2.0", Some(0))];
    for (number, is_held) in [
        (-2_200, true),
        (-7, true),
        (-6, false),
        (-1, false),
        (1, false),
    ] {
        let advisories = [advisory(Class::Vulnerable, number, &[("", "1.2.0")])];
        assert_eq!(holds(&lines, &advisories, &[]), is_held, "{number}");
    }
    // One of a day that is still to come does not count yet.
    let advisories = [advisory(Class::Vulnerable, 4, &[("", "1.2.0")])];
    assert!(holds(&lines, &advisories, &[]));
}

#[test]
fn only_the_lowest_version_that_leaves_an_advisory_is_released_and_only_in_its_line() {
    let young = [advisory(Class::Vulnerable, -1, &[("", "1.1.5")])];
    let lowest = line("1.1.5", Some(0));
    let lines = [line("1.1.0", None), lowest.clone(), line("1.2.0", Some(0))];
    assert!(holds(&lines, &young, &[]));
    let outcome = outcome(&with(&[MIN_AGE]), &lines, &young, 2);
    assert!(outcome.of("1.1.5").is_none() && outcome.released("1.1.5").is_some());
    // A yank does not make way for the next one, which whoever took the account over may have published.
    let yanked = [
        line("1.1.0", None),
        lowest.replace("false", "true"),
        line("1.2.0", Some(0)),
    ];
    assert!(holds(&yanked, &young, &[]));
    // Nor does a withdrawal.
    let gone = [line("1.1.0", None), line("1.2.0", Some(0))];
    let mut seen = known(&young);
    let free = with(&[MIN_AGE]).outcome(gone.concat().as_bytes(), &seen, day(2));
    assert!(free.released("1.2.0").is_some());
    seen.add_withdrawal(Withdrawal {
        at: day(1),
        name: CrateName::new("foo").unwrap(),
        version: CrateVersion::new("1.1.5").unwrap(),
        checksum: "cd".repeat(32).parse().unwrap(),
    });
    let held = with(&[MIN_AGE]).outcome(gone.concat().as_bytes(), &seen, day(2));
    assert!(held.of("1.2.0").is_some());
    // Of another line nothing is affected.
    let other = [line("0.9.0", None), line("1.2.0", Some(0))];
    assert!(holds(
        &other,
        &[advisory(Class::Vulnerable, -1, &[("", "1.0.0")])],
        &[]
    ));
}

#[test]
fn nothing_is_released_where_another_version_can_be_taken() {
    let advisories = [advisory(Class::Vulnerable, -1, &[("1.1.0", "1.2.0")])];
    let lines = |other: String| [other, line("1.1.0", None), line("1.2.0", Some(0))];
    // One that nobody knows the age of is old.
    assert!(holds(&lines(line("1.0.0", None)), &advisories, &[]));
    assert!(holds(&lines(line("1.0.0", Some(-30))), &advisories, &[]));
    // On hold itself, it cannot be taken; unless it is allowed.
    assert!(!holds(&lines(line("1.0.0", Some(-1))), &advisories, &[]));
    assert!(holds(
        &lines(line("1.0.0", Some(-1))),
        &advisories,
        &[("FERRY_POLICY_ALLOW", "foo@1.0.0")]
    ));
    // In a gap between two ranges that somebody fills later, while the fix of all is there for long.
    let two = [advisory(
        Class::Vulnerable,
        -1,
        &[("", "1.2.0"), ("1.3.0", "1.4.0")],
    )];
    let filled = [
        line("1.1.0", None),
        line("1.2.0", Some(0)),
        line("1.3.0", None),
        line("1.4.0", Some(-30)),
    ];
    assert!(holds(&filled, &two, &[]));
}

#[test]
fn a_fix_that_is_itself_known_to_be_bad_is_not_released() {
    let young = advisory(Class::Vulnerable, -1, &[("", "1.2.0")]);
    let lines = [line("1.1.0", None), line("1.2.0", Some(0))];
    for class in [Class::Malicious, Class::Vulnerable] {
        let other = Arc::new(Advisory {
            id: "RUSTSEC-2026-0002".to_owned(),
            ..(*advisory(class, 1, &[("1.2.0", "")])).clone()
        });
        let warn = [("FERRY_POLICY_MALICIOUS", "warn")];
        assert!(
            holds(&lines, &[Arc::clone(&young), other], &warn),
            "{class:?}"
        );
    }
}

#[test]
fn the_yank_of_a_version_that_an_advisory_is_about_shows_at_once() {
    let lines = [yanked("1.0.0", None), line("1.1.0", Some(0))];
    let mut seen = seen(&[(Sight::Yank, "1.0.0", 1)]);
    let policy = with(&[MIN_AGE]);
    let late = policy.outcome(lines.concat().as_bytes(), &seen, day(2));
    assert_eq!(
        words(&late),
        [("1.0.0", "yank on hold"), ("1.1.0", "on hold")]
    );
    let about = advisory(Class::Vulnerable, -30, &[("", "1.1.0")]);
    seen.set_advisories(Arc::new([about].into_iter().collect()));
    let at_once = policy.outcome(lines.concat().as_bytes(), &seen, day(2));
    assert_eq!(words(&at_once), [("1.1.0", "on hold")]);
}

#[test]
fn what_was_bad_and_the_yanks_of_the_good_ones_are_seen_through() {
    // arrayref: a bad version is published, the good ones are yanked, and an advisory tells of it. Old ones are without a date.
    let lines = [
        yanked("0.3.8", None),
        yanked("0.3.9", None),
        line("0.3.10", Some(0)),
    ];
    let mut seen = seen(&[(Sight::Yank, "0.3.8", 0), (Sight::Yank, "0.3.9", 0)]);
    let about = advisory(Class::Malicious, 0, &[("0.3.10", "")]);
    seen.set_advisories(Arc::new([about].into_iter().collect()));
    let outcome = with(&[MIN_AGE]).outcome(lines.concat().as_bytes(), &seen, day(1));
    let wanted = [
        ("0.3.10", "denied"),
        ("0.3.8", "yank on hold"),
        ("0.3.9", "yank on hold"),
    ];
    assert_eq!(words(&outcome), wanted);
}

#[test]
fn only_crates_whose_advisories_changed_are_decided_again() {
    let one = known(&[advisory(Class::Vulnerable, 0, &[("", "1.0.0")])]);
    let same = known(&[advisory(Class::Vulnerable, 0, &[("", "1.0.0")])]);
    let other = known(&[advisory(Class::Malicious, 0, &[("", "1.0.0")])]);
    assert_eq!(one.changed_since(&same).count(), 0);
    for (seen, before) in [
        (&one, &other),
        (&other, &Seen::default()),
        (&Seen::default(), &one),
    ] {
        let changed: std::collections::BTreeSet<_> = seen.changed_since(before).collect();
        assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["foo"]);
    }
}

fn advisories() -> impl Strategy<Value = Vec<Arc<Advisory>>> {
    let class = prop::sample::select(vec![
        Class::Malicious,
        Class::Vulnerable,
        Class::Informational,
    ]);
    let bound = || prop::sample::select(vec!["", "1.0.0", "1.0.5", "1.1.0", "1.2.0"]);
    let one = (
        class,
        -30_i64..30,
        prop::collection::vec((bound(), bound()), 1..3),
    );
    let one = one.prop_map(|(class, number, ranges)| advisory(class, number, &ranges));
    prop::collection::vec(one, 0..3)
}

fn keys() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let action = || prop::sample::select(vec!["off", "warn", "hold", "deny"]);
    let rules = prop::sample::select(vec!["other", "foo@1.1.0", "RUSTSEC-2026-0001"]);
    (action(), action(), rules).prop_map(|(malicious, vulnerable, allow)| {
        vec![
            ("FERRY_POLICY_MALICIOUS", malicious),
            ("FERRY_POLICY_VULNERABLE", vulnerable),
            ("FERRY_POLICY_ALLOW", allow),
            MIN_AGE,
        ]
    })
}

fn published() -> impl Strategy<Value = Vec<(&'static str, Option<i64>)>> {
    let versions = prop::sample::select(vec!["1.0.0", "1.0.1", "1.1.0", "1.2.0", "1.3.0", "2.0.0"]);
    let one = (versions, prop::option::of(-20_i64..20));
    prop::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn with_advisories_a_hold_neither_begins_nor_grows(
        keys in keys(),
        advisories in advisories(),
        published in published(),
        early in -30_i64..40,
        later in 0_i64..30,
    ) {
        let policy = with(&keys);
        let lines: Vec<_> = published.iter().map(|(version, at)| line(version, *at)).collect();
        let before = outcome(&policy, &lines, &advisories, early);
        let after = outcome(&policy, &lines, &advisories, early + later);
        for (version, decided) in after.changed() {
            let earlier = before.of(version).map(|decided| decided.decision);
            prop_assert_eq!(earlier, Some(decided.decision), "{}", version);
        }
        for (version, decided) in before.changed() {
            if decided.decision == Decision::Deny || decided.decision == (Decision::Hold { until: None }) {
                prop_assert!(after.of(version).is_some(), "{}", version);
            }
        }
        // And what was found stays so for as long as it says.
        prop_assert!(before.span().contains(day(early)));
        if before.span().contains(day(early + later)) {
            prop_assert_eq!(words(&after), words(&before));
        }
    }

    #[test]
    fn with_advisories_a_denied_version_is_refused_and_a_held_one_is_not(
        keys in keys(),
        advisories in advisories(),
        published in published(),
        now in -30_i64..40,
    ) {
        let policy = with(&keys);
        let lines: Vec<_> = published.iter().map(|(version, at)| line(version, *at)).collect();
        let outcome = outcome(&policy, &lines, &advisories, now);
        let shown = outcome.apply(lines.concat().as_bytes());
        for (version, listed) in entry::by_version(&shown) {
            let decision = outcome.of(&version).map(|decided| decided.decision);
            prop_assert_eq!(outcome.refusal(&version).is_some(), decision == Some(Decision::Deny));
            prop_assert_eq!(listed.is_yanked, decision.is_some());
        }
    }
}
