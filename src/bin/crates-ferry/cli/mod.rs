//! The command line.

#[cfg(feature = "server")]
pub(crate) mod cargo;
#[cfg(feature = "server")]
pub(crate) mod server;
#[cfg(feature = "server")]
pub(crate) mod up;

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use crates_ferry::config::{Flags, History, flag_help, flag_long_help};
use crates_ferry::program::{self, CommonArgs, CommonCommand};

#[cfg(feature = "server")]
use cargo::CratesIoArg;
#[cfg(feature = "server")]
use server::{Serve, ServerCommand};
#[cfg(feature = "server")]
use up::{InitArg, Up};

const EXAMPLES: &str = "\
Examples:
  crates-ferry init --mirror git@gitlab.example.com:rust/crates.io-index.git \\
      --dl https://crates.example.com/api/v1/crates --api https://crates.example.com
  crates-ferry sync --mirror git@gitlab.example.com:rust/crates.io-index.git --dry-run
  crates-ferry --format json sync
  crates-ferry sync --plain --upstream https://git.example.com/advisory-db \\
      --mirror git@gitlab.example.com:rust/advisory-db.git
  crates-ferry check
  crates-ferry config";

#[cfg(feature = "server")]
const SERVER_EXAMPLES: &str = "
  crates-ferry up
  crates-ferry serve --listen 0.0.0.0:8090 --data-dir /srv/crates
  crates-ferry cargo-config --write
  crates-ferry prefetch Cargo.lock --pin
  crates-ferry cache evict --max-size 50GiB --dry-run
  crates-ferry catalog import db-dump.tar.gz
  crates-ferry token add ci --scope read --scope 'publish:acme-*' --expires 90d";
#[cfg(not(feature = "server"))]
const SERVER_EXAMPLES: &str = "";

const EXPLANATIONS: &str = "\
Configuration:
  Flag over variable over file over default. --config names the file, else FERRY_CONFIG
  does, else it is ./ferry.yml if that exists. Each of its keys is also a variable:
  mirror.url is FERRY_MIRROR_URL, network.idle_timeout is FERRY_NETWORK_IDLE_TIMEOUT.
  Lists are written with commas, and an empty variable counts as unset.
  `crates-ferry config` prints every key, its value, and where the value comes from.

Secrets, from the environment only:
  SSH_PRIVATE_KEY      the key: its text, the path of a file, or base64
  SSH_KEY_PASSPHRASE   the key's passphrase
  SSH_KNOWN_HOSTS      host keys: lines or the path of a file; else ~/.ssh/known_hosts
  FERRY_MIRROR_TOKEN   the password for an https:// mirror
  FERRY_SMTP_PASSWORD  the password of the user in mail.smtp
  FERRY_HOOK_TOKEN     the secret token of push webhooks that the server receives
  AWS_ACCESS_KEY_ID …  access to a bucket, as AWS's own tools read it
  CI_JOB_TOKEN         GitLab's job token; sent only to the server of CI_SERVER_HOST

Other variables:
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY  the proxies, as in curl
  NO_COLOR, CLICOLOR_FORCE                      no colours, or colours without a terminal

Exit codes:
  0    done, or nothing to do
  1    worth another try: network, server, race (or a probe of `check` failed,
       a crate file of `prefetch` is missing, `cache verify` found damage)
  2    usage or configuration
  3    a person is needed: host key, access, conflict, guard, rewound upstream …
  130  interrupted (143: terminated, 129: hung up)";

