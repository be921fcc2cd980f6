//! The program `crates-ferry-trigger`: reads the command line, runs the command, prints its report, sets the exit code.

mod cli;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{CommandFactory as _, Parser as _};
use crates_ferry::config::{EffectiveConfig, Environment, Mask, TriggerConfig};
use crates_ferry::error::Result;
use crates_ferry::mirror::Context;
use crates_ferry::program::{self, Destinations, Failure, InterruptNote, LogFormat, Output};
use crates_ferry::progress::Progress;
use crates_ferry::trigger::{fire, run};

use cli::{Cli, Command};

const INTERRUPT_NOTE: InterruptNote = InterruptNote {
    message: "a pipeline that GitLab was asked for goes on by itself",
    advice: "Run the command again: one more pipeline does no harm.",
};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut destinations = Destinations {
        // This program has no `--report`: what was found by hand is the value of another flag, or a mistake.
        report: None,
        ..program::destinations_in(&arguments, INTERRUPT_NOTE)
    };
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return program::finish_parsing(&error, &destinations),
    };
    destinations.format = cli.common.format;
    let environment = Environment::of_process();
    destinations.mask = Mask::of_process(&cli.flags(), &environment);
    let log_format = match cli.command {
        Command::Run(_) => LogFormat::of_a_server(cli.common.format),
        _ => LogFormat::Plain,
    };
    let mask = destinations.mask.clone();
    program::start_log(cli.common.verbosity(), log_format, None, mask);
    let end = program::caught(|| dispatch(cli, &environment));
    program::finish(&destinations, end)
}

/// Loads the configuration if the command needs it, and runs the command.
fn dispatch(cli: Cli, environment: &Environment) -> Result<Option<Output>, Failure> {
    let flags = cli.flags();
    let config = || TriggerConfig::load(&flags, environment).map_err(Failure::Error);
    match cli.command {
        Command::Common(asked) => {
            let output = program::manual::run(&asked, Cli::command());
            output.map(Some).map_err(Failure::Error)
        }
        Command::Config(_) => {
            let config = EffectiveConfig::load(&flags, environment);
            let output = config.and_then(|config| Output::new(&config, 0));
            output.map(Some).map_err(Failure::Error)
        }
        Command::Fire(asked) => {
            let options = fire::Options {
                if_behind: asked.if_behind,
                wait: asked.wait,
            };
            let config = config()?;
            program::block_on(program::until_stopped(fired(&config, options))).map(Some)
        }
        Command::Run(_) => program::block_on(running(&config()?)),
    }
}

async fn running(config: &TriggerConfig) -> Result<Option<Output>, Failure> {
    let stop = program::graceful_stop().map_err(Failure::Error)?;
    let end = run::run(config, stop).await;
    end.map(|()| None)
        .map_err(|error| Failure::Error(config.origins.locate(error)))
}

async fn fired(config: &TriggerConfig, options: fire::Options) -> Result<Output> {
    let around = Context {
        clock: SystemTime::now,
        progress: &Progress::default(),
    };
    Output::new(&fire::run(config, options, around).await?, 0)
}
