//! Durations, and the rhythm of a clock.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The longest duration: deadlines that are much later no clock can express.
const LONGEST: Duration = Duration::from_secs(100 * 31_557_600);

/// What the fields of a cron expression of six fields hold; one of five has no seconds.
const FIELDS: [&str; 6] = [
    "second (0 to 59)",
    "minute (0 to 59)",
    "hour (0 to 23)",
    "day of the month (1 to 31)",
    "month (1 to 12, or JAN to DEC)",
    "day of the week (0 to 7, or SUN to SAT)",
];

/// When the clock of the trigger helper ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rhythm {
    /// After each such time.
    Every(Duration),
    /// As a cron expression says.
    Cron(String),
}

/// Reads a duration greater than zero, such as `15m`.
///
/// # Errors
/// What was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => countable(duration),
        Ok(_) => Err("expected a duration greater than zero, such as 10s or 15m".to_owned()),
        Err(_) => Err(no_duration("10s or 15m", text)),
    }
}

/// Reads a duration that may be zero.
///
/// # Errors
/// What was expected.
pub fn duration_or_zero(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) => countable(duration),
        Err(_) if text == "0" => Ok(Duration::ZERO),
        Err(_) => Err(no_duration("0s or 30s", text)),
    }
}

/// Reads a duration greater than zero, or `off`.
pub(in super::super) fn duration_or_off(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "off" => Ok(None),
        text => duration(text)
            .map(Some)
            .map_err(|_| no_duration("90d, or off", text)),
    }
}

fn no_duration(example: &str, text: &str) -> String {
    let text = text.escape_debug();
    format!("expected a duration such as {example}, found `{text}`")
}

fn countable(duration: Duration) -> Result<Duration, String> {
    match duration <= LONGEST {
        true => Ok(duration),
        false => Err("expected a duration of at most 100 years".to_owned()),
    }
}

/// Reads a duration or a cron expression.
pub(in super::super) fn rhythm(text: &str) -> Result<Rhythm, String> {
    // A duration may contain spaces, too, as `1h 30m` does; cron's shortest form has five fields.
    let is_cron = text.starts_with('@') || text.split_whitespace().count() >= 5;
    match is_cron {
        true => cron(text).map(|_| Rhythm::Cron(text.to_owned())),
        false => duration(text).map(Rhythm::Every).map_err(|reason| {
            format!("{reason}; a cron expression such as `*/10 * * * *` has five fields")
        }),
    }
}

/// Reads a cron expression, of five fields or of six with seconds.
///
/// # Errors
/// What was expected, and which field is wrong; or that the expression matches no time.
pub fn cron(text: &str) -> Result<Cron, String> {
    let unusable = |reason: String| {
        let found = text.escape_debug();
        format!(
            "expected a duration such as 10m or a cron expression such as `*/10 * * * *`, found `{found}`: {reason}"
        )
    };
    // With a year in the expression, the clock would stop for good one day, and nobody would notice.
    let parser = CronParser::builder().year(Year::Disallowed).build();
    let cron = parser
        .parse(text)
        .map_err(|_| unusable(fault(&parser, text)))?;
    // From a fixed time, so that the check of a configuration does not depend on when it runs.
    let start = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    match cron.find_next_occurrence(&start, false) {
        Ok(_) => Ok(cron),
        Err(_) => Err(unusable("it matches no time".to_owned())),
    }
}

/// Says what is wrong with a cron expression: the library's errors name no field.
fn fault(parser: &CronParser, text: &str) -> String {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let first = match fields.len() {
        5 => 1,
        6 => 0,
        _ => return "a cron expression has five fields, or six with seconds".to_owned(),
    };
    let is_wrong = |at: usize| {
        let mut alone = vec!["*"; fields.len()];
        alone[at] = fields[at];
        parser.parse(&alone.join(" ")).is_err()
    };
    let wrong = (0..fields.len()).find(|at| is_wrong(*at));
    wrong.map_or_else(
        || "its fields do not go together".to_owned(),
        |at| {
            format!(
                "`{}` is no {}",
                fields[at].escape_debug(),
                FIELDS[first + at]
            )
        },
    )
}
