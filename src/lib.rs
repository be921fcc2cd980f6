//! crates-ferry carries the crates.io index to a git host you own, without ever cloning it.
//!
//! Layers, imports pointing down only: what the programs share (`program`), use cases (`init`, `sync`, `check`, `trigger`, `notify`, over `relay`), adapters
//! (`transport`, `objects`, `mail`, `gitlab`), `config`, and the pure parts (`wire`, `index`, `plan`, `report`, `notice`, `progress`, `object_id`,
//! `error`).

pub mod cache;
pub mod cargo_config;
pub mod catalog;
pub mod check;
pub mod config;
pub mod crate_files;
pub mod error;
pub mod gitlab;
pub mod index;
pub mod index_copy;
pub mod init;
pub mod mail;
pub mod memory;
pub mod notice;
pub mod notify;
mod object_id;
pub mod objects;
pub mod plan;
pub mod prefetch;
pub mod program;
pub mod progress;
pub mod relay;
pub mod report;
pub mod serve;
pub mod store;
pub mod sync;
pub mod transport;
pub mod trigger;
pub mod web;
pub mod wire;

pub use object_id::ObjectId;
