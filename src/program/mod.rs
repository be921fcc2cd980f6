//! What the two programs share: flags and commands, the log, stdout and the exit code, signals.

mod arguments;
mod log;
pub mod manual;
mod output;
mod panics;
mod progress_line;
mod report_file;
mod style;

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit};
use tokio::signal::unix::{self, SignalKind, signal};

use crate::config::Mask;
use crate::error::{Error, Kind, Result};

pub use arguments::{CommonArgs, CommonCommand};
pub use log::{LogFormat, Verbosity, start as start_log};
pub use output::{
    Destinations, Failure, Format, InterruptNote, Output, Signal, finish, finish_parsing, say,
};
pub use panics::caught;
pub use progress_line::{Meter, progress_line};
pub use style::HELP as HELP_STYLES;

/// What `--version` prints: the version, and of a release the commit and its date.
pub const VERSION: &str = env!("CRATES_FERRY_VERSION");

/// How many files a process must be allowed to open.
// A sync with both sides over ssh has 20 open.
const FEWEST_FILES: u64 = 32;
const MORE_FILES: &str = "Raise the number of files that this process may open (`ulimit -n 1024`, LimitNOFILE of a systemd unit).";

/// Runs the work on an event loop of one thread.
///
/// # Errors
/// The work's; `server` if the event loop cannot be started.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run_on(tokio::runtime::Builder::new_current_thread(), work)
}

/// Runs the work on an event loop of as many threads as there are cores.
///
/// # Errors
/// As [`block_on`].
pub fn block_on_all_cores<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run_on(tokio::runtime::Builder::new_multi_thread(), work)
}

fn run_on<T>(
    mut threads: tokio::runtime::Builder,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    enough_files(getrlimit(Resource::Nofile).current).map_err(Failure::Error)?;
    let runtime = threads.enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Error(no_runtime(e)))?;
    let end = runtime.block_on(work);
    // Dropping the runtime would wait for the resolver's thread, which cannot be cancelled while it looks up a name.
    runtime.shutdown_background();
    end
}

/// Runs the work until it is done or a signal stops it, also SIGHUP: the terminal was closed. Stopped work is dropped, which
/// closes its connections and removes what it had not finished.
///
/// # Errors
/// The work's, or the signal that stopped it.
pub async fn until_stopped(work: impl Future<Output = Result<Output>>) -> Result<Output, Failure> {
    let mut stop = StopSignals::new().map_err(Failure::Error)?;
    let hangup = hangup().map_err(Failure::Error)?;
    tokio::select! {
        end = work => end.map_err(Failure::Error),
        signal = stop.next() => Err(Failure::Stopped(signal)),
        () = hangup => Err(Failure::Stopped(Signal::Hangup)),
    }
}

/// Waits for SIGHUP, which ends the process no longer; for ever if the process was started to ignore it, as `nohup` does.
fn hangup() -> Result<impl Future<Output = ()>> {
    let mut hangup = match ignores_hangup() {
        true => None,
        false => Some(signal(SignalKind::hangup()).map_err(no_runtime)?),
    };
    Ok(async move {
        match &mut hangup {
            Some(hangup) => drop(hangup.recv().await),
            None => std::future::pending().await,
        }
    })
}

/// Says whether the process was started with SIGHUP ignored, where `/proc` tells (`proc_pid_status(5)`).
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_some_and(|mask| mask & 1 != 0)
}

