//! The log: lines on stderr, next to the progress bar if there is one.

mod json;

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use indicatif::MultiProgress;
use jiff::Timestamp;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::json::JsonLines;
use super::output::Format;
use super::panics;
use crate::config::Mask;

/// The control character that begins a colour.
const ESCAPE: &str = "\x1b";

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// The level and the message: a person waits for the command, or a CI job that writes times itself.
    Plain,
    /// The same after the time: of a program that runs for good.
    Timed,
    /// An object of JSON.
    Json,
}

impl LogFormat {
    /// Returns the format of a program that runs for good.
    pub fn of_a_server(report: Format) -> Self {
        match report {
            Format::Text => Self::Timed,
            Format::Json => Self::Json,
        }
    }
}

/// How much is logged: `-v` and `-q`.
#[derive(Debug, Clone, Copy)]
pub struct Verbosity {
    /// How often `-v` was given.
    pub verbose: u8,
    /// Whether `-q` was given.
    pub quiet: bool,
}

/// Sends the log of the whole process to stderr; `bars` are the ones that its lines must not run into.
///
/// What `mask` knows is masked in each line.
pub fn start(verbosity: Verbosity, format: LogFormat, bars: Option<&MultiProgress>, mask: Mask) {
    let log = tracing_subscriber::registry();
    let log = log.with(match format {
        LogFormat::Json => JsonLines {
            mask,
            with_target: verbosity.verbose > 1,
        }
        .boxed(),
        LogFormat::Timed => text_lines(verbosity, bars, mask).with_timer(Utc).boxed(),
        LogFormat::Plain => text_lines(verbosity, bars, mask).without_time().boxed(),
    });
    log.with(filter(verbosity, bars.is_some())).init();
    panics::log();
}

/// Returns the layer that writes text.
fn text_lines<S>(
    verbosity: Verbosity,
    bars: Option<&MultiProgress>,
    mask: Mask,
) -> fmt::Layer<S, DefaultFields, fmt::format::Format, Stderr> {
    let has_colours = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    fmt::layer()
        .with_target(verbosity.verbose > 1)
        .with_ansi(has_colours)
        // A closed stderr must not end the process.
        .log_internal_errors(false)
        .with_writer(Stderr {
            bars: bars.cloned(),
            mask,
        })
}

/// The time of a line.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        line.write_str(&json::time(Timestamp::now()))
    }
}

fn filter(verbosity: Verbosity, has_bars: bool) -> Targets {
    let (ours, others) = match (verbosity.quiet, verbosity.verbose) {
        (true, _) => (LevelFilter::ERROR, LevelFilter::ERROR),
        (_, 0) if has_bars => (LevelFilter::WARN, LevelFilter::ERROR),
        (_, 0) => (LevelFilter::INFO, LevelFilter::ERROR),
        (_, 1) => (LevelFilter::DEBUG, LevelFilter::WARN),
        // Below DEBUG, HTTP and SSH libraries write what went over the wire.
        (_, _) => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    Targets::new()
        .with_default(others)
        .with_target("crates_ferry", ours)
}

/// Writes to stderr, without secrets, while the bars are hidden.
struct Stderr {
    bars: Option<MultiProgress>,
    mask: Mask,
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Stderr {
    /// Takes a whole line: tracing writes each event at once, so that no secret is cut in two.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let line = line.trim_end_matches('\n');
        // The only ones left are those of our colours: tracing escapes those of a message, in which no secret has any.
        let pieces = line.split(ESCAPE).map(|piece| self.mask.apply(piece));
        let pieces: Vec<_> = pieces.collect();
        // A line break that a server sent must not begin a line that looks like one of ours.
        let masked = pieces.join(ESCAPE).replace('\n', "\n    ") + "\n";
        let write = || io::stderr().write_all(masked.as_bytes());
        match &self.bars {
            // Otherwise the next tick of a bar would overwrite the line.
            Some(bars) => bars.suspend(write),
            None => write(),
        }?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
