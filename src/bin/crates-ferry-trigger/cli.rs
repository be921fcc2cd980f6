//! The command line.

use clap::{Args, Parser, Subcommand};
use crates_ferry::config::{Flags, flag_help, flag_long_help, keys_as_help};
use crates_ferry::program::{self, CommonArgs, CommonCommand};

const EXAMPLES: &str = "\
Examples:
  crates-ferry-trigger fire
  crates-ferry-trigger fire --if-behind --wait
  crates-ferry-trigger run
  crates-ferry-trigger config
  curl -X POST -H \"Authorization: Bearer $FERRY_TRIGGER_TOKEN\" http://127.0.0.1:8095/trigger";

const KEYS: &str = "\
Configuration:
  The keys under `trigger:` of ferry.yml. Each is also a variable: trigger.project is
  FERRY_TRIGGER_PROJECT, trigger.min_interval is FERRY_TRIGGER_MIN_INTERVAL.
";

const EXPLANATIONS: &str = "\
Secrets, from the environment only:
  GITLAB_TRIGGER_TOKEN  the project's pipeline trigger token (glptt-…); needed
  GITLAB_READ_TOKEN     a token with read_api: reads how pipelines end
  FERRY_TRIGGER_TOKEN   the token that POST /trigger demands; needed unless on loopback
  FERRY_HOOK_TOKEN      the secret token of webhooks [FERRY_TRIGGER_TOKEN]
  and those of crates-ferry, to poll the mirror and to send mails

Exit codes:
  0    done, or nothing to do
  1    worth another try: network, server
  2    usage or configuration
  3    a person is needed: GitLab refuses, the pipeline failed …
  130  `fire` was interrupted (143: terminated, 129: hung up); `run` ends with 0";

/// Creates pipelines of the mirror's GitLab project when there is something to carry.
///
/// GitLab's own schedules are coarse, run whether or not upstream moved, and fail in silence. This helper asks GitLab for a
/// pipeline when upstream moved, on a clock, or when asked over HTTP, never for two at once, and mails a person when the
/// mirror stops moving.
#[derive(Debug, Parser)]
#[command(
    name = "crates-ferry-trigger",
    version = program::VERSION,
    styles = program::HELP_STYLES,
    after_long_help = format!("{EXAMPLES}\n\n{KEYS}{}\n\n{EXPLANATIONS}", keys_as_help("trigger")),
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Creates one pipeline, now, and prints its address.
    ///
    /// For cron, or to try the configuration. Retries after failures that may pass, within network.timeout.
    Fire(Fire),
    /// Runs the helper: clock, watch, endpoint and watchdog, until a signal stops it.
    Run(Run),
    /// Prints every key of the configuration, its value, and where the value comes from.
    ///
    /// Checks all values. Of a secret it prints only whether it is set.
    Config(Run),
    #[command(flatten)]
    Common(CommonCommand),
}

/// The flags of `fire`.
#[derive(Debug, Args)]
pub(crate) struct Fire {
    /// Creates one only if the mirror is behind upstream (needs mirror.url).
    #[arg(long)]
    pub(crate) if_behind: bool,

    /// Waits until the pipeline ends (needs GITLAB_READ_TOKEN).
    #[arg(long)]
    pub(crate) wait: bool,
}

/// The flags of `run`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Run {
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        help = flag_help("trigger.listen"),
        long_help = flag_long_help("trigger.listen")
    )]
    listen: Option<String>,
}

impl Cli {
    /// Returns the values of keys that the command line gives.
    pub(crate) fn flags(&self) -> Flags {
        let flags = Flags::new(self.common.config.clone());
        match &self.command {
            Command::Run(run) | Command::Config(run) => {
                flags.with("trigger.listen", run.listen.clone())
            }
            Command::Fire(_) | Command::Common(_) => flags,
        }
    }
}
