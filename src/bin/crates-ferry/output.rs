//! What reaches stdout, and the last words on stderr.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crates_ferry::check::Findings;
use crates_ferry::error::{Error, Kind};
use crates_ferry::report::Report;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::Format;
use crate::report_file;

/// What a command has to say, for people and for programs, and the exit code.
pub(crate) struct Answer {
    /// The report as text, without the last line break.
    pub(crate) text: String,
    /// The report as one JSON object.
    pub(crate) json: Value,
    /// 0, or 1 where a probe failed.
    pub(crate) exit_code: u8,
}

impl Answer {
    /// Shows the report of a command that did what it was asked for.
    pub(crate) fn report(report: &Report) -> Result<Self, Error> {
        Self::new(report, 0)
    }

    /// Shows what a check found; the exit code is 1 where a probe failed.
    pub(crate) fn findings(findings: &Findings) -> Result<Self, Error> {
        Self::new(findings, u8::from(!findings.ok))
    }

    fn new(shown: &(impl ToString + Serialize), exit_code: u8) -> Result<Self, Error> {
        let unwritable =
            |e| Error::new(Kind::Server, "the report cannot be written as JSON").because(e);
        Ok(Self {
            text: shown.to_string(),
            json: serde_json::to_value(shown).map_err(unwritable)?,
            exit_code,
        })
    }
}

/// Why a command ended without an answer.
pub(crate) enum Failure {
    /// It failed.
    Error(Error),
    /// A signal stopped it.
    Stopped(Signal),
}

/// A signal that asks the process to end.
#[derive(Clone, Copy)]
pub(crate) enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// Where the end of a command is told.
pub(crate) struct Places {
    /// How stdout gets it.
    pub(crate) format: Format,
    /// The file that gets it too, as JSON.
    pub(crate) report: Option<PathBuf>,
}

/// Prints how the command ended and returns the exit code.
pub(crate) fn finish(places: &Places, end: Result<Answer, Failure>) -> ExitCode {
    let (text, json, code, failed) = match end {
        Ok(answer) => (answer.text, answer.json, answer.exit_code, false),
        Err(Failure::Error(error)) => {
            let code = error.kind().exit_code();
            (error_text(&error), error_json(&error), code, true)
        }
        Err(Failure::Stopped(signal)) => {
            let (text, json, code) = stopped(signal);
            (text, json, code, true)
        }
    };
    let printed = match places.format {
        Format::Json => print(&json.to_string()),
        Format::Text if failed => {
            say(&text);
            Ok(())
        }
        Format::Text => print(&text),
    };
    let printed = printed.map_err(|e| format!("error: cannot write the report to stdout: {e}"));
    ExitCode::from(code.max(told(printed)).max(told(keep(places, &json))))
}

/// Writes the JSON object to the file that was asked for.
fn keep(places: &Places, json: &Value) -> Result<(), String> {
    let Some(path) = &places.report else {
        return Ok(());
    };
    report_file::write(path, &format!("{json}\n"))
        .map_err(|e| format!("error: cannot write the report to {}: {e}", path.display()))
}

/// Says why a report did not reach its place, and returns the least exit code: the command's own failure counts more.
fn told(written: Result<(), String>) -> u8 {
    written.map_or_else(
        |line| {
            say(&line);
            1
        },
        |()| 0,
    )
}

/// Prints what clap says: help and version on stdout with 0, a mistake on stderr with 2.
pub(crate) fn finish_parsing(error: &clap::Error, places: &Places) -> ExitCode {
    // Nobody is left to tell where help or the mistake cannot be printed.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let message = first.trim_start_matches("error: ");
    let usage =
        Error::new(Kind::Usage, message).advise("`crates-ferry --help` lists commands and flags.");
    let json = error_json(&usage);
    if places.format == Format::Json {
        let _ = print(&json.to_string());
    }
    told(keep(places, &json));
    ExitCode::from(Kind::Usage.exit_code())
}

/// Writes a line to stdout; a reader that went away is no failure.
fn print(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e),
        _ => Ok(()),
    }
}

/// Writes a line to stderr, where it is there.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn error_text(error: &Error) -> String {
    let mut text = format!("error[{}]: {error}", error.kind());
    for cause in error.causes() {
        text.push_str(&format!("\n  caused by: {cause}"));
    }
    if let Some(advice) = error.advice() {
        text.push_str(&format!("\n  help: {advice}"));
    }
    text
}

fn error_json(error: &Error) -> Value {
    json!({ "error": {
        "kind": error.kind(),
        "message": error.to_string(),
        "causes": error.causes(),
        "advice": error.advice(),
    } })
}

/// Git hosts apply a push whole or not at all, so there is nothing to clean up.
fn stopped(signal: Signal) -> (String, Value, u8) {
    let (kind, code) = match signal {
        Signal::Interrupt => ("interrupted", 130),
        Signal::Terminate => ("terminated", 143),
    };
    let message =
        "stopped by a signal; nothing is half done: a push is applied whole or not at all";
    let advice = "Run the command again: it starts from what the mirror holds.";
    let json =
        json!({ "error": { "kind": kind, "message": message, "causes": [], "advice": advice } });
    (
        format!("error[{kind}]: {message}\n  help: {advice}"),
        json,
        code,
    )
}
