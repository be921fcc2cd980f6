//! crates-ferry carries the crates.io index to a git host you own, without ever cloning it.
//!
//! The rooms, imports pointing down only: `program` (what both programs share); `up`; `trigger`, `check` and `server`; `notify`;
//! `mirror`; `http`; `policy`; `config`; `index`; and below them two crates of their own, `git` and the ground: `error`, `progress`,
//! `count`, `shown`, `guarded`, `retry_after`.

pub use crates_ferry_git as git;
pub use crates_ferry_ground::{count, error, guarded, progress, retry_after, shown};

#[cfg(feature = "server")]
pub mod bounded_cache;
pub mod check;
pub mod config;
pub mod http;
pub mod index;
pub mod mirror;
pub mod notify;
pub mod policy;
pub mod program;
#[cfg(feature = "server")]
pub mod server;
pub mod trigger;
#[cfg(feature = "server")]
pub mod up;
