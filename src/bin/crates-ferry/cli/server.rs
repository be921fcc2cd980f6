//! The commands around the API server.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use crates_ferry::config::{
    DumpSource, Flags, dump_source, duration_or_zero, flag_help, flag_long_help, moment, reason,
    size,
};
use crates_ferry::http::scopes::Scope;
use crates_ferry::index::{CratePattern, CrateSpec};
use crates_ferry::server::tokens::Expiry;
use jiff::Timestamp;

use super::cargo::{CargoConfig, Probe};

/// The commands around the API server; they read the section `serve`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Prints the lines that make cargo use this server, or writes them where cargo reads them.
    ///
    /// The lines replace crates.io by the server's sparse index, or by the git repository of the index. Lockfiles stay
    /// as they are. The address is serve.public_url, else serve.listen, else that of the server that last used serve.data_dir.
    CargoConfig(CargoConfig),
    /// Switches cargo to the mirror while crates.io is down, and back; for a timer, or a CI job's before_script.
    ///
    /// Looks at crates.io as cargo would: its index, and a small crate file. After probe.failures failures in a row it makes the
    /// file that `cargo-config --fallback` included, and after probe.successes successes removes it. Never switches to
    /// what does not answer itself. Says in one line what it did; exits with 0, also where there was nothing to do, with
    /// 1 if neither crates.io nor the mirror can be used, and with 2 if the configuration is to be mended first.
    Probe(Probe),
    /// Fills the store with crate files.
    ///
    /// Fetches what is not stored yet, verified by the index's checksums: what lockfiles name, some crates, or the
    /// whole index. Evicts nothing itself. May be stopped and run again, also beside a running server. Exits with 1 if
    /// something is missing at the end.
    Prefetch(Prefetch),
    /// Lists, adds up, evicts, pins and verifies stored crate files.
    Cache(CacheArgs),
    /// Fills, rebuilds and adds up the catalog of the index's crates.
    Catalog(CatalogArgs),
    /// Verifies the private crates, and takes in those of another registry.
    Private(PrivateArgs),
    /// Says what the policy holds and denies, and why, tests lockfiles against it, and makes rules while servers run.
    Policy(Box<PolicyArgs>),
    /// Says who fetched a crate file: which token, or which address, on which day.
    ///
    /// Reads what the server of serve.data_dir recorded, in the days of serve.audit.
    Audit(AuditArgs),
    /// Adds, lists and revokes tokens, which say who may do what.
    ///
    /// They are in the file of serve.auth, as hashes. Where that is not set, they are in the file `tokens` in serve.data_dir, and
    /// guard only what is private and what changes anything. A running server counts each change at once.
    Token(TokenArgs),
}

/// The flags of `serve`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Serve {
    #[arg(long, value_name = "ADDRESS:PORT", help = flag_help("serve.listen"), long_help = flag_long_help("serve.listen"))]
    listen: Option<String>,

    #[arg(long, value_name = "URL", help = flag_help("serve.public_url"), long_help = flag_long_help("serve.public_url"))]
    public_url: Option<String>,

    /// Serves the crate files that are stored, and fetches no others [serve.downloads: offline, FERRY_SERVE_DOWNLOADS].
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    index: IndexArg,

    #[command(flatten)]
    store: StoreArgs,
}

/// The index repository that is served.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct IndexArg {
    // Global, as the flags of the store are.
    #[arg(long, value_name = "URL", global = true, help = flag_help("serve.index"), long_help = flag_long_help("serve.index"))]
    index: Option<String>,
}

/// Where the server stores what it fetches.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    data_dir: DataDirArg,

    // Global, so that `cache ls --store …` is understood as `cache --store … ls` is.
    #[arg(
        long,
        value_name = "DIRECTORY|s3://…",
        global = true,
        help = flag_help("serve.store"),
        long_help = flag_long_help("serve.store")
    )]
    store: Option<String>,
}

