//! The API server and what works on its data: the copy of the index, the crate files and their store, the catalog, the
//! registry's dump, and the commands `serve`, `prefetch`, `cache`, `catalog`, `policy`, `audit`, `token`, `cargo-config` and `probe`.

pub mod address_file;
pub mod advisories;
pub mod audit;
pub mod cache;
pub mod cargo_config;
pub mod catalog;
pub mod check;
pub mod command_rules;
pub mod crate_archive;
pub mod crate_diff;
pub mod crate_files;
pub mod decisions;
pub mod disk_error;
pub mod dump;
pub mod file_budget;
pub mod highlight;
pub mod history;
pub mod index_copy;
pub mod index_history;
pub mod inflated;
pub mod markdown;
pub mod memory_budget;
pub mod owner_only;
mod pace;
pub mod policy;
pub mod prefetch;
pub mod private;
pub mod probe;
pub mod rule_dates;
pub mod serve;
pub mod shortage;
pub mod sightings;
pub mod store;
pub mod tokens;
pub mod trusted;