/// Carries the crates.io index to a git host you own, without ever cloning it.
///
/// A mirror is upstream's tree with a few paths of its own. Each run learns a few hundred bytes, plans the mirror's new
/// commit, and streams upstream's pack into the mirror with that commit appended: no clone, no disk, no force push.
#[derive(Debug, Parser)]
#[command(
    name = "crates-ferry",
    version = program::VERSION,
    styles = program::HELP_STYLES,
    after_long_help = format!("{EXAMPLES}{SERVER_EXAMPLES}\n\n{EXPLANATIONS}"),
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,

    /// Also writes the report, or the error, to this file, as one JSON object.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help_heading = "Global options"
    )]
    pub(crate) report: Option<PathBuf>,

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
    /// Answers from a copy of the index that it keeps up to date (serve.index, by default the mirror), and from a store
    /// of crate files (serve.store), each of which it fetches once and verifies by the index's checksums. Runs until
    /// SIGINT or SIGTERM, then drains requests; SIGHUP reloads tokens, certificate and policy. All its keys are those of the
    /// section `serve`.
    #[cfg(feature = "server")]
    Serve(Serve),
    /// Runs the whole mirror in one process.
    ///
    /// Serves upstream's index and the crate files, as `serve` does, with nothing to configure. With a mirror (mirror.url)
    /// it also syncs that one, every up.every and when a webhook tells of a push to upstream (POST /hooks/push), and serves
    /// it. Prints its address and the lines for cargo.
    #[cfg(feature = "server")]
    Up(Up),
    #[cfg(feature = "server")]
    #[command(flatten)]
    Server(ServerCommand),
    /// Prints every key of the configuration, its value, and where the value comes from.
    ///
    /// Checks all values. Of a secret it prints only whether it is set. Takes the flags of the other commands that set
    /// a key, to show what they would set.
    Config(ConfigArgs),
    #[command(flatten)]
    Common(CommonCommand),
}

/// What is done to a mirror; reads the sections `upstream` and `mirror`.
#[derive(Debug, Subcommand)]
pub(crate) enum MirrorCommand {
    /// Makes the first commit of an empty mirror.
    ///
    /// Writes config.json with the given `dl` and `api` on top of upstream's tip and carries the whole history, or with
    /// `--history snapshot` one tree. Refuses a mirror that already has the branch, unless `--adopt` is given.
    Init(Init),
    /// Brings the mirror up to date.
    ///
    /// Carries upstream's new commits, also across a squash of its history; paths that are the mirror's own stay. Never
    /// forces a push, but for --plain --allow-loss: a cut at any moment leaves the mirror as it was. If mail.smtp,
    /// mail.from and mail.to are set, a failure is mailed (not in a dry run).
    Sync(Sync),
    /// Probes everything that a sync needs, and changes nothing.
    ///
    /// Probes the configuration, keys, both repositories and the mail server. Exits with 1 if a probe failed.
    Check(Check),
}

/// The two ends, for the commands that carry.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Remotes {
    #[arg(long, value_name = "URL", help = flag_help("upstream.url"), long_help = flag_long_help("upstream.url"))]
    upstream: Option<String>,

    #[arg(long, value_name = "URL", help = flag_help("mirror.url"), long_help = flag_long_help("mirror.url"))]
    mirror: Option<String>,
}

/// What cargo finds in the mirror's `config.json`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct ConfigJson {
    #[arg(long, value_name = "URL", help = flag_help("mirror.dl"), long_help = flag_long_help("mirror.dl"))]
    dl: Option<String>,

    #[arg(long, value_name = "URL", help = flag_help("mirror.api"), long_help = flag_long_help("mirror.api"))]
    api: Option<String>,
}

/// How much of upstream's history the mirror carries.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct HistoryArg {
    #[arg(
        long,
        value_name = "merge|snapshot",
        hide_possible_values = true,
        value_parser = history(),
        help = flag_help("mirror.history"),
        long_help = flag_long_help("mirror.history")
    )]
    history: Option<History>,
}

/// The flags of `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Starts on top of what the branch has already, such as a README, and keeps it.
    ///
    /// For a project that was not made empty. Its files stay in the mirror, beside upstream's; a path that upstream has,
    /// too, is refused by name, unless mirror.keep names it. A config.json of the mirror's own stays.
    #[arg(long)]
    pub(crate) adopt: bool,

    #[command(flatten)]
    remotes: Remotes,

    #[command(flatten)]
    config_json: ConfigJson,

    #[command(flatten)]
    history: HistoryArg,
}

