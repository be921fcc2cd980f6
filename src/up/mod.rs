//! `up`: the whole mirror in one process.
//!
//! ```text
//! server::serve ── the index and the crate files ──────────────▶ cargo
//!    ▲      │ Handle: refresh the index, upstream was pushed to
//!    │      ▼
//! mirror ── init, sync: by the clock, by a webhook ────────────▶ the mirror, where one is configured
//! ```
//!
//! Either goes on while the other fails. The process ends with the server.

mod announcement;
mod mirror;

use std::sync::Arc;

use crate::config::{ServeConfig, UpConfig};
use crate::error::Result;
use crate::git::transport::local::create_bare;
use crate::server::disk_error::unwritable;
use crate::server::serve::{self, Handle};
use crate::server::{index_copy, owner_only};

pub use announcement::Announcement;

/// The branch of the private index that `up` makes.
const PRIVATE_BRANCH: &str = "main";

/// Serves until `stop`, and keeps the mirror fresh meanwhile, if one is configured.
///
/// # Errors
/// As [`serve::run`]; `config` if another process uses the folder.
pub async fn run(config: UpConfig, handle: Arc<Handle>, stop: impl Future) -> Result<()> {
    // Before the address is listened on: a second `up` of the same folder is told of the folder, which matters more.
    index_copy::check_unused(&config.serve.serve.data_dir)?;
    if let Some(folder) = &config.own_private_index {
        let around = folder.parent().unwrap_or(folder);
        owner_only::folder(around).map_err(|error| unwritable(around, error))?;
        create_bare(folder, PRIVATE_BRANCH)?;
    }
    let fresh = mirror::keep_fresh(config.mirror, config.up, Arc::clone(&handle));
    tokio::select! {
        end = serve::run_with(config.serve, handle, stop) => end,
        never = fresh => match never {},
    }
}

/// Makes the handle of what [`run`] runs; SIGHUP has the configuration read again from this.
pub fn handle(
    config: &UpConfig,
    source: impl Fn() -> Result<ServeConfig> + Send + Sync + 'static,
) -> Arc<Handle> {
    let handle = Handle::new(config.mirror.is_some()).with_source(source);
    if config.up.init {
        // What is served is the mirror, which may not be there before its first commit.
        handle.hold_first_fetch();
    }
    Arc::new(handle)
}
