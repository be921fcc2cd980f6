//! The chart of a crate's releases over time.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::text::{Moment, number};
use crate::index::release::ListedRelease;

/// The most bars there are.
const MOST: i32 = 40;
/// How wide a bar is, and how high the highest, in units of the picture.
const STEP: usize = 10;
const HEIGHT: usize = 100;

/// Releases over time, as bars; the title says the finding.
pub(super) struct Chart {
    pub(super) title: String,
    /// What a bar stands for, as in `quarter`.
    pub(super) unit: &'static str,
    pub(super) most: usize,
    pub(super) width: usize,
    pub(super) bars: Vec<Bar>,
}

/// The releases of a month, a quarter or a year.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) count: usize,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) height: usize,
}

impl Chart {
    /// Makes it of the releases whose dates are known; `None` if there are fewer than two.
    pub(super) fn of(releases: &[ListedRelease], now: Timestamp) -> Option<Self> {
        let dates = releases.iter().filter_map(|release| release.published);
        let mut dates: Vec<_> = dates.map(|at| at.min(now)).collect();
        dates.sort_unstable();
        let (first, last) = (*dates.first()?, *dates.last()?);
        if dates.len() < 2 {
            return None;
        }
        let (from, to) = (month(first), month(now));
        let units = [(1, "month"), (3, "quarter"), (12, "year")];
        let fits = |(months, _): &(i32, _)| to / months - from / months < MOST;
        let (months, unit) = units.into_iter().find(fits).unwrap_or(units[2]);
        let places = from / months..=to / months;
        // The years of a broken date may be any number.
        let skipped = (places.clone().count()).saturating_sub(MOST as usize);
        let mut bars: Vec<_> = places
            .skip(skipped)
            .enumerate()
            .map(|(place, at)| {
                let is_in = |date: &&Timestamp| month(**date) / months == at;
                let count = dates.iter().filter(is_in).count();
                Bar::new(label(at, months), count, place)
            })
            .collect();
        let most = bars.iter().map(|bar| bar.count).max()?;
        bars.iter_mut().for_each(|bar| bar.scale(most));
        Some(Self {
            title: format!(
                "{} releases since {}, the last {}",
                number(dates.len() as u64),
                first.strftime("%B %Y"),
                Moment::of(last).ago
            ),
            unit,
            most,
            width: bars.len() * STEP,
            bars,
        })
    }

    /// Returns what the first bar stands for.
    pub(super) fn begins(&self) -> &str {
        self.bars.first().map_or("", |bar| &bar.label)
    }

    /// Returns what the last bar stands for.
    pub(super) fn ends(&self) -> &str {
        self.bars.last().map_or("", |bar| &bar.label)
    }
}

impl Bar {
    fn new(label: String, count: usize, place: usize) -> Self {
        Self {
            label,
            count,
            x: place * STEP + 1,
            y: HEIGHT,
            height: 0,
        }
    }

    /// Sets its height; what is not nothing can be seen.
    fn scale(&mut self, most: usize) {
        if self.count > 0 {
            self.height = (self.count * HEIGHT / most).max(3);
            self.y = HEIGHT - self.height;
        }
    }
}

/// Counts the months.
fn month(at: Timestamp) -> i32 {
    let date = at.to_zoned(TimeZone::UTC).date();
    i32::from(date.year()) * 12 + i32::from(date.month()) - 1
}

fn label(place: i32, months: i32) -> String {
    let first = place * months;
    let (year, month) = (first.div_euclid(12), first.rem_euclid(12));
    match months {
        1 => format!("{year}-{:02}", month + 1),
        3 => format!("{year} Q{}", month / 3 + 1),
        _ => year.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::index::release::Releases;

    fn chart(dates: &[&str], now: &str) -> Option<Chart> {
        let lines = dates.iter().enumerate().map(|(place, date)| {
            format!(r#"{{"name":"a","vers":"1.0.{place}","pubtime":"{date}T00:00:00Z"}}"#)
        });
        let lines: Vec<_> = lines.collect();
        let now = format!("{now}T00:00:00Z").parse().unwrap();
        Chart::of(Releases::of(lines.join("\n").into()).listed(), now)
    }

    #[test]
    fn bars_are_as_long_as_fits() {
        for (first, unit, bars, begins, ends) in [
            ("2026-01-31", "month", 11, "2026-01", "2026-11"),
            ("2020-02-01", "quarter", 28, "2020 Q1", "2026 Q4"),
            ("2014-11-20", "year", 13, "2014", "2026"),
            ("1900-01-01", "year", 40, "1987", "2026"),
        ] {
            let chart = chart(&[first, "2026-03-01", "2026-03-02"], "2026-11-30").unwrap();
            assert_eq!((chart.unit, chart.bars.len()), (unit, bars), "{first}");
            assert_eq!((chart.begins(), chart.ends()), (begins, ends));
        }
    }

    #[test]
    fn the_highest_bar_is_the_busiest_time() {
        let chart = chart(
            &["2026-01-01", "2026-02-01", "2026-02-02", "2099-01-01"],
            "2026-03-01",
        );
        let chart = chart.unwrap();
        let seen: Vec<_> = chart
            .bars
            .iter()
            .map(|bar| (bar.count, bar.y, bar.height))
            .collect();
        // A date that is still to come counts as now.
        assert_eq!(seen, [(1, 50, 50), (2, 0, 100), (1, 50, 50)]);
        assert!(
            chart
                .title
                .starts_with("4 releases since January 2026, the last ")
        );
    }

    #[test]
    fn without_dates_there_is_no_chart() {
        assert!(chart(&[], "2026-01-01").is_none());
        assert!(chart(&["2026-01-01"], "2026-01-01").is_none());
    }
}