/// The directory of everything that the server stores.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct DataDirArg {
    // Global, as that of the store is.
    #[arg(
        long,
        value_name = "DIRECTORY",
        global = true,
        help = flag_help("serve.data_dir"),
        long_help = flag_long_help("serve.data_dir")
    )]
    data_dir: Option<String>,
}

/// The flags of `prefetch`.
#[derive(Debug, Args)]
pub(crate) struct Prefetch {
    /// Lockfiles: fetches every crate that they take from crates.io.
    #[arg(value_name = "Cargo.lock")]
    pub(crate) lockfiles: Vec<PathBuf>,

    /// A crate, or one version of it (may be repeated): `serde` is its latest version, `serde@1.0.0` that one.
    #[arg(long = "crate", value_name = "NAME[@VERSION]")]
    pub(crate) crates: Vec<CrateSpec>,

    /// Pins the files: they are never evicted.
    #[arg(long)]
    pub(crate) pin: bool,

    /// Reads every file that is stored already, and fetches those that are damaged.
    #[arg(long)]
    pub(crate) verify: bool,

    /// All versions: of the crates that are named, else of the whole index.
    #[arg(long)]
    pub(crate) all: bool,

    /// The latest version: of the crates that are named, else of every crate.
    #[arg(long, conflicts_with = "all")]
    pub(crate) latest: bool,

    #[command(flatten)]
    index: IndexArg,

    #[command(flatten)]
    store: StoreArgs,
}

/// The flags of `cache`, and its commands.
#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    #[command(flatten)]
    store: StoreArgs,

    #[command(subcommand)]
    pub(crate) command: Cache,
}

/// What to do with the stored crate files.
#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Lists the stored crate files: size, last use, crate and version.
    Ls {
        /// Only these crates or versions.
        #[arg(value_name = "NAME[@VERSION]")]
        crates: Vec<CrateSpec>,
    },
    /// Prints the totals of the stored crate files.
    Stat,
    /// Evicts the least recently used crate files, or those that are named.
    ///
    /// Files that are pinned or being read stay. Without names the limits decide. Exits with 1 if a file cannot be
    /// removed.
    Evict {
        /// Evict these crates or versions, whatever the limits are.
        #[arg(value_name = "NAME[@VERSION]")]
        crates: Vec<CrateSpec>,

        /// Evict until at most SIZE remains, such as 50GiB [serve.max_size, FERRY_SERVE_MAX_SIZE].
        #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "crates")]
        max_size: Option<u64>,

        /// Evict what was not used for this long, such as 90d [serve.max_idle, FERRY_SERVE_MAX_IDLE].
        #[arg(long, value_name = "DURATION", value_parser = duration_or_zero, conflicts_with = "crates")]
        max_idle: Option<Duration>,

        /// Prints what would be evicted and stops.
        #[arg(long)]
        dry_run: bool,
    },
    /// Protects crate files from eviction; a pin outlives its file.
    Pin {
        /// Which crates or versions.
        #[arg(value_name = "NAME[@VERSION]", required = true)]
        crates: Vec<CrateSpec>,

        /// Removes the pins.
        #[arg(long)]
        remove: bool,

        /// Prints what would change and stops.
        #[arg(long)]
        dry_run: bool,
    },
    /// Reads every stored crate file and removes those that are damaged.
    ///
    /// The server verifies each file that it reads anyway. Exits with 1 if one was damaged, or cannot be read.
    Verify {
        /// Removes nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// The flags of `catalog`, and its commands.
#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    #[command(flatten)]
    index: IndexArg,

    #[command(flatten)]
    data_dir: DataDirArg,

    #[command(subcommand)]
    pub(crate) command: Catalog,
}

