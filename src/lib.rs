//! crates-ferry carries the crates.io index to a git host you own, without ever cloning it.
//!
//! Layers, imports pointing down only: use cases (`init`, `sync`, `check`), adapters (`transport`, `objects`),
//! `config`, and the pure parts (`wire`, `index`, `plan`, `report`, `object_id`, `progress`, `error`).

pub mod config;
pub mod error;
mod object_id;
pub mod progress;
pub mod transport;

pub use object_id::ObjectId;
