//! The commands around the API server.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use crates_ferry::index::CrateSpec;
use crates_ferry::server::cargo_config::Index;

/// What is done around the API server; reads the section `serve`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Prints the lines that make cargo use this server, or writes them into a project.
    ///
    /// They replace crates.io by the server's sparse index, or by the git repository of the index: lockfiles stay as they
    /// are.
    CargoConfig(CargoConfig),
    /// Fills the store with crate files.
    ///
    /// Fetches what is not kept yet, verified by the index's checksums: what lockfiles name, some crates, or the whole
    /// index. Evicts nothing itself. May be stopped and run again, also beside a running server. Exits with 1 if something
    /// is missing at the end.
    Prefetch(Prefetch),
    /// Shows and changes what crate files are kept.
    #[command(subcommand)]
    Cache(Cache),
}

/// The flags of `cargo-config`.
#[derive(Debug, Args)]
pub(crate) struct CargoConfig {
    /// Which index cargo reads: the server's (`sparse`), or the git repository of the index (`git`).
    #[arg(long, value_name = "sparse|git", default_value = "sparse", hide_possible_values = true, value_parser = index())]
    pub(crate) index: Index,

    /// The name by which cargo gets to know the registry (`--registry mirror`).
    #[arg(long, value_name = "NAME", default_value = "mirror")]
    pub(crate) name: String,

    /// Writes the lines into .cargo/config.toml of this project, by default of the current folder.
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = ".")]
    pub(crate) write: Option<PathBuf>,
}

/// The flags of `prefetch`.
#[derive(Debug, Args)]
pub(crate) struct Prefetch {
    /// Lockfiles: everything that they take from crates.io is fetched.
    #[arg(value_name = "Cargo.lock")]
    pub(crate) lockfiles: Vec<PathBuf>,

    /// A crate, or one version of it (may be repeated): `serde` is its latest version, `serde@1.0.0` that one.
    #[arg(long = "crate", value_name = "NAME[@VERSION]")]
    pub(crate) crates: Vec<CrateSpec>,

    /// Never evicts what is fetched, or was kept before.
    #[arg(long)]
    pub(crate) pin: bool,

    /// Reads every file that is kept already, and fetches those that are damaged.
    #[arg(long)]
    pub(crate) verify: bool,

    /// All versions: of the crates that are named, else of the whole index.
    #[arg(long)]
    pub(crate) all: bool,

    /// The latest version: of the crates that are named, else of every crate.
    #[arg(long, conflicts_with = "all")]
    pub(crate) latest: bool,
}

/// What to do with the kept crate files.
#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Lists the kept crate files: size, last use, crate and version.
    Ls {
        /// Only these crates or versions.
        #[arg(value_name = "NAME[@VERSION]")]
        crates: Vec<CrateSpec>,
    },
    /// Adds up the kept crate files.
    Stat,
    /// Removes the least recently used crate files, or those that are named.
    ///
    /// What is pinned stays, and what is being read. Without names the limits decide. Exits with 1 if a file cannot be
    /// removed.
    Evict {
        /// These crates or versions, whatever the limits are.
        #[arg(value_name = "NAME[@VERSION]")]
        crates: Vec<CrateSpec>,

        /// Until no more than this is kept, such as 50GiB [serve.max_size].
        #[arg(long, value_name = "SIZE", conflicts_with = "crates")]
        max_size: Option<ByteSize>,

        /// What was not used for this long, such as 90d [serve.max_idle].
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, conflicts_with = "crates")]
        max_idle: Option<Duration>,

        /// Shows what would go and stops.
        #[arg(long)]
        dry_run: bool,
    },
    /// Keeps crate files from eviction; a pin outlives its file.
    Pin {
        /// Which crates or versions.
        #[arg(value_name = "NAME[@VERSION]", required = true)]
        crates: Vec<CrateSpec>,

        /// Lets them go again.
        #[arg(long)]
        remove: bool,

        /// Shows what would change and stops.
        #[arg(long)]
        dry_run: bool,
    },
    /// Reads every kept crate file and removes those that are damaged.
    ///
    /// The server verifies each file that it reads anyway. Exits with 1 if one was damaged, or cannot be read.
    Verify {
        /// Removes nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

fn index() -> impl TypedValueParser<Value = Index> {
    PossibleValuesParser::new(["sparse", "git"]).map(|name| match name.as_str() {
        "git" => Index::Git,
        _ => Index::Sparse,
    })
}
