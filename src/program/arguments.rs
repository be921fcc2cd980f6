//! The flags and commands that both programs have.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::log::Verbosity;
use super::output::Format;

/// The flags that both programs have.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct CommonArgs {
    /// Reads this configuration file.
    // rustdoc would take the brackets for links.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help = "Reads this configuration file [FERRY_CONFIG] [default: ferry.yml, if it exists]"
    )]
    pub config: Option<PathBuf>,

    /// How the report is written to stdout; `json` is exactly one object. A server has no report, but a log in that format.
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "text|json",
        hide_possible_values = true,
        global = true
    )]
    pub format: Format,

    /// Logs more: each request and poll, and the git conversation in outline; -vv logs everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    /// Logs errors only, and shows no progress.
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub quiet: bool,
}

impl CommonArgs {
    /// Returns how much is logged.
    pub fn verbosity(&self) -> Verbosity {
        Verbosity {
            verbose: self.verbose,
            quiet: self.quiet,
        }
    }
}

/// The commands that both programs have, which need no configuration.
#[derive(Debug, Subcommand)]
pub enum CommonCommand {
    /// Prints a script that completes commands and flags in a shell.
    ///
    /// For bash: `crates-ferry completions bash > ~/.local/share/bash-completion/completions/crates-ferry`.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Prints the manual page of the program, or of one of its commands.
    ///
    /// `crates-ferry man sync | man -l -` shows one; `--dir` writes the pages of all commands.
    Man {
        /// The command, such as `sync` or `cache evict`.
        #[arg(value_name = "COMMAND")]
        path: Vec<String>,

        /// Writes the pages of the program and of all its commands into this directory.
        #[arg(long, value_name = "DIRECTORY", conflicts_with = "path")]
        dir: Option<PathBuf>,
    },
}
