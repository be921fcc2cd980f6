//! The log as JSON: one object a line, as the access log has it.
//!
//! By hand, since the `json` feature of tracing-subscriber would bring one more crate to write five keys with, and secrets are
//! masked in values, before they are quoted.

use std::fmt::Debug;
use std::io::{self, Write as _};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::config::Mask;

/// Writes each event to stderr.
pub(super) struct JsonLines {
    /// What is masked.
    pub(super) mask: Mask,
    /// Whether each line names the module that it comes from.
    pub(super) with_target: bool,
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_ascii_lowercase();
        let mut fields = Fields(Map::new());
        fields.add("time", time(Timestamp::now()));
        fields.add("level", level);
        if self.with_target {
            fields.add("target", metadata.target());
        }
        event.record(&mut fields);
        let mut line = Value::Object(fields.0);
        self.mask.apply_to_json(&mut line);
        // A closed stderr must not end the process.
        let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
    }
}

/// Returns a time as each line of the log has it (RFC 3339, UTC).
pub(super) fn time(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The keys of a line.
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_time_is_utc_with_milliseconds() {
        let at = Timestamp::from_millisecond(1_780_000_000_120).unwrap();
        assert_eq!(time(at), "2026-05-28T20:26:40.120Z");
    }
}
