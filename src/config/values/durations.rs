//! Durations, and the rhythm of a clock.

use std::time::Duration;

/// When the clock of the trigger helper ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rhythm {
    /// After each such time.
    Every(Duration),
    /// As a cron expression says.
    Cron(String),
}

/// Reads a duration greater than zero, such as `15m`.
pub(in super::super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("expected a duration greater than zero, such as 10s or 15m".to_owned()),
        Err(e) => Err(format!(
            "expected a duration such as 10s or 15m, found `{text}` ({e})"
        )),
    }
}

/// Reads a duration that may be zero.
pub(in super::super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) => Ok(duration),
        Err(_) if text == "0" => Ok(Duration::ZERO),
        Err(e) => Err(format!(
            "expected a duration such as 0s or 30s, found `{text}` ({e})"
        )),
    }
}

/// Tells a duration from a cron expression; what the latter means is read where it is used.
pub(in super::super) fn rhythm(text: &str) -> Result<Rhythm, String> {
    // A duration may contain spaces, too, as `1h 30m` does; cron's shortest form has five fields.
    let is_cron = text.starts_with('@') || text.split_whitespace().count() >= 5;
    match is_cron {
        true => Ok(Rhythm::Cron(text.to_owned())),
        false => duration(text).map(Rhythm::Every).map_err(|reason| {
            format!("{reason}; a cron expression such as `*/10 * * * *` has five fields")
        }),
    }
}
