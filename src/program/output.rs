//! What reaches stdout, and the last words on stderr.

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use super::report_file;
use crate::error::{Error, Kind};

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What a command has to say, for people and for programs, and the exit code.
pub struct Answer {
    /// The report as text, without the last line break.
    pub text: String,
    /// The report as one JSON object.
    pub json: Value,
    /// 0, or 1 where a probe failed.
    pub exit_code: u8,
}

impl Answer {
    /// Shows what a command came to.
    ///
    /// # Errors
    /// `server` where it cannot be written as JSON.
    pub fn new(shown: &(impl ToString + Serialize), exit_code: u8) -> Result<Self, Error> {
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
pub enum Failure {
    /// It failed.
    Error(Error),
    /// A signal stopped it.
    Stopped(Signal),
}

/// A signal that asks the process to end.
#[derive(Clone, Copy)]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// Where the end of a command is told.
pub struct Places {
    /// How stdout gets it.
    pub format: Format,
    /// The file that gets it too, as JSON.
    pub report: Option<PathBuf>,
    /// What is to be known and done after a signal.
    pub reassurance: Reassurance,
}

/// What a program says when a signal stopped it.
#[derive(Debug, Clone, Copy)]
pub struct Reassurance {
    /// Why nothing is half done.
    pub message: &'static str,
    /// What to do.
    pub advice: &'static str,
}

/// Prints how the command ended and returns the exit code.
pub fn finish(places: &Places, end: Result<Answer, Failure>) -> ExitCode {
    let (text, json, code, failed) = match end {
        Ok(answer) => (answer.text, answer.json, answer.exit_code, false),
        Err(Failure::Error(error)) => {
            let code = error.kind().exit_code();
            (error_text(&error), error_json(&error), code, true)
        }
        Err(Failure::Stopped(signal)) => {
            let (text, json, code) = stopped(signal, places.reassurance);
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
pub fn finish_parsing(error: &clap::Error, places: &Places) -> ExitCode {
    // Nobody is left to tell where help or the mistake cannot be printed.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let message = first.trim_start_matches("error: ");
    let usage = Error::new(Kind::Usage, message).advise("`--help` lists commands and flags.");
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

fn stopped(signal: Signal, reassurance: Reassurance) -> (String, Value, u8) {
    let (kind, code) = match signal {
        Signal::Interrupt => ("interrupted", 130),
        Signal::Terminate => ("terminated", 143),
    };
    let message = format!("stopped by a signal; {}", reassurance.message);
    let advice = reassurance.advice;
    let json =
        json!({ "error": { "kind": kind, "message": message, "causes": [], "advice": advice } });
    (
        format!("error[{kind}]: {message}\n  help: {advice}"),
        json,
        code,
    )
}
