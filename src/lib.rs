//! crates-ferry carries the crates.io index to a git host you own, without ever cloning it.
//!
//! The rooms, imports pointing down only: `program` (what both programs share); `up`; `trigger`, `check` and `server`; `notify`;
//! `mirror`; `http`; `policy`; `config`; `index`; `git`; and the ground: `error`, `progress`, `bounded_cache`, `count`,
//! `shown`, `guarded`.

#[cfg(feature = "server")]
pub mod bounded_cache;
pub mod check;
pub mod config;
pub mod count;
pub mod error;
pub mod git;
pub mod guarded;
pub mod http;
pub mod index;
pub mod mirror;
pub mod notify;
pub mod policy;
pub mod program;
pub mod progress;
pub mod retry_after;
#[cfg(feature = "server")]
pub mod server;
pub mod shown;
pub mod trigger;
#[cfg(feature = "server")]
pub mod up;