/// What to do with the catalog.
#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    /// Imports crates.io's database dump: descriptions, downloads and owners of crates.
    ///
    /// Reads the dump as it comes, and changes the catalog in one transaction: a dump that is damaged changes nothing. Works
    /// beside a running server, which shows within seconds what was imported. A server that has catalog.import imports by itself.
    Import {
        /// The dump, db-dump.tar.gz: a file or an address [catalog.import, FERRY_CATALOG_IMPORT].
        #[arg(value_name = "FILE|URL", value_parser = dump_source)]
        dump: Option<DumpSource>,

        /// Reads the dump, prints what would be imported, and stops.
        #[arg(long)]
        dry_run: bool,
    },
    /// Makes the catalog again from the index.
    ///
    /// Fetches the index, and replaces the catalog when the new one is complete. What was imported is imported again, if
    /// catalog.import is set. Refused while a server uses the directory.
    Rebuild {
        /// Prints what would be made and stops; the index is not fetched.
        #[arg(long)]
        dry_run: bool,
    },
    /// Prints what the catalog holds.
    Stat,
}

/// The flags of `private`, and its commands.
#[derive(Debug, Args)]
pub(crate) struct PrivateArgs {
    #[command(flatten)]
    store: StoreArgs,

    #[command(subcommand)]
    pub(crate) command: Private,
}

/// What to do with the private crates. Both commands work beside running servers.
#[derive(Debug, Subcommand)]
pub(crate) enum Private {
    /// Fetches the private index and reads the file of every version.
    ///
    /// Lists versions whose file is missing or damaged, and files that no line of the index names. Changes nothing. Exits with 1 if a
    /// file is missing or damaged.
    Verify,
    /// Takes the crate files of a folder into the private registry, as those of another one.
    ///
    /// Files are named NAME-VERSION.crate, at any depth. Where the folder has an index, too, dates and yanks come from there; else the
    /// date is that of the file. What is there already stays, so that it may be run again. Exits with 1 if a file was not taken.
    Import {
        /// The folder.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,

        /// Who owns the crates that are new here (may be repeated): the name of a token, or group:NAME.
        #[arg(long = "owner", value_name = "NAME")]
        owners: Vec<String>,

        /// Prints what would be taken and stops.
        #[arg(long)]
        dry_run: bool,
    },
}

/// The flags of `policy`, and its commands.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    index: IndexArg,

    #[command(flatten)]
    store: StoreArgs,

    #[command(subcommand)]
    pub(crate) command: Policy,
}

/// What to say of the policy, and rules to make. What is said of versions is so by the index, which is fetched, or by the copy of a
/// server that runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Says what is decided on a crate's versions, or on one: what, why, until when, and by which key.
    ///
    /// Exits with 1 if the index does not list it.
    Explain {
        /// The crate, or one version of it.
        #[arg(value_name = "NAME[@VERSION]")]
        spec: CrateSpec,
    },
    /// Lists all versions that are on hold or denied, and the rules that were made by command.
    List,
    /// Lets versions pass, at once, in all servers of the store.
    ///
    /// Is kept in the store, with who, when and why. A rule of the configuration wins over it. One version that upstream took back
    /// is released by the SHA-256 that it had: the same version with another one stays refused.
    Allow(RuleArgs),
    /// Refuses versions, at once, in all servers of the store.
    ///
    /// Is kept in the store, with who, when and why. A rule of the configuration wins over it.
    Deny(RuleArgs),
    /// Removes what `allow` or `deny` said of exactly these versions.
    Reset {
        /// The rule, as `allow` or `deny` was given it.
        #[arg(value_name = "NAME[@VERSION|@REQUIREMENT]")]
        rule: CratePattern,

        /// Prints what would be removed, and stops.
        #[arg(long)]
        dry_run: bool,
    },
    /// Tests lockfiles, for the pipeline of a merge request.
    ///
    /// Exits with 1 if a package is on hold or denied, and lists those, or if nothing of a lockfile was tested.
    Test {
        /// The lockfiles; of their packages those that they take from crates.io, or from this mirror, are tested.
        #[arg(value_name = "Cargo.lock", required = true)]
        lockfiles: Vec<PathBuf>,

        /// Writes what was found to this file besides, as GitLab's code quality report.
        #[arg(long, value_name = "FILE")]
        code_quality: Option<PathBuf>,

        /// Writes the same as SARIF 2.1.0, which other forges and editors show.
        #[arg(long, value_name = "FILE")]
        sarif: Option<PathBuf>,
    },
}

