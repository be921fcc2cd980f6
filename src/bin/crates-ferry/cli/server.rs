//! The commands around the API server.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use crates_ferry::config::{Environment, Flags, duration_or_zero, flag_help, flag_long_help, size};
use crates_ferry::error::Result;
use crates_ferry::index::CrateSpec;
use crates_ferry::server::cargo_config::{Fallback, Index, Place};

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
    /// what does not answer itself. Says in one line what it did; exits with 0, also where there was nothing to do, and with
    /// 1 if neither crates.io nor the mirror can be used.
    Probe(Probe),
    /// Fills the store with crate files.
    ///
    /// Fetches what is not stored yet, verified by the index's checksums: what lockfiles name, some crates, or the
    /// whole index. Evicts nothing itself. May be stopped and run again, also beside a running server. Exits with 1 if
    /// something is missing at the end.
    Prefetch(Prefetch),
    /// Lists, adds up, evicts, pins and verifies stored crate files.
    Cache(CacheArgs),
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
    #[arg(long, value_name = "URL", help = flag_help("serve.index"), long_help = flag_long_help("serve.index"))]
    index: Option<String>,
}

/// Where the server stores what it fetches.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct StoreArgs {
    // Global, so that `cache ls --store …` is understood as `cache --store … ls` is.
    #[arg(
        long,
        value_name = "DIRECTORY",
        global = true,
        help = flag_help("serve.data_dir"),
        long_help = flag_long_help("serve.data_dir")
    )]
    data_dir: Option<String>,

    #[arg(
        long,
        value_name = "DIRECTORY|s3://…",
        global = true,
        help = flag_help("serve.store"),
        long_help = flag_long_help("serve.store")
    )]
    store: Option<String>,
}

/// The flags of `cargo-config`.
#[derive(Debug, Args)]
pub(crate) struct CargoConfig {
    /// Which index cargo reads: the server's (`sparse`), or the git repository of the index (`git`).
    #[arg(long, value_name = "sparse|git", default_value = "sparse", hide_possible_values = true, value_parser = index())]
    pub(crate) index: Index,

    /// The registry's name in cargo's configuration (`--registry mirror`).
    #[arg(long, value_name = "NAME", default_value = "mirror")]
    pub(crate) name: String,

    /// Writes the lines into .cargo/config.toml of this project, by default of the current directory.
    #[arg(long, value_name = "DIRECTORY", num_args = 0..=1, default_missing_value = ".")]
    pub(crate) write: Option<PathBuf>,

    /// Writes the lines into config.toml of cargo's own directory, $CARGO_HOME: all projects and `cargo install` read that.
    #[arg(long, conflicts_with = "write")]
    pub(crate) write_home: bool,

    /// Prepares for `probe`: cargo takes the mirror only while crates.io is down. With `crates-io` it takes crates.io only while
    /// the mirror is down.
    ///
    /// The configuration includes a file (cargo 1.94) that `probe` makes and removes. `crates-io` is refused where the
    /// mirror announces a policy or wants a token, which it would bypass.
    #[arg(long, value_name = "mirror|crates-io", num_args = 0..=1, default_missing_value = "mirror", hide_possible_values = true, value_parser = fallback())]
    pub(crate) fallback: Option<Fallback>,

    /// Prints what would be written and stops.
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    address: AddressArgs,
}

/// The flags of `probe`.
#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// Switches the configuration of this project, by default of the current directory.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    project: PathBuf,

    /// Switches the configuration in cargo's own directory, $CARGO_HOME.
    #[arg(long, conflicts_with = "project")]
    home: bool,

    /// The registry's name in cargo's configuration, as `cargo-config --fallback` was given it.
    #[arg(long, value_name = "NAME", default_value = "mirror")]
    pub(crate) name: String,

    /// What cargo takes while the other is down, as `cargo-config --fallback` was given it.
    #[arg(long, value_name = "mirror|crates-io", default_value = "mirror", hide_possible_values = true, value_parser = fallback())]
    pub(crate) fallback: Fallback,

    /// Lets this one probe decide, as a CI job must.
    #[arg(long)]
    pub(crate) now: bool,

    /// Prints what would be done and stops.
    #[arg(long)]
    pub(crate) dry_run: bool,

    #[arg(long, value_name = "URL", help_heading = "Configuration", help = flag_help("probe.index"), long_help = flag_long_help("probe.index"))]
    crates_io: Option<String>,

    #[command(flatten)]
    address: AddressArgs,
}

/// Where clients reach the server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct AddressArgs {
    #[arg(long, value_name = "URL", help = flag_help("serve.public_url"), long_help = flag_long_help("serve.public_url"))]
    public_url: Option<String>,

    #[arg(long, value_name = "DIRECTORY", help = flag_help("serve.data_dir"), long_help = flag_long_help("serve.data_dir"))]
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

fn fallback() -> impl TypedValueParser<Value = Fallback> {
    PossibleValuesParser::new(["mirror", "crates-io"]).map(|name| match name.as_str() {
        "crates-io" => Fallback::CratesIo,
        _ => Fallback::Mirror,
    })
}

fn index() -> impl TypedValueParser<Value = Index> {
    PossibleValuesParser::new(["sparse", "git"]).map(|name| match name.as_str() {
        "git" => Index::Git,
        _ => Index::Sparse,
    })
}

impl ServerCommand {
    /// Adds the values of the command's flags.
    pub(crate) fn add_to(&self, flags: Flags) -> Flags {
        match self {
            Self::CargoConfig(asked) => asked.address.add_to(flags),
            Self::Probe(asked) => {
                let flags = asked.address.add_to(flags);
                flags.with("probe.index", asked.crates_io.clone())
            }
            Self::Prefetch(prefetch) => prefetch.store.add_to(prefetch.index.add_to(flags)),
            Self::Cache(cache) => cache.store.add_to(flags),
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

impl AddressArgs {
    fn add_to(&self, flags: Flags) -> Flags {
        flags
            .with("serve.public_url", self.public_url.clone())
            .with("serve.data_dir", self.data_dir.clone())
    }
}

impl CargoConfig {
    /// Returns where the lines are written.
    ///
    /// # Errors
    /// `config` if cargo's own directory is not known.
    pub(crate) fn place(&self, environment: &Environment) -> Result<Option<Place>> {
        match (&self.write, self.write_home) {
            (Some(project), _) => Ok(Some(Place::Project(project.clone()))),
            (None, true) => environment.cargo_home().map(|home| Some(Place::Home(home))),
            (None, false) => Ok(None),
        }
    }
}

impl Probe {
    /// Returns the configuration that is switched.
    ///
    /// # Errors
    /// `config` if cargo's own directory is not known.
    pub(crate) fn place(&self, environment: &Environment) -> Result<Place> {
        match self.home {
            true => environment.cargo_home().map(Place::Home),
            false => Ok(Place::Project(self.project.clone())),
        }
    }
}

impl IndexArg {
    fn add_to(&self, flags: Flags) -> Flags {
        flags.with("serve.index", self.index.clone())
    }
}

impl StoreArgs {
    fn add_to(&self, flags: Flags) -> Flags {
        flags
            .with("serve.data_dir", self.data_dir.clone())
            .with("serve.store", self.store.clone())
    }
}
