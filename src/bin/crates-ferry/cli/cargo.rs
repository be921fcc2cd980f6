//! The commands that change cargo's configuration.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use crates_ferry::config::{Environment, Flags, flag_help, flag_long_help};
use crates_ferry::error::Result;
use crates_ferry::server::cargo_config::{Fallback, Index, Place};

/// The flags of `cargo-config`.
#[derive(Debug, Args)]
pub(crate) struct CargoConfig {
    /// Which index cargo reads: the server's (`sparse`), or the git repository of the index (`git`).
    #[arg(long, value_name = "sparse|git", default_value = "sparse", hide_possible_values = true, value_parser = index())]
    pub(crate) index: Index,

    /// Allows `--index git` where there is a policy, which that repository does not know: no version is on hold then.
    #[arg(long)]
    pub(crate) without_policy: bool,

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

    #[command(flatten)]
    crates_io: CratesIoArg,

    #[command(flatten)]
    address: AddressArgs,
}

/// The index that `probe` looks at.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct CratesIoArg {
    #[arg(long, value_name = "URL", help = flag_help("probe.index"), long_help = flag_long_help("probe.index"))]
    crates_io: Option<String>,
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

impl AddressArgs {
    fn add_to(&self, flags: Flags) -> Flags {
        flags
            .with("serve.public_url", self.public_url.clone())
            .with("serve.data_dir", self.data_dir.clone())
    }
}

impl CratesIoArg {
    pub(super) fn add_to(&self, flags: Flags) -> Flags {
        flags.with("probe.index", self.crates_io.clone())
    }
}

impl CargoConfig {
    /// Adds the values of these flags.
    pub(super) fn add_to(&self, flags: Flags) -> Flags {
        self.address.add_to(flags)
    }

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
    /// Adds the values of these flags.
    pub(super) fn add_to(&self, flags: Flags) -> Flags {
        self.crates_io.add_to(self.address.add_to(flags))
    }

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
