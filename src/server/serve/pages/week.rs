//! The last week on the page of the status: charts whose titles say the finding, days as a table, and what happened.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text::{Moment, clean, number, size};
use crate::count::counted;
use crate::server::history::{Recent, STEP, Sample, WEEK};

const DAY: i64 = 86_400;
/// How wide a bar is, and how high the highest, in units of the picture.
const WIDE: i64 = 10;
const HIGH: u64 = 100;

/// What the page shows of the last week.
pub(super) struct Week {
    pub(super) charts: Vec<Bars>,
    pub(super) days: Vec<Day>,
    pub(super) fetched: Vec<Fetched>,
    pub(super) events: Vec<Happened>,
}

/// A chart; the lower part of a bar stands on the axis, the upper part on that.
pub(super) struct Bars {
    pub(super) title: String,
    /// What the highest bar stands for.
    pub(super) most: String,
    pub(super) begins: &'static str,
    pub(super) width: i64,
    pub(super) bars: Vec<Bar>,
}

pub(super) struct Bar {
    pub(super) label: String,
    pub(super) x: i64,
    /// Where each part begins, and how high it is: the lower one, the upper one.
    pub(super) lower: (u64, u64),
    pub(super) upper: (u64, u64),
}

/// A day in numbers.
pub(super) struct Day {
    pub(super) date: String,
    pub(super) requests: String,
    pub(super) failed: String,
    pub(super) hits: String,
    pub(super) misses: String,
    pub(super) behind: String,
}

pub(super) struct Fetched {
    pub(super) name: String,
    pub(super) count: String,
}

pub(super) struct Happened {
    pub(super) at: Moment,
    pub(super) kind: String,
    pub(super) is_failure: bool,
    pub(super) text: String,
}

/// What a chart is of: of each bar two values, and how those of its samples become one.
struct Measure {
    values: fn(&Sample) -> Option<(u64, u64)>,
    is_sum: bool,
    shown: fn(u64, u64) -> String,
}

impl Week {
    /// Makes it of what is known; `None` where nothing is.
    pub(super) fn of(recent: &Recent, now: i64, limit: Option<u64>) -> Option<Self> {
        if recent.samples.is_empty() {
            return None;
        }
        let samples = &recent.samples;
        let charts = [
            behind(samples, now, DAY),
            behind(samples, now, WEEK),
            files(samples, now),
            requests(samples, now),
            store(samples, now, limit),
        ];
        let fetched = recent.fetched.iter().map(|(name, count)| Fetched {
            name: name.clone(),
            count: number(count),
        });
        let events = recent.events.iter().filter_map(|event| {
            Some(Happened {
                at: Moment::of_seconds(event.at)?,
                kind: clean(&event.kind),
                is_failure: event.is_failure,
                text: clean(&event.text),
            })
        });
        Some(Self {
            charts: charts.into_iter().flatten().collect(),
            days: days(samples),
            fetched: fetched.collect(),
            events: events.collect(),
        })
    }
}

/// How far the index is behind its repository at most.
fn behind(samples: &[Sample], now: i64, span: i64) -> Option<Bars> {
    let measure = Measure {
        values: |sample| Some((sample.behind?, 0)),
        is_sum: false,
        shown: |seconds, _| format!("{} behind", long(seconds)),
    };
    let (bars, most) = bars(samples, now, span, &measure)?;
    let (when, begins) = match span {
        DAY => ("day", "a day ago"),
        _ => ("week", "a week ago"),
    };
    Some(Bars {
        title: format!(
            "The index was at most {} behind its repository in the last {when}",
            long(most)
        ),
        most: long(most),
        begins,
        ..bars
    })
}

