//! The program `crates-ferry`: reads the command line, runs the command, prints its report, sets the exit code.

mod cli;
mod progress;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod up;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

#[cfg(feature = "server")]
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use crates_ferry::check::{self, Findings};
use crates_ferry::config::{Config, EffectiveConfig, Environment, Mask};
use crates_ferry::error::Result;
use crates_ferry::mirror::{Context, init, plain, sync};
use crates_ferry::notify;
use crates_ferry::program::{self, Failure, InterruptNote, LogFormat, Output};
use crates_ferry::progress::Progress;

use futures_util::future::BoxFuture;
use indicatif::MultiProgress;

#[cfg(feature = "server")]
use cli::server::ServerCommand;
use cli::{Cli, Command, MirrorCommand};

/// Git hosts apply a push whole or not at all, so there is nothing to clean up.
const AFTER_A_PUSH: InterruptNote = InterruptNote {
    message: "nothing is half done: a push is applied whole or not at all",
    advice: "Run the command again: it starts from what the mirror holds.",
};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Read by hand first: the error of a command line that clap refuses goes where `--format` and `--report` say, too.
    let mut destinations = program::destinations_in(&arguments, AFTER_A_PUSH);
    let cli = match Cli::try_parse_from(&arguments).and_then(with_a_report) {
        Ok(cli) => cli,
        Err(error) => return program::finish_parsing(&error, &destinations),
    };
    (destinations.format, destinations.report) = (cli.common.format, cli.report.clone());
    destinations.interrupt_note = interrupt_note(&cli.command);
    let bars = progress::bars(&cli);
    let environment = Environment::of_process();
    destinations.mask = Mask::of_process(&cli.flags(), &environment);
    let mask = destinations.mask.clone();
    let log_format = log_format(&cli);
    program::start_log(cli.common.verbosity(), log_format, bars.as_ref(), mask);
    let end = program::caught(|| dispatch(cli, &environment, bars.as_ref()));
    program::finish(&destinations, end)
}

/// Refuses `--report` for the commands that have no report, since they run until a signal.
fn with_a_report(cli: Cli) -> Result<Cli, clap::Error> {
    match cli.command {
        #[cfg(feature = "server")]
        Command::Serve(_) if cli.report.is_some() => Err(without_a_report("serve")),
        #[cfg(feature = "server")]
        Command::Up(_) if cli.report.is_some() => Err(without_a_report("up")),
        #[cfg(feature = "server")]
        Command::Server(ServerCommand::Token(ref asked))
            if cli.report.is_some() && asked.shows_a_token() =>
        {
            let text = "`token add` writes no report: leave out --report; the token is on stdout, and belongs into no file";
            Err(Cli::command().error(ErrorKind::ArgumentConflict, text))
        }
        _ => Ok(cli),
    }
}

#[cfg(feature = "server")]
fn without_a_report(command: &str) -> clap::Error {
    let text = format!(
        "`{command}` runs until a signal and writes no report: leave out --report; its log is on stderr"
    );
    Cli::command().error(ErrorKind::ArgumentConflict, text)
}

/// Loads the configuration that the command needs, and runs it.
fn dispatch(
    cli: Cli,
    environment: &Environment,
    bars: Option<&MultiProgress>,
) -> Result<Option<Output>, Failure> {
    let flags = cli.flags();
    let progress = Arc::new(Progress::default());
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
        #[cfg(feature = "server")]
        Command::Serve(_) => server::serve(&flags, environment),
        #[cfg(feature = "server")]
        Command::Up(asked) => up::run(&flags, environment, asked.open, cli.common.format, bars),
        #[cfg(feature = "server")]
        Command::Server(command) => {
            let config = server::config(&flags, environment)?;
            let work = server::run(command, config, environment, Arc::clone(&progress));
            run_to_its_end(work, bars, &progress)
        }
        Command::Mirror(command) => {
            #[cfg(not(feature = "server"))]
            let others = None;
            #[cfg(feature = "server")]
            let others = match &command {
                MirrorCommand::Check(asked) => {
                    let probes = server::probes(&flags, environment);
                    if probes.are_all && !asked.mail {
                        let work = check_without_mirror(probes.findings);
                        return run_to_its_end(work, bars, &progress);
                    }
                    Some(probes.findings)
                }
                _ => None,
            };
            let config = Config::load(&flags, environment).map_err(Failure::Error)?;
            let work = run(command, config, others, Arc::clone(&progress));
            run_to_its_end(work, bars, &progress)
        }
    }
}

