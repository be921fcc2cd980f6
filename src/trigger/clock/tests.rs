#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(expression: &str, zone: &str) -> Schedule {
    Schedule::cron(expression, zone, SignedDuration::ZERO).unwrap()
}

#[test]
fn an_interval_ticks_after_each_such_time() {
    let every = Schedule::every(SignedDuration::from_mins(10), SignedDuration::from_secs(30));
    let last = at("2026-11-24T10:00:00Z");
    assert_eq!(
        every.next(last, 0.0).unwrap().at,
        at("2026-11-24T10:10:00Z")
    );
    assert_eq!(
        every.next(last, 1.0).unwrap().at,
        at("2026-11-24T10:10:30Z")
    );
}

#[test]
fn a_jitter_never_reaches_the_following_tick() {
    let every = Schedule::every(SignedDuration::from_secs(2), SignedDuration::from_secs(30));
    let last = at("2026-11-24T10:00:00Z");
    assert_eq!(
        every.next(last, 1.0).unwrap().at,
        at("2026-11-24T10:00:03Z")
    );
}

#[test]
fn a_cron_expression_is_read_in_its_time_zone() {
    let rows = [
        (
            "*/10 * * * *",
            "UTC",
            "2026-11-24T10:03:00Z",
            "2026-11-24T10:10:00Z",
        ),
        (
            "*/10 * * * *",
            "UTC",
            "2026-11-24T10:10:00Z",
            "2026-11-24T10:20:00Z",
        ),
        (
            "0 6 * * MON",
            "Europe/Berlin",
            "2026-11-24T10:00:00Z",
            "2026-11-30T05:00:00Z",
        ),
        (
            "0 6 * * MON",
            "Europe/Berlin",
            "2026-07-01T10:00:00Z",
            "2026-07-06T04:00:00Z",
        ),
        (
            "@hourly",
            "UTC",
            "2026-11-24T10:00:00Z",
            "2026-11-24T11:00:00Z",
        ),
        (
            "0 0 29 2 *",
            "UTC",
            "2026-11-24T10:00:00Z",
            "2028-02-29T00:00:00Z",
        ),
        (
            "0 0 L * *",
            "UTC",
            "2026-11-24T10:00:00Z",
            "2026-11-30T00:00:00Z",
        ),
        (
            "30 * * * * *",
            "UTC",
            "2026-11-24T10:00:31Z",
            "2026-11-24T10:01:30Z",
        ),
    ];
    for (expression, zone, last, next) in rows {
        let found = cron(expression, zone).next(at(last), 0.5).unwrap();
        assert_eq!(found.at, at(next), "{expression} {zone} {last}");
    }
}

#[test]
fn the_change_to_summer_time_and_back_neither_skips_nor_doubles_a_day() {
    // 2026-03-29: from 2 to 3 o'clock; 2026-10-25: from 3 back to 2.
    for (expression, start, days) in [
        ("30 2 * * *", "2026-03-27T12:00:00Z", 4),
        ("30 2 * * *", "2026-10-23T12:00:00Z", 4),
    ] {
        let schedule = cron(expression, "Europe/Berlin");
        let mut last = at(start);
        let mut ticks = Vec::new();
        for _ in 0..days {
            last = schedule.next(last, 0.0).unwrap().at;
            ticks.push(
                last.to_zoned(TimeZone::get("Europe/Berlin").unwrap())
                    .date(),
            );
        }
        ticks.dedup();
        assert_eq!(ticks.len(), days, "{start}: {ticks:?}");
    }
}

#[test]
fn what_is_invalid_or_matches_no_time_is_refused_with_what_was_expected() {
    for (expression, zone, named) in [
        ("* * * *", "UTC", "trigger.every"),
        ("61 * * * *", "UTC", "trigger.every"),
        ("0 0 31 2 *", "UTC", "matches no time"),
        ("* * * * *", "Mars/Base", "trigger.time_zone"),
    ] {
        let reason = Schedule::cron(expression, zone, SignedDuration::ZERO).unwrap_err();
        assert!(reason.contains(named), "{reason}");
    }
}

proptest! {
    #[test]
    fn the_next_tick_is_later_than_the_last(
        second in 0i64..4_000_000_000,
        seconds in 1i64..100_000,
        jitter in 0i64..100_000,
        random in 0.0f64..=1.0,
    ) {
        let last = Timestamp::from_second(second).unwrap();
        let jitter = SignedDuration::from_secs(jitter);
        let every = Schedule::every(SignedDuration::from_secs(seconds), jitter);
        prop_assert!(every.next(last, random).unwrap().at > last);
        let hourly = Schedule::cron("0 * * * *", "Europe/Berlin", jitter).unwrap();
        prop_assert!(hourly.next(last, random).unwrap().at > last);
    }
}

#[test]
fn a_change_of_the_clocks_disturbs_no_rhythm_within_the_day() {
    for (zone, start) in [
        ("Europe/Berlin", "2026-03-28T22:00:00Z"),
        ("Europe/Berlin", "2026-10-24T22:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T10:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T10:00:00Z"),
        ("Africa/Cairo", "2026-04-23T18:00:00Z"),
        ("Africa/Cairo", "2026-10-29T18:00:00Z"),
    ] {
        let schedule = cron("*/10 * * * *", zone);
        let mut last = at(start);
        for _ in 0..60 {
            let next = schedule.next(last, 0.0).unwrap().at;
            assert_eq!(next.duration_since(last).as_mins(), 10, "{zone}: {last}");
            last = next;
        }
    }
}

#[test]
fn a_midnight_that_is_skipped_still_has_its_day() {
    // 2026-04-24 begins at 1 o'clock.
    let schedule = cron("0 0 * * *", "Africa/Cairo");
    let first = schedule.next(at("2026-04-22T22:00:00Z"), 0.0).unwrap().at;
    let second = schedule.next(first, 0.0).unwrap().at;
    assert_eq!(
        [first, second],
        [at("2026-04-23T22:00:00Z"), at("2026-04-24T21:00:00Z")]
    );
}

#[test]
fn an_expression_for_some_years_only_is_refused() {
    for expression in ["0 0 0 1 1 * 2020", "0 0 0 1 1 * 2030"] {
        let made = Schedule::cron(expression, "UTC", SignedDuration::ZERO);
        assert!(made.is_err(), "{expression}");
    }
}