/// Which crate files came from here.
fn files(samples: &[Sample], now: i64) -> Option<Bars> {
    let measure = Measure {
        values: |sample| Some((sample.hits, sample.misses)),
        is_sum: true,
        shown: |hits, misses| format!("{} from here, {} fetched", number(hits), number(misses)),
    };
    let (bars, most) = bars(samples, now, WEEK, &measure)?;
    let sum = |count: fn(&Sample) -> u64| samples.iter().map(count).sum::<u64>();
    let (hits, misses) = (sum(|sample| sample.hits), sum(|sample| sample.misses));
    let all = hits + misses;
    let share = hits.saturating_mul(100).checked_div(all)?;
    Some(Bars {
        title: format!(
            "{share} % of {} requests for crate files were answered from here; the rest was fetched",
            number(all)
        ),
        most: format!(
            "{}; the upper part of a bar was fetched",
            counted_files(most)
        ),
        ..bars
    })
}

fn counted_files(count: u64) -> String {
    match count {
        1 => "1 file".to_owned(),
        count => format!("{} files", number(count)),
    }
}

/// How many requests there were, and which failed.
fn requests(samples: &[Sample], now: i64) -> Option<Bars> {
    let measure = Measure {
        values: |sample| Some((sample.answered + sample.refused, sample.failed)),
        is_sum: true,
        shown: |fine, failed| format!("{} requests, {} more failed", number(fine), number(failed)),
    };
    let (bars, most) = bars(samples, now, WEEK, &measure)?;
    let all: u64 = samples
        .iter()
        .map(|sample| sample.answered + sample.refused + sample.failed)
        .sum();
    let failed: u64 = samples.iter().map(|sample| sample.failed).sum();
    let end = match failed {
        0 => "none failed here".to_owned(),
        failed => format!("{} failed here", number(failed)),
    };
    Some(Bars {
        title: format!("{} requests in the last week, of which {end}", number(all)),
        most: format!("{} requests; the upper part of a bar failed", number(most)),
        ..bars
    })
}

/// How large the store was.
fn store(samples: &[Sample], now: i64, limit: Option<u64>) -> Option<Bars> {
    let measure = Measure {
        values: |sample| Some((sample.store_bytes?, 0)),
        is_sum: false,
        shown: |bytes, _| size(bytes),
    };
    let (bars, most) = bars(samples, now, WEEK, &measure)?;
    let known = |sample: &Sample| sample.store_bytes;
    let (first, last) = (
        samples.iter().find_map(known)?,
        samples.iter().rev().find_map(known)?,
    );
    let grown = match last.cmp(&first) {
        Ordering::Less => format!(", {} less than at the beginning", size(first - last)),
        Ordering::Equal => String::new(),
        Ordering::Greater => format!(", {} more than at the beginning", size(last - first)),
    };
    let of = limit.map_or_else(String::new, |limit| format!(" of {}", size(limit)));
    Some(Bars {
        title: format!("The store has {}{of}{grown}", size(last)),
        most: size(most),
        ..bars
    })
}

/// Makes bars of a measure, and returns the highest one; `None` where all are nothing.
fn bars(samples: &[Sample], now: i64, span: i64, measure: &Measure) -> Option<(Bars, u64)> {
    let step = if span == DAY { 3 * STEP } else { 18 * STEP };
    let count = span / step;
    // The last bar is of the time that is not over.
    let first = now.div_euclid(step) - count + 1;
    let mut values = vec![(0_u64, 0_u64); usize::try_from(count).ok()?];
    for sample in samples {
        let place = usize::try_from(sample.at.div_euclid(step) - first).ok();
        let place = place.and_then(|place| values.get_mut(place));
        if let (Some(place), Some((lower, upper))) = (place, (measure.values)(sample)) {
            *place = match measure.is_sum {
                true => (place.0 + lower, place.1 + upper),
                false => (place.0.max(lower), place.1.max(upper)),
            };
        }
    }
    let most = values.iter().map(|(lower, upper)| lower + upper).max()?;
    if most == 0 {
        return None;
    }
    let bars = values.iter().zip(first..).enumerate();
    let bars = bars.filter(|(_, ((lower, upper), _))| lower + upper > 0);
    let bars = bars.map(|(place, (&(lower, upper), at))| {
        // What is not nothing can be seen.
        let high = |value: u64| match value {
            0 => 0,
            value => (u128::from(value) * u128::from(HIGH) / u128::from(most)).max(2) as u64,
        };
        let (low, up) = (high(lower), high(upper));
        let from = Timestamp::from_second(at * step).unwrap_or_default();
        let from = from.strftime("%-d %B, %H:%M UTC");
        Bar {
            label: format!("{from}: {}", (measure.shown)(lower, upper)),
            x: i64::try_from(place).unwrap_or_default() * WIDE + 1,
            lower: (HIGH.saturating_sub(low), low),
            upper: (HIGH.saturating_sub(low + up), up),
        }
    });
    let made = Bars {
        bars: bars.collect(),
        title: String::new(),
        most: String::new(),
        begins: "a week ago",
        width: count * WIDE,
    };
    Some((made, most))
}