/// The flags of `sync`.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// Prints the plan and stops.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Settles a conflict: keeps the mirror's side of this path (may be repeated).
    #[arg(long, value_name = "PATH")]
    pub(crate) ours: Vec<String>,

    /// Carries an upstream that lost more of its root than mirror.max_root_loss allows.
    ///
    /// With --plain: moves the branch also where the mirror has commits that upstream's history does not contain.
    #[arg(long)]
    pub(crate) allow_loss: bool,

    /// Carries any git repository as it is, commit by commit: no config.json, no paths of the mirror's own.
    ///
    /// For what people behind a firewall need beside the index, such as a database of advisories. The branch of an empty
    /// mirror is created. See docs/other-hosts.md.
    #[arg(long, conflicts_with_all = ["ours", "history"])]
    pub(crate) plain: bool,

    #[command(flatten)]
    remotes: Remotes,

    #[command(flatten)]
    history: HistoryArg,
}

/// The flags of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Sends a test mail to everyone in mail.to.
    #[arg(long)]
    pub(crate) mail: bool,

    #[command(flatten)]
    remotes: Remotes,
}

/// The flags of `config`: those of all commands that set a key.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    remotes: Remotes,

    #[command(flatten)]
    config_json: ConfigJson,

    #[command(flatten)]
    history: HistoryArg,

    #[cfg(feature = "server")]
    #[command(flatten)]
    serve: Serve,

    #[cfg(feature = "server")]
    #[command(flatten)]
    init: InitArg,

    #[cfg(feature = "server")]
    #[command(flatten)]
    crates_io: CratesIoArg,
}

fn history() -> impl TypedValueParser<Value = History> {
    // Not `ValueEnum`: the type is the configuration's, which does not know clap.
    PossibleValuesParser::new([History::Merge.name(), History::Snapshot.name()]).map(|name| {
        match name.as_str() {
            "snapshot" => History::Snapshot,
            _ => History::Merge,
        }
    })
}

impl Cli {
    /// Returns the values of keys that the command line gives.
    pub(crate) fn flags(&self) -> Flags {
        let flags = Flags::new(self.common.config.clone());
        match &self.command {
            Command::Mirror(MirrorCommand::Init(init)) => {
                let flags = init.config_json.add_to(init.remotes.add_to(flags));
                init.history.add_to(flags)
            }
            Command::Mirror(MirrorCommand::Sync(sync)) => {
                sync.history.add_to(sync.remotes.add_to(flags))
            }
            Command::Mirror(MirrorCommand::Check(check)) => check.remotes.add_to(flags),
            #[cfg(feature = "server")]
            Command::Serve(serve) => serve.add_to(flags),
            #[cfg(feature = "server")]
            Command::Up(up) => up.add_to(flags),
            #[cfg(feature = "server")]
            Command::Server(command) => command.add_to(flags),
            Command::Config(config) => {
                let flags = config.config_json.add_to(config.remotes.add_to(flags));
                let flags = config.history.add_to(flags);
                #[cfg(feature = "server")]
                let flags = config.init.add_to(config.serve.add_to(flags));
                #[cfg(feature = "server")]
                let flags = config.crates_io.add_to(flags);
                flags
            }
            Command::Common(_) => flags,
        }
    }
}

impl Remotes {
    pub(super) fn add_to(&self, flags: Flags) -> Flags {
        flags
            .with("upstream.url", self.upstream.clone())
            .with("mirror.url", self.mirror.clone())
    }
}

impl ConfigJson {
    fn add_to(&self, flags: Flags) -> Flags {
        flags
            .with("mirror.dl", self.dl.clone())
            .with("mirror.api", self.api.clone())
    }
}

impl HistoryArg {
    fn add_to(&self, flags: Flags) -> Flags {
        flags.with("mirror.history", self.history.map(History::name))
    }
}
