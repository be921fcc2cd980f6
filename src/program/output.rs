//! What a command writes to stdout, the error on stderr, and the report file.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use super::report_file;
use super::style::styled;
use crate::config::Mask;
use crate::error::{Error, Kind};

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What a command writes, for people and for programs, and its exit code.
pub struct Output {
    /// The report as text, without the last line break.
    pub text: String,
    /// The report as one JSON object.
    pub json: Value,
    /// 0, or 1 if a probe failed.
    pub exit_code: u8,
    /// What is said on stderr, where there is nothing to list on stdout.
    pub if_empty: &'static str,
    /// Files that are written besides, each with its text.
    pub beside: Vec<(PathBuf, String)>,
}

impl Output {
    /// Shows the report of a command.
    ///
    /// # Errors
    /// `server` if it cannot be written as JSON.
    pub fn new(shown: &(impl ToString + Serialize), exit_code: u8) -> Result<Self, Error> {
        let unwritable =
            |e| Error::new(Kind::Server, "the report cannot be written as JSON").because(e);
        Ok(Self {
            text: shown.to_string(),
            json: serde_json::to_value(shown).map_err(unwritable)?,
            exit_code,
            if_empty: "",
            beside: Vec::new(),
        })
    }

    /// Says on stderr that there is nothing to list, if the text is empty: a program that reads stdout counts no line then.
    #[must_use]
    pub fn or_say(self, if_empty: &'static str) -> Self {
        Self { if_empty, ..self }
    }

    /// Writes a file after the report was printed: if it cannot be written, the report is not lost.
    #[must_use]
    pub fn and_write(mut self, file: Option<(PathBuf, String)>) -> Self {
        self.beside.extend(file);
        self
    }
}

/// Why a command ended without a report.
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
    /// SIGHUP.
    Hangup,
}

impl Signal {
    /// Returns 128 and the number of the signal, as shells report it.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Hangup => 129,
        }
    }
}

/// Where the report of a command is written, or its error.
pub struct Destinations {
    /// The format of stdout.
    pub format: Format,
    /// The file that gets it too, as JSON.
    pub report: Option<PathBuf>,
    /// What is written after a signal.
    pub interrupt_note: InterruptNote,
    /// What is masked in all of it.
    pub mask: Mask,
}

/// What a command that a signal stopped leaves behind.
#[derive(Debug, Clone, Copy)]
pub struct InterruptNote {
    /// Why nothing is half done.
    pub message: &'static str,
    /// What to do.
    pub advice: &'static str,
}

/// Writes the report or the error of a command, and returns the exit code; a command that runs until a signal has no report.
pub fn finish(destinations: &Destinations, mut end: Result<Option<Output>, Failure>) -> ExitCode {
    let beside = match &mut end {
        Ok(Some(output)) => std::mem::take(&mut output.beside),
        Ok(None) | Err(_) => Vec::new(),
    };
    let (text, mut json, code, is_for_stderr) = match end {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(output)) if output.text.is_empty() && destinations.format == Format::Text => (
            output.if_empty.to_owned(),
            output.json,
            output.exit_code,
            true,
        ),
        Ok(Some(output)) => (output.text, output.json, output.exit_code, false),
        Err(Failure::Error(error)) => {
            let code = error.kind().exit_code();
            (error_text(&error), error_json(&error), code, true)
        }
        Err(Failure::Stopped(signal)) => {
            let (text, json, code) = stopped(signal, destinations.interrupt_note);
            (text, json, code, true)
        }
    };
    // Here, and in the log: whatever a command quotes of what a server said, no secret gets past, and no control character.
    let text = destinations.mask.apply(&text);
    destinations.mask.apply_to_json(&mut json);
    let printed = match destinations.format {
        // Straight to stdout: JSON has no colours to take out.
        Format::Json => print(io::stdout(), &json.to_string()),
        Format::Text if is_for_stderr => {
            print_error(&text);
            Ok(())
        }
        Format::Text => print(anstream::stdout(), &styled(&text)),
    };
    let printed = printed.map_err(|e| format!("cannot write the report to stdout: {e}"));
    // Even if stdout failed: a job may keep only this file.
    let filed = write_report_file(destinations, &json);
    let beside = beside
        .iter()
        .map(|(path, text)| write_file("", path, &destinations.mask.apply(text)));
    let least = [printed, filed].into_iter().chain(beside).map(exit_code_of);
    ExitCode::from(least.fold(code, u8::max))
}

/// Says something on stdout while a command runs for good.
pub fn say(mask: &Mask, text: &str) {
    // If stdout is closed, nobody reads this.
    let _ = print(anstream::stdout(), &styled(&mask.apply(text)));
}

/// Writes the JSON object to the file of `--report`.
fn write_report_file(destinations: &Destinations, json: &Value) -> Result<(), String> {
    let Some(path) = &destinations.report else {
        return Ok(());
    };
    write_file("the report to ", path, &format!("{json}\n"))
}

fn write_file(what: &str, path: &Path, text: &str) -> Result<(), String> {
    report_file::write(path, text)
        .map_err(|e| format!("cannot write {what}{}: {e}", path.display()))
}

/// Prints why a report could not be written, and returns the least exit code: the command's own failure counts more.
fn exit_code_of(written: Result<(), String>) -> u8 {
    match written {
        Ok(()) => 0,
        Err(reason) => {
            print_error(&format!("error: {reason}"));
            1
        }
    }
}

/// Prints clap's output: help and version on stdout with exit code 0, a mistake on stderr with 2.
pub fn finish_parsing(error: &clap::Error, destinations: &Destinations) -> ExitCode {
    // If stdout or stderr is closed, nobody reads this.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    // The first line says what is wrong; the usage that follows is for people.
    let first = text.lines().next().unwrap_or_default();
    let message = first.trim_start_matches("error: ");
    let usage = Error::new(Kind::Usage, message).advise("`--help` lists commands and flags.");
    let json = error_json(&usage);
    if destinations.format == Format::Json {
        // If stdout is closed, the exit code says what happened.
        let _ = print(io::stdout(), &json.to_string());
    }
    exit_code_of(write_report_file(destinations, &json));
    ExitCode::from(Kind::Usage.exit_code())
}

/// Writes a text and a line break; a reader that went away is no failure.
fn print(mut stdout: impl Write, text: &str) -> io::Result<()> {
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e),
        _ => Ok(()),
    }
}

/// Writes an error to stderr, unless stderr is closed.
fn print_error(text: &str) {
    let _ = writeln!(anstream::stderr(), "{}", styled(text));
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

fn stopped(signal: Signal, note: InterruptNote) -> (String, Value, u8) {
    let kind = match signal {
        Signal::Interrupt => "interrupted",
        Signal::Terminate => "terminated",
        Signal::Hangup => "hung_up",
    };
    let message = format!("stopped by a signal; {}", note.message);
    let advice = note.advice;
    let json =
        json!({ "error": { "kind": kind, "message": message, "causes": [], "advice": advice } });
    (
        format!("error[{kind}]: {message}\n  help: {advice}"),
        json,
        signal.exit_code(),
    )
}