/// Returns the numbers of each day, the newest first.
fn days(samples: &[Sample]) -> Vec<Day> {
    let mut sums: Vec<Sample> = Vec::new();
    for sample in samples.iter().rev() {
        let day = sample.at.div_euclid(DAY);
        match sums.last_mut() {
            Some(last) if last.at == day => add(last, sample),
            _ => sums.push(Sample { at: day, ..*sample }),
        }
    }
    let days = sums.iter().map(|day| {
        let date = Timestamp::from_second(day.at * DAY).unwrap_or_default();
        Day {
            date: date.to_zoned(TimeZone::UTC).strftime("%-d %B").to_string(),
            requests: number(day.answered + day.refused + day.failed),
            failed: number(day.failed),
            hits: number(day.hits),
            misses: number(day.misses),
            behind: day.behind.map_or_else(String::new, long),
        }
    });
    days.collect()
}

fn add(sum: &mut Sample, sample: &Sample) {
    sum.answered += sample.answered;
    sum.refused += sample.refused;
    sum.failed += sample.failed;
    sum.hits += sample.hits;
    sum.misses += sample.misses;
    sum.behind = sum.behind.max(sample.behind);
}

/// Says how long a time is, in its largest unit.
fn long(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit);
    let (unit, noun) = unit.copied().unwrap_or((1, "second"));
    counted(seconds / unit, noun).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn charts_say_what_they_show() {
        let now = 1_800_000_000;
        let sample = |ago: i64, hits, misses, behind| Sample {
            at: now - ago,
            answered: hits + misses,
            failed: misses,
            hits,
            misses,
            behind: Some(behind),
            store_bytes: Some(1 << 20),
            ..Sample::default()
        };
        let old = Sample {
            store_bytes: Some(512 << 10),
            ..sample(3 * DAY, 1, 1, 7_300)
        };
        let recent = Recent {
            samples: vec![old, sample(20, 3, 0, 90), sample(10, 3, 0, 30)],
            ..Recent::default()
        };
        let week = Week::of(&recent, now, Some(2 << 20)).unwrap();
        let titles: Vec<_> = week
            .charts
            .iter()
            .map(|chart| chart.title.as_str())
            .collect();
        let expected = [
            "The index was at most 1 minute behind its repository in the last day",
            "The index was at most 2 hours behind its repository in the last week",
            "87 % of 8 requests for crate files were answered from here; the rest was fetched",
            "9 requests in the last week, of which 1 failed here",
            "The store has 1.0 MiB of 2.0 MiB, 512.0 KiB more than at the beginning",
        ];
        assert_eq!(titles, expected);
        let files = &week.charts[2];
        assert_eq!(
            (files.width, files.most.as_str(), files.bars.len()),
            (560, "6 files; the upper part of a bar was fetched", 2)
        );
        assert_eq!(
            (files.bars[0].lower, files.bars[0].upper),
            ((84, 16), (68, 16))
        );
        assert_eq!(files.bars[1].lower, (0, 100));
        assert!(files.bars[1].label.ends_with(": 6 from here, 0 fetched"));
        assert_eq!(week.days.len(), 2);
        assert_eq!(
            (week.days[0].hits.as_str(), week.days[0].behind.as_str()),
            ("6", "1 minute")
        );
        assert!(Week::of(&Recent::default(), now, None).is_none());
    }
}
