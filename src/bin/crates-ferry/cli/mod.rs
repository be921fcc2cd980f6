//! The command line.

mod server;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use crates_ferry::config::{Flags, History};
use crates_ferry::program::Format;

pub(crate) use server::{Cache, ServerCommand};

const EXAMPLES: &str = "\
Examples:
  crates-ferry init --mirror git@gitlab.example.com:rust/crates.io-index.git \\
      --dl https://crates.example.com/api/v1/crates --api https://crates.example.com
  crates-ferry sync --mirror git@gitlab.example.com:rust/crates.io-index.git --dry-run
  crates-ferry --format json sync
  crates-ferry --report report.json sync
  crates-ferry check
  crates-ferry serve
  crates-ferry cargo-config --write
  crates-ferry prefetch Cargo.lock --pin
  crates-ferry cache evict --max-size 50GiB --dry-run

Configuration:
  Flag over variable over file over default. The file is named by --config, else by
  FERRY_CONFIG, else it is ./ferry.yml if there. Each of its keys is also a variable:
  mirror.url is FERRY_MIRROR_URL, network.idle_timeout is FERRY_NETWORK_IDLE_TIMEOUT;
  lists are written with commas, and an empty variable counts as unset.

Secrets, from the environment only:
  SSH_PRIVATE_KEY      the key: its text, the path of a file, or base64
  SSH_KEY_PASSPHRASE   the key's passphrase
  SSH_KNOWN_HOSTS      host keys: lines or the path of a file; else ~/.ssh/known_hosts
  FERRY_MIRROR_TOKEN   the password for an https:// mirror
  FERRY_SMTP_PASSWORD  the password of the user that mail.smtp names
  FERRY_HOOK_TOKEN     the secret of webhooks that tell the server of pushes
  AWS_ACCESS_KEY_ID …  how a bucket is reached, as AWS's own tools read them
  CI_JOB_TOKEN         GitLab's; used only for the server of CI_SERVER_HOST

Exit codes:
  0    done, or nothing to do
  1    worth another try: network, server, race (or a probe of `check` failed,
       a crate file of `prefetch` is missing, `cache verify` found damage)
  2    usage or configuration
  3    a person is needed: host key, access, conflict, guard, rewound upstream …
  130  interrupted (143: terminated)";

/// Carries the crates.io index to a git host you own, without ever cloning it.
///
/// A mirror is upstream's tree with a few paths of its own. Each run learns a few hundred bytes, plans the mirror's new
/// commit, and streams upstream's pack into the mirror with that commit appended: no clone, no disk, no force push.
#[derive(Debug, Parser)]
#[command(name = "crates-ferry", version, after_long_help = EXAMPLES, subcommand_required = true)]
pub(crate) struct Cli {
    /// Reads this file instead of $FERRY_CONFIG or ./ferry.yml.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// How the report is written to stdout; `json` is exactly one object.
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "text|json",
        hide_possible_values = true,
        global = true
    )]
    pub(crate) format: Format,

    /// Also writes the report, or the error, to this file, as one JSON object.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) report: Option<PathBuf>,

    /// Logs the git conversation in outline; -vv logs everything.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    /// Logs errors only, and shows no progress.
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub(crate) quiet: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Mirror(MirrorCommand),
    /// Serves the index and the crate files to cargo.
    ///
    /// Answers from a copy of the index that it keeps fresh (serve.index, by default the mirror) and from crate files that
    /// it fetches once, verifies by the index's checksums, and keeps (serve.store). Runs until SIGINT or SIGTERM, then
    /// lets downloads finish; SIGHUP reads tokens and certificate anew. Its keys are those of the section `serve`.
    Serve,
    #[command(flatten)]
    Server(ServerCommand),
}

/// What is done to a mirror; reads the sections `upstream` and `mirror`.
#[derive(Debug, Subcommand)]
pub(crate) enum MirrorCommand {
    /// Makes the first commit of an empty mirror.
    ///
    /// Writes config.json with the given `dl` and `api` on top of upstream's tip and carries the whole history, or with
    /// `--history snapshot` one tree. Refuses a mirror that already has the branch.
    Init(Init),
    /// Brings the mirror up to date.
    ///
    /// Carries upstream's new commits, also across a squash of its history; paths that are the mirror's own stay. Never
    /// forces a push: a cut at any moment leaves the mirror as it was. Where mail.smtp, mail.from and mail.to are set, a
    /// failure is mailed (not in a dry run).
    Sync(Sync),
    /// Probes everything and changes nothing.
    ///
    /// Looks at the configuration, keys, both repositories and the mail server. Exits with 1 if a probe failed.
    Check(Check),
}

/// The two ends, for the commands that carry.
#[derive(Debug, Default, Args)]
pub(crate) struct Remotes {
    /// The repository that the index comes from [upstream.url; default: crates.io's].
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,

    /// The git repository to push to [mirror.url].
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

/// The flags of `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    remotes: Remotes,

    /// Where cargo downloads crate files: the `dl` of the mirror's config.json [mirror.dl].
    #[arg(long, value_name = "URL")]
    dl: Option<String>,

    /// Where cargo finds the web API: the `api` of the mirror's config.json [mirror.api].
    #[arg(long, value_name = "URL")]
    api: Option<String>,

    /// Carries all of upstream's history (`merge`, default) or none of it (`snapshot`) [mirror.history].
    #[arg(long, value_name = "merge|snapshot", hide_possible_values = true, value_parser = history())]
    history: Option<History>,
}

/// The flags of `sync`.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    #[command(flatten)]
    remotes: Remotes,

    /// Goes over from `merge` to `snapshot`; by default the mirror's own mode is kept [mirror.history].
    #[arg(long, value_name = "merge|snapshot", hide_possible_values = true, value_parser = history())]
    history: Option<History>,

    /// Shows the plan and stops.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Settles a conflict: keeps the mirror's side of this path (may be repeated).
    #[arg(long, value_name = "PATH")]
    pub(crate) ours: Vec<String>,

    /// Carries an upstream that lost more of its root than mirror.max_root_loss admits.
    #[arg(long)]
    pub(crate) allow_loss: bool,
}

/// The flags of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    remotes: Remotes,

    /// Sends a test mail to everyone in mail.to.
    #[arg(long)]
    pub(crate) mail: bool,
}

fn history() -> impl TypedValueParser<Value = History> {
    PossibleValuesParser::new([History::Merge.name(), History::Snapshot.name()]).map(|name| {
        match name.as_str() {
            "snapshot" => History::Snapshot,
            _ => History::Merge,
        }
    })
}

impl Cli {
    /// Returns what the command line says about the configuration.
    pub(crate) fn flags(&self) -> Flags {
        let flags = Flags::new(self.config.clone());
        match &self.command {
            Command::Mirror(MirrorCommand::Init(init)) => init
                .remotes
                .add_to(flags)
                .with("mirror.dl", init.dl.clone())
                .with("mirror.api", init.api.clone())
                .with("mirror.history", init.history.map(History::name)),
            Command::Mirror(MirrorCommand::Sync(sync)) => sync
                .remotes
                .add_to(flags)
                .with("mirror.history", sync.history.map(History::name)),
            Command::Mirror(MirrorCommand::Check(check)) => check.remotes.add_to(flags),
            Command::Serve | Command::Server(_) => flags,
        }
    }
}

impl Remotes {
    fn add_to(&self, flags: Flags) -> Flags {
        flags
            .with("upstream.url", self.upstream.clone())
            .with("mirror.url", self.mirror.clone())
    }
}
