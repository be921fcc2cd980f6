//! The program `crates-ferry-trigger`: reads the command line, runs the command, prints its report, sets the exit code.

mod cli;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser as _;
use crates_ferry::config::{Environment, TriggerConfig};
use crates_ferry::error::Result;
use crates_ferry::mirror::relay::Surroundings;
use crates_ferry::program::{self, Answer, Failure, Reassurance, Verbosity};
use crates_ferry::progress::Progress;
use crates_ferry::trigger::{fire, run};

use cli::{Cli, Command};

const REASSURANCE: Reassurance = Reassurance {
    message: "a pipeline that GitLab was asked for goes on by itself",
    advice: "Run the command again: a pipeline more does no harm.",
};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut places = program::places_in(&arguments, REASSURANCE);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return program::finish_parsing(&error, &places),
    };
    (places.format, places.report) = (cli.format, None);
    let environment = Environment::of_process();
    let verbosity = Verbosity {
        verbose: cli.verbose,
        quiet: cli.quiet,
    };
    program::start_log(verbosity, &environment, None);
    let config = TriggerConfig::load(&cli.flags(), &environment).map_err(Failure::Error);
    let end = config.and_then(|config| match cli.command {
        Command::Fire(asked) => {
            let options = fire::Options {
                if_behind: asked.if_behind,
                wait: asked.wait,
            };
            program::block_on(program::until_stopped(fired(&config, options))).map(Some)
        }
        Command::Run => program::block_on(running(&config)),
    });
    match end {
        // Nobody waits for a report of what ran until it was told to stop.
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(answer)) => program::finish(&places, Ok(answer)),
        Err(failure) => program::finish(&places, Err(failure)),
    }
}

async fn running(config: &TriggerConfig) -> Result<Option<Answer>, Failure> {
    let stop = program::stop_signal().map_err(Failure::Error)?;
    let end = run::run(config, stop).await;
    end.map(|()| None).map_err(Failure::Error)
}

async fn fired(config: &TriggerConfig, options: fire::Options) -> Result<Answer> {
    let around = Surroundings {
        clock: SystemTime::now,
        progress: &Progress::default(),
    };
    Answer::new(&fire::run(config, options, around).await?, 0)
}
