//! The command line of `up`.

use clap::Args;
use crates_ferry::config::{Flags, flag_help, flag_long_help};

use super::Remotes;

/// The flags of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Opens the server's page in the browser once there is an index.
    #[arg(long)]
    pub(crate) open: bool,

    #[command(flatten)]
    keys: Keys,

    #[command(flatten)]
    remotes: Remotes,
}

/// The flags that set keys.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
struct Keys {
    /// The address and port of the server [serve.listen, FERRY_SERVE_LISTEN] [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    #[arg(long, value_name = "DIRECTORY", help = flag_help("serve.data_dir"), long_help = flag_long_help("serve.data_dir"))]
    data_dir: Option<String>,

    /// Serves the crate files that are stored, and fetches no others [serve.downloads: offline, FERRY_SERVE_DOWNLOADS].
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    init: InitArg,
}

/// Whether an empty mirror gets its first commit.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct InitArg {
    #[arg(long, help = flag_help("up.init"), long_help = flag_long_help("up.init"))]
    init: bool,
}

impl InitArg {
    pub(crate) fn add_to(&self, flags: Flags) -> Flags {
        flags.with("up.init", self.init.then_some("true"))
    }
}

impl Up {
    /// Adds the values of these flags.
    pub(crate) fn add_to(&self, flags: Flags) -> Flags {
        let keys = &self.keys;
        keys.init
            .add_to(self.remotes.add_to(flags))
            .with("serve.listen", keys.listen.clone())
            .with("serve.data_dir", keys.data_dir.clone())
            .with("serve.downloads", keys.offline.then_some("offline"))
    }
}
