//! The program `crates-ferry`: reads the command line, runs the command, prints its report, sets the exit code.

mod cli;
mod progress;
mod server;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser as _;
use crates_ferry::config::{Config, Environment, Flags, ServeConfig};
use crates_ferry::error::Result;
use crates_ferry::mirror::relay::Surroundings;
use crates_ferry::mirror::{init, sync};
use crates_ferry::program::{self, Answer, Failure, Reassurance, Verbosity};
use crates_ferry::progress::Progress;
use crates_ferry::server::serve;
use crates_ferry::{check, notify};

use indicatif::MultiProgress;

use cli::{Cli, Command, MirrorCommand, ServerCommand};

/// Git hosts apply a push whole or not at all, so there is nothing to clean up.
const REASSURANCE: Reassurance = Reassurance {
    message: "nothing is half done: a push is applied whole or not at all",
    advice: "Run the command again: it starts from what the mirror holds.",
};

/// Crate files come into their place whole and verified.
const OF_PREFETCH: Reassurance = Reassurance {
    message: "nothing is half done: every crate file that is kept is whole and verified",
    advice: "Run the command again: it goes on with what is missing.",
};

/// Each file is changed by itself.
const OF_CACHE: Reassurance = Reassurance {
    message: "nothing is half done: each crate file is as it was, or done with",
    advice: "Run the command again: it goes on with the others.",
};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut places = program::places_in(&arguments, REASSURANCE);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return program::finish_parsing(&error, &places),
    };
    (places.format, places.report) = (cli.format, cli.report.clone());
    places.reassurance = reassurance(&cli.command);
    let environment = Environment::of_process();
    let bars = progress::bars(&cli);
    let verbosity = Verbosity {
        verbose: cli.verbose,
        quiet: cli.quiet,
    };
    program::start_log(verbosity, &environment, bars.as_ref());
    let flags = cli.flags();
    let progress = Arc::new(Progress::default());
    let end = match cli.command {
        Command::Serve => serve(&flags, &environment),
        Command::Server(command) => {
            let config = ServeConfig::load(&flags, &environment).map_err(Failure::Error);
            config.and_then(|config| {
                let work = server::run(command, config, Arc::clone(&progress));
                answer(work, bars.as_ref(), &progress)
            })
        }
        Command::Mirror(command) => {
            let config = Config::load(&flags, &environment).map_err(Failure::Error);
            config.and_then(|config| {
                let work = run(command, config, Arc::clone(&progress));
                answer(work, bars.as_ref(), &progress)
            })
        }
    };
    match end {
        // Nobody waits for a report of what ran until it was told to stop.
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(answer)) => program::finish(&places, Ok(answer)),
        Err(failure) => program::finish(&places, Err(failure)),
    }
}

/// Returns what is true of a command that a signal stopped.
fn reassurance(command: &Command) -> Reassurance {
    match command {
        Command::Server(ServerCommand::Prefetch(_)) => OF_PREFETCH,
        Command::Server(ServerCommand::Cache(_)) => OF_CACHE,
        // `serve` ends well, and `cargo-config` at once.
        Command::Serve | Command::Server(ServerCommand::CargoConfig(_)) | Command::Mirror(_) => {
            REASSURANCE
        }
    }
}

/// Does the work of a command beside its progress.
fn answer(
    work: impl Future<Output = Result<Answer>>,
    bars: Option<&MultiProgress>,
    progress: &Progress,
) -> Result<Option<Answer>, Failure> {
    let work = program::until_stopped(work);
    program::block_on(progress::beside(bars, progress, work)).map(Some)
}

/// Serves until a signal.
fn serve(flags: &Flags, environment: &Environment) -> Result<Option<Answer>, Failure> {
    let config = ServeConfig::load(flags, environment).map_err(Failure::Error)?;
    program::block_on_all_cores(async {
        let stop = program::stop_signal().map_err(Failure::Error)?;
        let end = serve::run(config, stop).await;
        end.map(|()| None).map_err(Failure::Error)
    })
}

/// Runs a command on a mirror.
async fn run(command: MirrorCommand, config: Config, progress: Arc<Progress>) -> Result<Answer> {
    let around = Surroundings {
        clock: SystemTime::now,
        progress: &progress,
    };
    match command {
        MirrorCommand::Init(_) => Answer::new(&init::run(&config, around).await?, 0),
        MirrorCommand::Sync(asked) => {
            let options = sync::Options {
                dry_run: asked.dry_run,
                ours: asked.ours,
                allow_loss: asked.allow_loss,
            };
            let end = sync::run(&config, &options, around).await;
            if !options.dry_run {
                notify::after_sync(&config, &end, around).await;
            }
            Answer::new(&end?, 0)
        }
        MirrorCommand::Check(asked) => {
            let options = check::Options { mail: asked.mail };
            let findings = check::run(&config, &options, around).await;
            Answer::new(&findings, u8::from(!findings.ok))
        }
    }
}