/// Returns the mask of ignored signals, whose lowest bit is SIGHUP, the first of them.
fn ignored(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Waits for SIGINT or SIGTERM, so that a server can drain its requests; a second one ends the process at once.
///
/// # Errors
/// `server` if signals cannot be received.
pub fn graceful_stop() -> Result<impl Future> {
    let mut signals = StopSignals::new()?;
    Ok(async move {
        signals.next().await;
        tokio::spawn(async move { std::process::exit(signals.next().await.exit_code().into()) });
    })
}

/// SIGINT and SIGTERM, which end the process no longer.
struct StopSignals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl StopSignals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(no_runtime)?,
            terminate: signal(SignalKind::terminate()).map_err(no_runtime)?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

/// Refuses a limit of open files at which tokio panics, before it is blamed for that.
fn enough_files(limit: Option<u64>) -> Result<()> {
    match limit {
        Some(limit) if limit < FEWEST_FILES => Err(Error::new(
            Kind::Config,
            format!("this process may open only {limit} files, and needs {FEWEST_FILES}"),
        )
        .advise(MORE_FILES)),
        _ => Ok(()),
    }
}

fn no_runtime(error: std::io::Error) -> Error {
    Error::new(Kind::Server, "cannot start the event loop on this machine")
        .because(error)
        .advise(MORE_FILES)
}

/// Finds `--format` and `--report` in a command line that may be one that clap cannot parse: its error must reach them,
/// too.
pub fn destinations_in(arguments: &[OsString], interrupt_note: InterruptNote) -> Destinations {
    // clap takes no flag for a value, except after `=`, and no empty text.
    let is_value = |next: &&OsString| *next == "-" || !next.as_encoded_bytes().starts_with(b"-");
    let value_of = |flag: &str| {
        // clap takes `--flag=value` and `--flag value`.
        let joined = format!("{flag}=");
        let mut values = arguments.iter().enumerate().filter_map(|(at, argument)| {
            match argument.to_str()?.strip_prefix(&joined) {
                Some(value) => Some(value.into()),
                None if argument == flag => arguments.get(at + 1).filter(is_value).cloned(),
                None => None,
            }
        });
        values.next().filter(|value| !value.is_empty())
    };
    let json = value_of("--format").is_some_and(|value: OsString| value == "json");
    Destinations {
        format: if json { Format::Json } else { Format::Text },
        report: value_of("--report").map(PathBuf::from),
        interrupt_note,
        mask: Mask::default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::process::ExitCode;

    use super::*;

    #[test]
    fn a_report_file_without_a_name_is_none() {
        let note = InterruptNote {
            message: "",
            advice: "",
        };
        let found = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            destinations_in(&arguments, note).report
        };
        assert_eq!(found(&["--report", "a"]), Some("a".into()));
        assert_eq!(found(&["--report", "-"]), Some("-".into()));
        assert_eq!(found(&["--report", ""]), None);
        assert_eq!(found(&["--report="]), None);
        // clap takes no flag for a value.
        assert_eq!(found(&["--report", "--format", "json"]), None);
        assert_eq!(found(&["--report=--format"]), Some("--format".into()));
    }

    #[test]
    fn a_hangup_that_was_ignored_from_the_start_stays_ignored() {
        let mask = |text| ignored(&format!("Name:\tx\nSigBlk:\t1\nSigIgn:\t{text}\n"));
        assert_eq!(mask("0000000000001001"), Some(0x1001));
        assert_eq!(ignored("Name:\tx\n"), None);
        let mut nohup = std::process::Command::new("nohup");
        let status = nohup.args(["cat", "/proc/self/status"]).output().unwrap();
        let status = String::from_utf8(status.stdout).unwrap();
        assert_eq!(ignored(&status).unwrap() & 1, 1);
    }

    #[test]
    fn a_signal_drops_the_work_and_sets_the_exit_code() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let pid = std::process::id().to_string();
        let destinations = destinations_in(
            &[],
            InterruptNote {
                message: "nothing is half done",
                advice: "Run it again.",
            },
        );
        let signals = [("-INT", 130), ("-TERM", 143), ("-HUP", 129)];
        // The tests themselves may run under `nohup`.
        let heard = signals.len() - usize::from(ignores_hangup());
        for (name, code) in signals.into_iter().take(heard) {
            let signalled = async {
                let kill = tokio::process::Command::new("kill")
                    .args([name, &pid])
                    .status()
                    .await;
                assert!(kill.unwrap().success());
                std::future::pending().await
            };
            let end = runtime.block_on(until_stopped(signalled));
            assert!(matches!(&end, Err(Failure::Stopped(_))));
            let shown = format!("{:?}", finish(&destinations, end.map(Some)));
            assert_eq!(shown, format!("{:?}", ExitCode::from(code)));
        }
    }
}
