//! Runs the commands around the API server, but for the server itself.

use std::sync::Arc;

use crates_ferry::config::ServeConfig;
use crates_ferry::error::Result;
use crates_ferry::program::Output;
use crates_ferry::progress::Progress;
use crates_ferry::server::cache::{self, Eviction};
use crates_ferry::server::cargo_config;
use crates_ferry::server::catalog::Limits;
use crates_ferry::server::prefetch::{self, Versions};

use crate::cli::server::{Cache, ServerCommand};

/// Runs a command and returns its report.
pub(crate) async fn run(
    command: ServerCommand,
    config: ServeConfig,
    progress: Arc<Progress>,
) -> Result<Output> {
    match command {
        ServerCommand::CargoConfig(asked) => {
            let options = cargo_config::Options {
                index: asked.index,
                name: asked.name,
                write: asked.write,
            };
            Output::new(&cargo_config::run(&config, &options)?, 0)
        }
        ServerCommand::Prefetch(asked) => {
            let options = prefetch::Options {
                lockfiles: asked.lockfiles,
                crates: asked.crates,
                versions: match (asked.all, asked.latest) {
                    (true, _) => Some(Versions::All),
                    (false, true) => Some(Versions::Latest),
                    (false, false) => None,
                },
                pin: asked.pin,
                verify: asked.verify,
            };
            let report = prefetch::run(config, &options, &progress).await?;
            Output::new(&report, u8::from(!report.is_complete()))
        }
        ServerCommand::Cache(asked) => run_cache(asked.command, &config, &progress).await,
    }
}

async fn run_cache(command: Cache, config: &ServeConfig, progress: &Progress) -> Result<Output> {
    match command {
        Cache::Ls { crates } => Output::new(&cache::ls(config, &crates).await?, 0),
        Cache::Stat => Output::new(&cache::stat(config).await?, 0),
        Cache::Evict {
            crates,
            max_size,
            max_idle,
            dry_run,
        } => {
            let limits = Limits {
                size: max_size.map(|size| size.as_u64()),
                idle: max_idle,
            };
            let eviction = Eviction {
                crates,
                limits,
                dry_run,
            };
            let removal = cache::evict(config, &eviction).await?;
            Output::new(&removal, u8::from(!removal.is_whole()))
        }
        Cache::Pin {
            crates,
            remove,
            dry_run,
        } => Output::new(&cache::pin(config, &crates, !remove, dry_run).await?, 0),
        Cache::Verify { dry_run } => {
            let verification = cache::verify(config, dry_run, progress).await?;
            Output::new(&verification, u8::from(!verification.is_clean()))
        }
    }
}
