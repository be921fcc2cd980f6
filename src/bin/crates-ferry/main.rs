//! The program `crates-ferry`: reads the command line, runs the command, prints its report, sets the exit code.

mod cli;
mod log;
mod output;
mod progress;
mod report_file;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser as _;
use crates_ferry::config::{Config, Environment};
use crates_ferry::error::{Error, Kind, Result};
use crates_ferry::progress::Progress;
use crates_ferry::relay::Surroundings;
use crates_ferry::{check, init, notify, sync};
use tokio::signal::unix::{SignalKind, signal};

use cli::{Cli, Command, Format};
use output::{Answer, Failure, Places, Signal};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return output::finish_parsing(&error, &places_in(&arguments)),
    };
    let environment = Environment::of_process();
    let bars = progress::bars(&cli);
    log::start(&cli, &environment, bars.as_ref());
    let places = Places {
        format: cli.format,
        report: cli.report.clone(),
    };
    let end = Config::load(&cli.flags(), &environment).map_err(Failure::Error);
    let end = end.and_then(|config| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|e| Failure::Error(no_runtime(e)))?;
        let progress = Arc::new(Progress::default());
        let work = run(cli.command, config, Arc::clone(&progress));
        let end = runtime.block_on(progress::beside(
            bars.as_ref(),
            &progress,
            until_stopped(work),
        ));
        // A name that is still being looked up would hold up the end for as long as the resolver tries.
        runtime.shutdown_background();
        end
    });
    output::finish(&places, end)
}

/// Runs the command.
async fn run(command: Command, config: Config, progress: Arc<Progress>) -> Result<Answer> {
    let around = Surroundings {
        clock: SystemTime::now,
        progress: &progress,
    };
    match command {
        Command::Init(_) => Answer::report(&init::run(&config, around).await?),
        Command::Sync(asked) => {
            let options = sync::Options {
                dry_run: asked.dry_run,
                ours: asked.ours,
                allow_loss: asked.allow_loss,
            };
            let end = sync::run(&config, &options, around).await;
            if !options.dry_run {
                notify::after_sync(&config, &end, around).await;
            }
            Answer::report(&end?)
        }
        Command::Check(asked) => {
            let options = check::Options { mail: asked.mail };
            Answer::findings(&check::run(&config, &options, around).await)
        }
    }
}

/// Does the work until it is done or a signal stops it; then it is dropped, which closes its connections.
async fn until_stopped(work: impl Future<Output = Result<Answer>>) -> Result<Answer, Failure> {
    let signals = || {
        Ok((
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ))
    };
    let (mut interrupt, mut terminate) = signals().map_err(|e| Failure::Error(no_runtime(e)))?;
    tokio::select! {
        end = work => end.map_err(Failure::Error),
        _ = interrupt.recv() => Err(Failure::Stopped(Signal::Interrupt)),
        _ = terminate.recv() => Err(Failure::Stopped(Signal::Terminate)),
    }
}

fn no_runtime(error: std::io::Error) -> Error {
    Error::new(Kind::Server, "cannot start the event loop on this machine").because(error)
}

/// Returns where the end is to be told, as far as a command line shows it that cannot be parsed.
fn places_in(arguments: &[OsString]) -> Places {
    let value_of = |flag: &str| {
        let joined = format!("{flag}=");
        let mut values = arguments.iter().enumerate().filter_map(|(at, argument)| {
            match argument.to_str()?.strip_prefix(&joined) {
                Some(value) => Some(value.into()),
                None if argument == flag => arguments.get(at + 1).cloned(),
                None => None,
            }
        });
        values.next()
    };
    let json = value_of("--format").is_some_and(|value: OsString| value == "json");
    Places {
        format: if json { Format::Json } else { Format::Text },
        report: value_of("--report").map(PathBuf::from),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_signal_drops_the_work_and_is_told_apart() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let pid = std::process::id().to_string();
        let places = places_in(&[]);
        for (name, code) in [("-INT", 130), ("-TERM", 143)] {
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
            let shown = format!("{:?}", output::finish(&places, end));
            assert_eq!(shown, format!("{:?}", ExitCode::from(code)));
        }
    }
}
