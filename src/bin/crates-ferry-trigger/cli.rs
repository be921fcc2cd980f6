//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use crates_ferry::config::Flags;
use crates_ferry::program::Format;

const EXAMPLES: &str = "\
Examples:
  crates-ferry-trigger fire
  crates-ferry-trigger fire --if-behind --wait
  crates-ferry-trigger run
  curl -X POST -H \"Authorization: Bearer $FERRY_TRIGGER_TOKEN\" http://127.0.0.1:8095/trigger

Configuration:
  The keys under `trigger:` of ferry.yml, each also a variable: trigger.project is
  FERRY_TRIGGER_PROJECT, trigger.min_interval is FERRY_TRIGGER_MIN_INTERVAL.
    gitlab          the server [https://gitlab.com]
    project         the project whose pipeline is fired: path or number; needed
    ref             its branch or tag [main]
    variables       CI/CD variables of the pipeline; inputs: its inputs
    every           the clock: 10m, or a cron expression read in time_zone [UTC]
    jitter          the clock fires late by up to this [30s]
    poll            the watch: looks so often whether upstream moved, for example 60s
    min_interval    the least time between two pipelines [60s]
    assume_running  how long one counts as under way if nothing is heard [5m]
    alarm_after     how long the mirror may be behind before a mail [1h]
    listen          the endpoint [127.0.0.1:8095]; TLS is left to a proxy
    query_token     takes ?token= too [false]
    rate_limit      requests to fire that are answered a minute [6000]

Secrets, from the environment only:
  GITLAB_TRIGGER_TOKEN  the project's pipeline trigger token (glptt-...); needed
  GITLAB_READ_TOKEN     a token with read_api: knows how pipelines end
  FERRY_TRIGGER_TOKEN   whoever sends it may fire; needed unless on loopback
  FERRY_HOOK_TOKEN      the secret of webhooks [FERRY_TRIGGER_TOKEN]
  and those of crates-ferry, for looking at the mirror and for mails

Exit codes:
  0    done, or nothing to do
  1    worth another try: network, server
  2    usage or configuration
  3    a person is needed: GitLab refuses, the pipeline failed ...
  130  `fire` was interrupted (143: terminated); `run` ends with 0";

/// Fires the mirror's GitLab pipeline when there is something to carry.
///
/// GitLab's own schedules are coarse, fire whether or not upstream moved, and fail in silence. This helper asks GitLab for a
/// pipeline when upstream moved, on a clock, or when asked over HTTP, never two at once, and mails a person when the mirror
/// stops moving.
#[derive(Debug, Parser)]
#[command(name = "crates-ferry-trigger", version, after_long_help = EXAMPLES, subcommand_required = true)]
pub(crate) struct Cli {
    /// Reads this file instead of $FERRY_CONFIG or ./ferry.yml.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// How `fire` reports on stdout; `json` is exactly one object.
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "text|json",
        hide_possible_values = true,
        global = true
    )]
    pub(crate) format: Format,

    /// Logs each request and look; -vv logs everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    /// Logs errors only.
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fires one pipeline, now, and prints its address.
    ///
    /// For cron, or for trying the configuration. Asks again after failures that pass, within network.timeout.
    Fire(Fire),
    /// Runs the helper: clock, watch, endpoint and watchdog, until a signal ends it.
    Run,
}

/// The flags of `fire`.
#[derive(Debug, Args)]
pub(crate) struct Fire {
    /// Fires only if the mirror lacks what upstream has (needs mirror.url).
    #[arg(long)]
    pub(crate) if_behind: bool,

    /// Follows the pipeline to its end (needs GITLAB_READ_TOKEN).
    #[arg(long)]
    pub(crate) wait: bool,
}

impl Cli {
    /// Returns what the command line says about the configuration.
    pub(crate) fn flags(&self) -> Flags {
        Flags::new(self.config.clone())
    }
}