/// The flags of `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The crate, or one version of it.
    #[arg(value_name = "CRATE[@VERSION]")]
    pub(crate) spec: CrateSpec,

    #[command(flatten)]
    data_dir: DataDirArg,
}

/// The flags of `token`, and its commands.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    data_dir: DataDirArg,

    #[command(subcommand)]
    pub(crate) command: Token,
}

impl TokenArgs {
    /// Says whether what the command prints is a secret.
    pub(crate) fn shows_a_token(&self) -> bool {
        matches!(self.command, Token::Add { .. })
    }
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Makes a token, and prints it: the last word on stdout, and nowhere else.
    Add {
        /// Its name, which the access log has, and the commits of what it publishes.
        #[arg(value_name = "NAME")]
        name: String,

        /// What it allows (may be repeated): `read`, `publish:GLOB`, `yank:GLOB` for crates such as `acme-*`, or `admin`.
        #[arg(long = "scope", value_name = "SCOPE", default_value = "read")]
        scopes: Vec<Scope>,

        /// When it ends to be valid: a duration such as 90d, or a date. By default never.
        #[arg(long, value_name = "DURATION|DATE", value_parser = Expiry::read)]
        expires: Option<Expiry>,

        /// Prints what would be added and stops.
        #[arg(long)]
        dry_run: bool,
    },
    /// Lists the tokens: name, scopes, and how long each is valid.
    Ls,
    /// Takes a token out of the file.
    Revoke {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,

        /// Prints what would be revoked and stops.
        #[arg(long)]
        dry_run: bool,
    },
}

/// A rule about some crates, or some of their versions.
#[derive(Debug, Args)]
pub(crate) struct RuleArgs {
    /// Which: serde, acme-*, serde@1.0.219 or 'time@<0.2.23'.
    #[arg(value_name = "NAME[@VERSION|@REQUIREMENT]")]
    pub(crate) rule: CratePattern,

    /// Why: whoever meets the rule is told.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) why: Option<String>,

    /// When it ends: a date, as 2027-01-31, whose beginning in UTC is meant, or a time.
    #[arg(long, value_name = "DATE|TIME", value_parser = moment)]
    pub(crate) until: Option<Timestamp>,

    /// Prints what would be made, and stops.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl ServerCommand {
    /// Adds the values of the command's flags.
    pub(crate) fn add_to(&self, flags: Flags) -> Flags {
        match self {
            Self::CargoConfig(asked) => asked.add_to(flags),
            Self::Probe(asked) => asked.add_to(flags),
            Self::Prefetch(prefetch) => prefetch.store.add_to(prefetch.index.add_to(flags)),
            Self::Cache(cache) => cache.store.add_to(flags),
            Self::Private(private) => private.store.add_to(flags),
            Self::Catalog(catalog) => catalog.data_dir.add_to(catalog.index.add_to(flags)),
            Self::Audit(audit) => audit.data_dir.add_to(flags),
            Self::Token(token) => token.data_dir.add_to(flags),
            Self::Policy(policy) => policy.store.add_to(policy.index.add_to(flags)),
        }
    }
}

impl Serve {
    /// Adds the values of these flags.
    pub(crate) fn add_to(&self, flags: Flags) -> Flags {
        let flags = self.store.add_to(self.index.add_to(flags));
        flags
            .with("serve.listen", self.listen.clone())
            .with("serve.public_url", self.public_url.clone())
            .with("serve.downloads", self.offline.then_some("offline"))
    }
}

impl IndexArg {
    fn add_to(&self, flags: Flags) -> Flags {
        flags.with("serve.index", self.index.clone())
    }
}

impl StoreArgs {
    fn add_to(&self, flags: Flags) -> Flags {
        let flags = self.data_dir.add_to(flags);
        flags.with("serve.store", self.store.clone())
    }
}

impl DataDirArg {
    fn add_to(&self, flags: Flags) -> Flags {
        flags.with("serve.data_dir", self.data_dir.clone())
    }
}
