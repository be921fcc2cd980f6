//! Reads for how long a server asks its clients to wait.

use std::time::{Duration, SystemTime};

/// Reads the value of `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). A date that is past is no time to wait.
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nothing_else() {
        let now = httpdate::parse_http_date("Tue, 24 Nov 2026 00:00:00 GMT").unwrap();
        for (value, seconds) in [
            ("17", Some(17)),
            (" 0 ", Some(0)),
            ("Tue, 24 Nov 2026 00:00:30 GMT", Some(30)),
            ("Mon, 23 Nov 2026 00:00:30 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            let read = retry_after(value, now);
            assert_eq!(read, seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