/// Makes the probes of a server that has no mirror beside it.
#[cfg(feature = "server")]
async fn check_without_mirror(probes: BoxFuture<'static, Findings>) -> Result<Output> {
    let mut findings = Findings::default();
    findings.skip("mirror", "mirror.url is not set");
    findings.join(probes.await);
    Output::new(&findings, u8::from(!findings.ok))
}

fn log_format(cli: &Cli) -> LogFormat {
    match &cli.command {
        #[cfg(feature = "server")]
        Command::Serve(_) | Command::Up(_) => LogFormat::of_a_server(cli.common.format),
        _ => LogFormat::Plain,
    }
}

/// Returns what is true of a command that a signal stopped.
fn interrupt_note(command: &Command) -> InterruptNote {
    match command {
        #[cfg(feature = "server")]
        Command::Server(ServerCommand::Prefetch(_)) => server::AFTER_A_PREFETCH,
        #[cfg(feature = "server")]
        Command::Server(ServerCommand::Cache(_)) => server::AFTER_A_CACHE_COMMAND,
        #[cfg(feature = "server")]
        Command::Server(ServerCommand::CargoConfig(_) | ServerCommand::Probe(_)) => {
            server::AFTER_A_CONFIGURATION
        }
        #[cfg(feature = "server")]
        Command::Server(ServerCommand::Catalog(_)) => server::AFTER_A_CATALOG_COMMAND,
        #[cfg(feature = "server")]
        Command::Server(ServerCommand::Policy(_) | ServerCommand::Audit(_)) => {
            server::AFTER_A_QUESTION
        }
        #[cfg(feature = "server")]
        Command::Server(ServerCommand::Token(_)) => server::AFTER_A_TOKEN_COMMAND,
        // `serve` handles signals itself, and the others that push nothing end at once.
        _ => AFTER_A_PUSH,
    }
}

/// Runs a command beside its progress bar.
fn run_to_its_end(
    work: impl Future<Output = Result<Output>>,
    bars: Option<&MultiProgress>,
    progress: &Progress,
) -> Result<Option<Output>, Failure> {
    let work = program::until_stopped(work);
    program::block_on(progress::beside(bars, progress, work)).map(Some)
}

/// Runs a command on a mirror. `check` makes the probes of the server besides its own.
async fn run(
    command: MirrorCommand,
    config: Config,
    others: Option<BoxFuture<'static, Findings>>,
    progress: Arc<Progress>,
) -> Result<Output> {
    let around = Context {
        clock: SystemTime::now,
        progress: &progress,
    };
    match command {
        MirrorCommand::Init(command) => {
            let options = init::Options {
                adopt: command.adopt,
            };
            Output::new(&init::run(&config, &options, around).await?, 0)
        }
        MirrorCommand::Sync(asked) => {
            let options = sync::Options {
                dry_run: asked.dry_run,
                ours: asked.ours,
                allow_loss: asked.allow_loss,
            };
            let end = match asked.plain {
                true => plain::run(&config, &options, around).await,
                false => sync::run(&config, &options, around).await,
            };
            if !options.dry_run {
                // Also after a failure, and before its exit code: that is what the mail is for.
                notify::after_sync(&config, &end, around).await;
            }
            Output::new(&end?, 0)
        }
        MirrorCommand::Check(asked) => {
            let options = check::Options { mail: asked.mail };
            let mut findings = check::run(&config, &options, around).await;
            if let Some(others) = others {
                findings.join(others.await);
            }
            Output::new(&findings, u8::from(!findings.ok))
        }
    }
}
